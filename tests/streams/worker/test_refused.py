"""What was refused keeps its place in the order of commits."""

from aiokafka.structs import ConsumerRecord

from streams.kafka.columns import Columns
from streams.kafka.unpacking import Refused
from streams.worker.bundles import Item, bundled
from streams.worker.refused import marked, refusal_in


def record(offset: int, headers: tuple[tuple[str, bytes], ...] = ()) -> ConsumerRecord:
    """Return a record as the client yields it."""
    return ConsumerRecord("trades", 0, offset, 1000, 0, b"BTC/USD", b"x", None, 7, 1, headers)


def refused(first: int, last: int) -> Refused:
    """Return what the client makes of a batch that is too large."""
    return Refused("trades", 0, last, 1000, 0, None, b"first", None, -1, 5, (), first, "too large")


def test_a_bundle_stands_for_every_offset_of_what_was_refused() -> None:
    """At its beginning, in its middle and at its end."""
    [bundle] = bundled([refused(5, 9), Columns([10], [1000], [b"x"], [1], False), refused(11, 20)])
    assert (bundle.first, bundle.offset) == (5, 20)
    items = [(item.offset, item.value, item.refused) for item in bundle.parts if isinstance(item, Item)]
    assert items == [(9, b"first", "too large"), (10, b"x", ""), (20, b"first", "too large")]


def test_why_a_message_was_refused_is_said_by_this_process_alone() -> None:
    """Whoever writes to the topic could name the header too."""
    ours, theirs, plain = marked([refused(1, 4), record(5, (("liqmon-refused", b"believe me"),)), record(6)])
    assert refusal_in(ours.headers) == "too large"
    assert refusal_in(theirs.headers) == refusal_in(plain.headers) == ""
