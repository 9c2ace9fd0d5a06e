"""Which trades of a group may be published: none that every worker would refuse."""

from collections.abc import Sequence

import msgspec

from streams.errors import BadRecord
from streams.model.amounts import amounts_of
from streams.model.frames import encode_frame
from streams.model.plain_trades import PlainTrades
from streams.model.trade import Reject, Trade
from streams.publish.coalescer import Group


def framed(group: Group, received_us: int, latest_us: int) -> tuple[bytes | None, int, list[Reject]]:
    """Return the frame of a group, None where nothing is left of it, how many trades it has, and what is refused.

    ``latest_us`` is the latest time that a trade may have. What a worker refuses must not be marked as published:
    another producer would leave it out.
    """
    trades, refused = group.trades, list[Reject]()
    if isinstance(trades, PlainTrades):
        return _columns_framed(trades, received_us, latest_us)
    if max(trade.time_us for trade in trades) > latest_us:
        refused = [_future(trade, latest_us) for trade in trades if trade.time_us > latest_us]
        trades = [trade for trade in trades if trade.time_us <= latest_us]
    if trades:
        try:
            return encode_frame(group.venue, group.symbol, trades, received_us), len(trades), refused
        except BadRecord:
            trades, absurd = _only_good(trades)
            refused += absurd
    if not trades:
        return None, 0, refused
    return encode_frame(group.venue, group.symbol, trades, received_us), len(trades), refused


def _columns_framed(trades: PlainTrades, received_us: int, latest_us: int) -> tuple[bytes | None, int, list[Reject]]:
    """Do the same for trades in columns, whose amounts are known not to be absurd."""
    is_late = trades.times_us > latest_us
    refused = []
    if is_late.any():
        refused = [_future(trade, latest_us) for trade in trades.taken(is_late)]
        trades = trades.taken(~is_late)
    return (trades.frame(received_us) if trades else None), len(trades), refused


def _only_good(trades: Sequence[Trade]) -> tuple[list[Trade], list[Reject]]:
    good, bad = [], []
    for trade in trades:
        try:
            amounts_of(trade)
        except BadRecord as error:
            bad.append(_refused(trade, error.reason, error.detail))
        else:
            good.append(trade)
    return good, bad


def _future(trade: Trade, latest_us: int) -> Reject:
    ahead = (trade.time_us - latest_us) / 1_000_000
    return _refused(trade, "future", f"stamped {ahead:.3f} s further ahead of the broker's clock than allowed")


def _refused(trade: Trade, reason: str, detail: str) -> Reject:
    fields = msgspec.structs.asdict(trade) | {"trade_id": str(trade.trade_id), "product": trade.product.kind.name}
    return Reject(reason, detail, msgspec.json.encode(fields), trade.venue, trade.symbol)
