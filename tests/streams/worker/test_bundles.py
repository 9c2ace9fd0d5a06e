"""Bundles: what goes in comes out, in order, within bounds, and the header says where each begins."""

from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.bundles import MAX_BYTES, MAX_MESSAGES, bundled, first_offset, unbundled


def record(offset: int, value: bytes | None) -> ConsumerRecord:
    """Return a record as the client yields it."""
    return ConsumerRecord("trades", 3, offset, 1000 + offset, 0, b"BTC/USD", value, None, 7, len(value or b""), ())


@given(st.lists(st.none() | st.binary(max_size=300), max_size=300), st.integers(0, 2**40))
def test_every_message_comes_out_once_and_in_order(values: list[bytes | None], start: int) -> None:
    records = [record(start + at, value) for at, value in enumerate(values)]
    bundles = list(bundled(records))
    items = [item for bundle in bundles for item in unbundled(bundle.value)]
    assert [(item.offset, item.timestamp_ms, item.value) for item in items] == [
        (r.offset, r.timestamp, r.value) for r in records
    ]
    for bundle in bundles:
        held = unbundled(bundle.value)
        assert (first_offset(bundle), bundle.offset) == (held[0].offset, held[-1].offset)
        assert len(held) <= MAX_MESSAGES


def test_a_bundle_stays_within_its_bytes_unless_one_message_alone_passes_them() -> None:
    big = MAX_BYTES // 2 + 1
    bundles = list(bundled([record(0, bytes(big)), record(1, bytes(big)), record(2, bytes(3 * big)), record(3, b"x")]))
    assert [[item.offset for item in unbundled(bundle.value)] for bundle in bundles] == [[0], [1], [2], [3]]


def test_frames_weigh_more_than_rows() -> None:
    """A bundle is handled to its end, so it holds as many of either as take the same time."""
    frames = list(bundled([record(at, b"\x9c") for at in range(100)]))
    rows = list(bundled([record(at, b"{}") for at in range(3000)]))
    assert [len(unbundled(bundle.value)) for bundle in frames] == [64, 36]
    assert [len(unbundled(bundle.value)) for bundle in rows] == [1024, 1024, 952]


def test_nothing_gives_no_bundle() -> None:
    assert list(bundled([])) == []
