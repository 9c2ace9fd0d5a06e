"""Sets of trade ids: as a set says, in one form whatever the order, in little space."""

from hypothesis import given
from hypothesis import strategies as st

from tables.market.identities import TradeId, add_id, add_range, add_uid, count_ids

NEAR = st.integers(0, 40)
UIDS = st.integers(0, 30).map(lambda number: number.to_bytes(16, "big"))


def members(ranges: list[TradeId]) -> list[int]:
    """Return the ids of a list of ranges, ascending."""
    bounds = [bound for bound in ranges if isinstance(bound, int)]
    return [i for low, high in zip(bounds[::2], bounds[1::2], strict=True) for i in range(low, high + 1)]


def is_shortest(ranges: list[TradeId]) -> bool:
    """Whether no two ranges touch, so that a set has one form."""
    bounds = [bound for bound in ranges if isinstance(bound, int)]
    return bounds == sorted(bounds) and all(
        high + 1 < low for high, low in zip(bounds[1::2], bounds[2::2], strict=False)
    )


@given(st.lists(st.tuples(NEAR, st.integers(0, 6)), max_size=40))
def test_ranges_are_a_set(steps: list[tuple[int, int]]) -> None:
    """A range is added whole where none of it is held, and else changes nothing."""
    ranges: list[TradeId] = []
    model: set[int] = set()
    for low, more in steps:
        wanted = set(range(low, low + more + 1))
        before = list(ranges)
        assert add_range(ranges, low, low + more) == model.isdisjoint(wanted)
        if model.isdisjoint(wanted):
            model |= wanted
        else:
            assert ranges == before
        assert members(ranges) == sorted(model)
        assert is_shortest(ranges)
        assert count_ids(ranges) == len(model)


@given(st.lists(NEAR, max_size=60), st.randoms(use_true_random=False))
def test_order_does_not_matter(ids: list[int], random: st.DataObject) -> None:
    """Two workers that met the same ids hold the same bytes."""
    ranges: list[TradeId] = []
    fresh = [add_id(ranges, trade_id) for trade_id in ids]
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again: list[TradeId] = []
    for trade_id in shuffled:
        add_id(again, trade_id)
    assert again == ranges
    assert fresh == [trade_id not in ids[:at] for at, trade_id in enumerate(ids)]


@given(st.lists(UIDS, max_size=40))
def test_uids_are_a_sorted_set(uids: list[bytes]) -> None:
    """New ones are said to be new once."""
    held: list[TradeId] = []
    for at, uid in enumerate(uids):
        assert add_uid(held, uid) == (uid not in uids[:at])
    assert held == sorted(set(uids))
    assert count_ids(held) == len(set(uids))


def test_consecutive_ids_take_two_numbers() -> None:
    """However many, and from whichever side they come."""
    for ids in (range(1000), reversed(range(1000))):
        ranges: list[TradeId] = []
        for trade_id in ids:
            assert add_id(ranges, trade_id)
        assert ranges == [0, 999]


def test_a_gap_that_fills_joins_its_neighbours() -> None:
    """A late trade leaves no trace in the form."""
    ranges: list[TradeId] = [1, 3, 5, 9]
    assert add_id(ranges, 4)
    assert ranges == [1, 9]


def test_the_largest_ids_have_room() -> None:
    """Up to what a frame carries."""
    ranges: list[TradeId] = []
    assert add_range(ranges, 2**63 - 2, 2**63 - 1)
    assert not add_id(ranges, 2**63 - 1)
    assert add_id(ranges, 0)
    assert count_ids(ranges) == 3


def test_no_ids_are_none() -> None:
    """An empty pane counts nothing."""
    assert count_ids([]) == 0
