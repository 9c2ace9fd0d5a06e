"""Count a run of trades into its pane. Pure: what was counted, refused or came too late is in the outcome."""

from collections.abc import Sequence
from typing import Final

import msgspec

from agents.counting.column_runs import Run
from agents.counting.runs import Row, Trades, refusal_of
from streams.model.alert import Alert
from streams.model.frames import KIND_MASK, KIND_SHIFT, SIDE_MASK, SNAPSHOT
from streams.model.trade import Kind
from tables.market.chunk import CHUNK_PANES
from tables.market.crowding import CROWDED, MAX_ID_BYTES
from tables.market.identities import add_id, add_range
from tables.market.panes import Pane
from tables.market.state import Market

TOO_MANY_IDS: Final = (
    f"the ids of {CHUNK_PANES} s of its market take more than {MAX_ID_BYTES} bytes; ids that follow each other take few"
)

# An enum member costs three times a plain integer, once per trade.
_LIQUIDATION: Final = int(Kind.LIQUIDATION)


class Refusal(msgspec.Struct, frozen=True):
    """A row of a frame that is no possible trade; ``at`` is its place in the frame."""

    at: int
    reason: str
    detail: str


class Outcome(msgspec.Struct):
    """What folding a frame, or a part of it, did. ``alerts`` are in the order to send.

    ``apart`` are the places of counted trades that are in no window.
    """

    counted: int = 0
    duplicates: int = 0
    late: int = 0
    done: int = 0
    alerts: list[Alert] = []
    raised: list[tuple[str, str]] = []
    refused: list[Refusal] = []
    apart: list[int] = []

    def add(self, other: "Outcome") -> None:
        """Add the trades that another part of the frame counted, and those it refused."""
        self.counted += other.counted
        self.duplicates += other.duplicates
        self.late += other.late
        self.refused += other.refused
        self.apart += other.apart


def moves_clock(trades: Trades, run: Run, latest_us: int) -> bool:
    """Whether a run ahead of the clock holds a trade that is not refused."""
    return run.summary is not None or any(refusal_of(row, latest_us) is None for row in _rows(trades, run))


def _rows(trades: Trades, run: Run) -> Sequence[Row]:
    return trades.rows[run.start : run.end]


def count_run(market: Market, trades: Trades, run: Run, latest_us: int, outcome: Outcome) -> bool | None:
    """Count a run; return whether it may raise an alert, or None where it touched no pane."""
    summary = run.summary
    if summary is None:
        return count_rows(market, trades.rows, run, latest_us, outcome)
    pane = market.open_pane(run.number)
    if pane is None:
        outcome.late += summary.count
        return None
    if (
        not pane.has_room(summary.notional, summary.whole)
        or (len(pane.ids) >= CROWDED and not market.crowd(run.number, pane).has_room(pane.ids, run.low_id))
        or not add_range(pane.ids, run.low_id, run.high_id)
    ):
        return count_rows(market, trades.rows, run, latest_us, outcome)
    pane.add_figures(summary)
    market.mark(run.number, is_live=True)
    market.counted(run.number, pane, summary.notional, 0)
    outcome.counted += summary.count
    return True


def has_room(market: Market, number: int, pane: Pane | None, summary: Pane, entries: int) -> bool:
    """Whether a pane surely takes a run of rising ids, which make so many entries, and is one that may alert.

    The ids must be behind those it has, and its sums stay small. One that only snapshots have filled may alert with
    the first of the run's trades, and not before: it does not take them together.
    """
    if pane is None:
        return entries < CROWDED
    return (
        (not pane.count or market.is_live(number))
        and pane.has_room(summary.notional, summary.whole)
        and (not pane.ids or summary.first_id > pane.ids[-1])  # type: ignore[operator]
        and len(pane.ids) + entries < CROWDED
    )


def count_together(market: Market, number: int, summary: Pane, ids: Sequence[int]) -> None:
    """Count a run of live fills for which there is room, at the market's clock or ahead of it.

    ``ids`` are theirs, ascending, where the summary has none. The summary may become the market's pane.
    """
    is_new = number > market.watermark and market.can_append(number)
    pane = summary if is_new else market.open_pane(number)
    assert pane is not None  # noqa: S101 - it is not behind the clock
    for trade_id in ids:
        add_range(pane.ids, trade_id, trade_id)
    if is_new:
        market.append(number, pane)
        return
    if not ids:
        add_range(pane.ids, summary.first_id, summary.last_id)  # type: ignore[arg-type]
    pane.add_figures(summary)
    market.mark(number, is_live=True)
    market.counted(number, pane, summary.notional, 0)


def count_rows(market: Market, rows: list[Row], run: Run, latest_us: int, outcome: Outcome) -> bool | None:
    """Count a run row by row; see :func:`count_run`."""
    pane = crowd = None
    live = had_figures = False
    notionals = liquidations = 0
    for at in range(run.start, run.end):
        row = rows[at]
        refusal = refusal_of(row, latest_us)
        if refusal is not None:
            outcome.refused.append(Refusal(at, *refusal))
            continue
        trade_id, time_us, price, notional, rest, whole, fraction, flags = row
        if pane is None:
            pane = market.open_pane(run.number)
            had_figures = pane is not None and pane.count > 0
        if pane is None:
            outcome.late += 1
            continue
        if not pane.has_room(notional, whole):
            outcome.refused.append(Refusal(at, "magnitude", "the pane's sums would pass 64 bits"))
            continue
        if len(pane.ids) >= CROWDED:
            crowd = crowd or market.crowd(run.number, pane)
            if not crowd.has_room(pane.ids, trade_id):
                outcome.refused.append(Refusal(at, "too_many_ids", TOO_MANY_IDS))
                continue
        kind = (flags & KIND_MASK) >> KIND_SHIFT
        counts = kind <= _LIQUIDATION
        live = live or (counts and not flags & SNAPSHOT)
        if not add_id(pane.ids, trade_id):
            outcome.duplicates += 1
            continue
        outcome.counted += 1
        if counts:
            side = flags & SIDE_MASK
            is_liquidation = kind == _LIQUIDATION
            pane.add_trade(trade_id, time_us, price, notional, rest, whole, fraction, side, is_liquidation)
            notionals += notional
            liquidations += notional if is_liquidation and side else 0
        else:
            outcome.apart.append(at)
    if pane is None:
        return None
    # A copy of a trade whose id came as a block first is live in a pane that may hold no figures: it marks nothing.
    if pane.count and (live or not had_figures):
        market.mark(run.number, is_live=live)
    market.counted(run.number, pane, notionals, liquidations)
    return live
