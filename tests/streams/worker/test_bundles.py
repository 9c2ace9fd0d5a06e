"""Bundles: what goes in comes out, in order, within bounds, and each knows where it begins."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.columns import Columns
from streams.kafka.unpacking import Refused
from streams.worker.bundles import MAX_BYTES, MAX_MESSAGES, ROW_START, ROWS_PER_FRAME, Bundle, Item, bundled

VALUES = st.none() | st.binary(max_size=300) | st.binary(max_size=300).map(lambda value: b"{" + value)


def columns(start: int, values: list[bytes | None]) -> Columns:
    """Return records as a fetch brings them."""
    count = len(values)
    return Columns(
        range(start, start + count),
        [1000 + start + at for at in range(count)],
        values,
        [len(value or b"") for value in values],
        are_brokers_times=True,
    )


def refused(first: int, last: int) -> Refused:
    """Return what the client makes of a batch that is too large."""
    return Refused("trades", 0, last, 1000 + last, 1, None, b"first", None, -1, 5, (), first, "too large")


def messages(bundle: Bundle) -> list[tuple[int, int, bytes | None, str]]:
    """Return the messages of a bundle: offset, time, value and why it was refused."""
    found: list[tuple[int, int, bytes | None, str]] = []
    for part in bundle.parts:
        if isinstance(part, Item):
            found.append((part.offset, part.timestamp_ms, part.value, part.refused))
        else:
            found.extend((*row, "") for row in zip(part.offsets, part.timestamps_ms, part.values, strict=True))
    return found


def weight(bundle: Bundle) -> int:
    """Return how much there is to do with a bundle, in rows."""
    return sum(ROWS_PER_FRAME if isinstance(part, Item) else len(part.values) for part in bundle.parts)


def size(bundle: Bundle) -> int:
    """Return the bytes of a bundle's values."""
    return sum(len(value or b"") for _, _, value, _ in messages(bundle))


@given(st.lists(st.lists(VALUES, min_size=1, max_size=200) | st.integers(1, 9), max_size=9), st.integers(0, 2**40))
def test_every_message_comes_out_once_and_in_order(pieces: list[list[bytes | None] | int], start: int) -> None:
    """Rows, frames, empty ones, and what was refused, which stands for several."""
    found: list[Columns | Refused] = []
    expected: list[tuple[int, int, bytes | None, str]] = []
    at = start
    for piece in pieces:
        if isinstance(piece, int):
            found.append(refused(at, at + piece - 1))
            at += piece
            expected.append((at - 1, 1000 + at - 1, b"first", "too large"))
        else:
            found.append(columns(at, piece))
            expected += [(offset, 1000 + offset, value, "") for offset, value in enumerate(piece, at)]
            at += len(piece)
    bundles = list(bundled(found))
    assert [message for bundle in bundles for message in messages(bundle)] == expected
    assert all(before.offset + 1 == after.first for before, after in pairwise(bundles))
    if bundles:
        assert (bundles[0].first, bundles[-1].offset) == (start, at - 1)
    for bundle in bundles:
        assert bundle.timestamp_ms == messages(bundle)[-1][1]
        assert weight(bundle) <= MAX_MESSAGES
        for part in bundle.parts:
            if isinstance(part, Item):
                assert part.refused or not (part.value or b"").startswith(ROW_START)
            else:
                assert all(value is not None and value.startswith(ROW_START) for value in part.values)


@given(st.lists(st.integers(1, MAX_BYTES + 9), min_size=1, max_size=12))
def test_a_bundle_of_rows_is_as_full_as_it_may_be(sizes: list[int]) -> None:
    """The next row has no room, and one alone may be larger than a bundle."""
    bundles = list(bundled([columns(0, [b"{" + bytes(length - 1) for length in sizes])]))
    for bundle, after in pairwise(bundles):
        assert size(bundle) + sizes[after.first] > MAX_BYTES
    assert all(size(bundle) <= MAX_BYTES or bundle.first == bundle.offset for bundle in bundles)


def test_a_bundle_stays_within_its_bytes_unless_one_message_alone_passes_them() -> None:
    big = MAX_BYTES // 2 + 1
    bundles = list(bundled([columns(0, [bytes(big), bytes(big), bytes(3 * big), b"x"])]))
    assert [[offset for offset, *_ in messages(bundle)] for bundle in bundles] == [[0], [1], [2], [3]]


def test_frames_weigh_more_than_rows() -> None:
    """A bundle is handled to its end, so it holds as many of either as take the same time."""
    frames = list(bundled([columns(0, [b"\x9c"] * 100)]))
    rows = list(bundled([columns(0, [b"{}"] * 20_000)]))
    assert [len(messages(bundle)) for bundle in frames] == [64, 36]
    assert [len(messages(bundle)) for bundle in rows] == [8192, 8192, 3616]


def test_nothing_gives_no_bundle() -> None:
    assert list(bundled([])) == []
