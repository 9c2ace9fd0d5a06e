"""Sets of trade ids, kept inside the pane that counted them.

There are two shapes, and each market has one. Ids of 8 bytes are integers, often consecutive: a sorted flat list of
inclusive ranges ``[lo, hi, lo, hi, ...]`` holds thousands in two numbers. Ids of 16 bytes are kept as a sorted list.
"""

from bisect import bisect_left, bisect_right
from typing import Any

TradeId = int | bytes
"""An integer id, or the 16 bytes of a wide one. Both order as their numeric value."""


def add_range(ranges: list[TradeId], low: int, high: int) -> bool:
    """Add ids ``low..high`` and return true, or return false and change nothing where any of them is held already."""
    if not ranges or low > ranges[-1] + 1:  # type: ignore[operator]
        ranges += (low, high)
        return True
    at = bisect_right(ranges, low)
    if at % 2 or (at and ranges[at - 1] == low) or (at < len(ranges) and ranges[at] <= high):  # type: ignore[operator]
        return False
    joins_left = at > 0 and ranges[at - 1] == low - 1
    joins_right = at < len(ranges) and ranges[at] == high + 1
    if joins_left and joins_right:
        del ranges[at - 1 : at + 1]
    elif joins_left:
        ranges[at - 1] = high
    elif joins_right:
        ranges[at] = low
    else:
        ranges[at:at] = (low, high)
    return True


def add_uid(uids: list[TradeId], uid: bytes) -> bool:
    """Add one 16-byte id and return true, or return false where it is held already."""
    at = bisect_left(uids, uid)
    if at < len(uids) and uids[at] == uid:
        return False
    uids.insert(at, uid)
    return True


def add_id(ids: list[TradeId], trade_id: TradeId) -> bool:
    """Add one id of either shape; return whether it is new."""
    if isinstance(trade_id, bytes):
        return add_uid(ids, trade_id)
    return add_range(ids, trade_id, trade_id)


def grows(ids: list[TradeId], trade_id: TradeId) -> bool:
    """Whether the list would be longer with this id: it is new, and no range that is held ends beside it."""
    if isinstance(trade_id, bytes):
        at = bisect_left(ids, trade_id)
        return at == len(ids) or ids[at] != trade_id
    at = bisect_right(ids, trade_id)
    if at % 2 or (at and trade_id - ids[at - 1] <= 1):  # type: ignore[operator]
        return False
    return at == len(ids) or ids[at] - trade_id > 1  # type: ignore[operator]


def count_ids(ids: list[Any]) -> int:
    """Return how many ids the list holds."""
    if ids and isinstance(ids[0], bytes):
        return len(ids)
    return sum(high - low + 1 for low, high in zip(ids[::2], ids[1::2], strict=True))
