"""During a fault a library says the same a hundred times a second; the log says it once a minute."""

import logging

from streams.logs import MAX_TEMPLATES, REPEAT_SECONDS, Repeats, without_stamp


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def record(name: str, text: str, *args: object, level: int = logging.ERROR) -> logging.LogRecord:
    """Return what a logger hands to its handler."""
    return logging.LogRecord(name, level, "", 0, text, args, None)


def test_a_line_is_told_to_people_without_its_stamp() -> None:
    """A line of a log loses time, level and module, and that of a command its name; words that are none stay."""
    line = "2026-11-30 10:11:43,391 INFO streams.progress: trades.csv: 100%, 1,466 trades"
    assert without_stamp(line) == "trades.csv: 100%, 1,466 trades"
    assert without_stamp("liqmon: FILE trades.csv: gone") == "FILE trades.csv: gone"
    assert without_stamp("no stamp: at all") == "no stamp: at all"


def test_a_librarys_repeats_are_left_out_and_counted() -> None:
    """By their template: another node's number makes no new message."""
    clock = Clock()
    repeats = Repeats(clock)
    assert repeats.filter(record("aiokafka", "Unable to connect to node %d", 1))
    assert not any(repeats.filter(record("aiokafka", "Unable to connect to node %d", number)) for number in range(50))
    assert repeats.filter(record("aiokafka.cluster", "Topic %s not found", "trades"))
    clock.seconds = REPEAT_SECONDS
    again = record("aiokafka", "Unable to connect to node %d", 7)
    assert repeats.filter(again)
    assert again.getMessage() == "Unable to connect to node 7 (50 more of this kind since the last)"


def test_the_programs_own_messages_pass() -> None:
    """It keeps to a line a fault by itself; and what a library tells without warning is not repeated."""
    repeats = Repeats()
    assert all(repeats.filter(record("streams.publish.publisher", "the broker is away")) for _ in range(3))
    assert all(repeats.filter(record("aiokafka", "Joined", level=logging.INFO)) for _ in range(3))


def test_what_is_remembered_is_bounded() -> None:
    """A library that makes a template of each message is not held back, and fills no memory."""
    repeats = Repeats(Clock())
    for number in range(MAX_TEMPLATES * 2):
        assert repeats.filter(record("faust", f"message {number}"))
    assert len(repeats._seen) == MAX_TEMPLATES
