"""What is said of rows that were refused."""

from streams.model.tally import Tally
from streams.model.trade import Batch, Reject


def test_reasons_are_counted_and_the_first_row_is_shown() -> None:
    """The most frequent reason comes first; text is cut and cannot break the line."""
    tally = Tally()
    assert (tally.reasons(), tally.is_useless) == ("", False)
    rejects = [Reject(reason, "line 2:\nbad", b"a\x1b[1m\n" + b"x" * 500, "v") for reason in ("bad_time", "magnitude")]
    tally.add([Batch([], 0, rejects), Batch([], 0, rejects[1:])])
    shown = "'a\\x1b[1m\\n" + "x" * 74 + "'..."
    assert tally.reasons() == f"magnitude 2, bad_time 1; the first: v, line 2: bad: {shown}"
    assert tally.is_useless


def test_words_of_a_venue_share_a_reason() -> None:
    """However many it has, the line stays short."""
    tally = Tally()
    for number in range(1000):
        tally.refuse(Reject(f"reason {number}", "", b""))
    assert tally.refused == {"internal_error": 1000}
