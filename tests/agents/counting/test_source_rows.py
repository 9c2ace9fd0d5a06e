"""Rows as columns are the messages that they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from agents.counting.monitor import SourceMessage
from agents.counting.source_rows import SourceRows
from streams.model.trade import MAX_TIME_US, MIN_TIME_US

TIMES_MS = st.integers(MIN_TIME_US // 1000, MAX_TIME_US // 1000)


@given(st.lists(st.tuples(TIMES_MS, st.binary(max_size=9)), min_size=1, max_size=20))
def test_columns_tell_what_each_message_tells(found: list[tuple[int, bytes]]) -> None:
    """Times in microseconds too, to the last."""
    messages = [SourceMessage(value, 3, 50 + at, time_ms / 1000) for at, (time_ms, value) in enumerate(found)]
    rows = SourceRows.of(messages)
    assert list(rows) == messages
    assert list(rows[1:]) == messages[1:]
    assert rows.received_us.tolist() == [message.received_us for message in messages]
    assert (rows.partition, rows.offset, list(rows.sizes)) == (3, 50, [len(value) for _, value in found])


def test_times_that_no_clock_shows_are_no_further_than_any_trade() -> None:
    """A publisher may stamp what it likes."""
    rows = SourceRows.of([SourceMessage(b"{}", 0, at, time) for at, time in enumerate((-1e300, 1e300))])
    first, last = rows.received_us.tolist()
    assert first < MIN_TIME_US < MAX_TIME_US < last
