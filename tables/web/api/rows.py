"""The records of the web view's JSON, and how they are made of the state. Their docstrings describe the API."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec

from streams.model.figures import PANE_FIGURES, with_figures
from tables.market.gaps import IdSpan, gaps_between
from tables.market.identities import TradeId, count_ids
from tables.market.panes import Pane
from tables.market.state import Market
from tables.market.values import pane_reader
from tables.serving import LatestAlert, UnixSeconds

COVERED_SINCE: Final = msgspec.Meta(
    description="unix seconds: the first pane that was counted of the market. A window that starts before it holds "
    "less than its length; null where an earlier release began the market's state, and nobody knows"
)


class Judgement(msgspec.Struct, frozen=True):
    """A rule, and how far a market's rule window has come. In whole units: USD, per cent, or a number of things.

    The worker that serves the market says all of it, by its own settings, also in a copy from Redis. Only where an
    earlier release wrote the copy, the worker that answers measures.
    """

    rule: str
    unit: str
    threshold: float
    measured: Annotated[
        float | None, msgspec.Meta(description="what the rule measures now, never negative; null where it cannot")
    ]
    alert: Annotated[LatestAlert | None, msgspec.Meta(description="the rule's latest alert of this market")]
    steps: Annotated[
        tuple[float, ...],
        msgspec.Meta(
            description="what each severity begins with, lowest first; empty in the stream's rows of an earlier release"
        ),
    ] = ()
    window_seconds: Annotated[
        int | None, msgspec.Meta(description="length of the window that is measured; null from an earlier release")
    ] = None


@with_figures(after="window_end", in_usd=True)
class WindowRow(msgspec.Struct, frozen=True):
    """One window of one market. It ends with the market's newest pane: event time, not the wall clock."""

    venue: str
    symbol: str
    window_seconds: int
    window_start: Annotated[int, msgspec.Meta(description="unix seconds, inclusive")]
    window_end: Annotated[int, msgspec.Meta(description="unix seconds, exclusive")]
    owner: Annotated[str, msgspec.Meta(description="address of the worker that serves the market's partition")]
    partition: int
    source: Annotated[
        str,
        msgspec.Meta(
            description="memory: of the worker that answered; peer: asked of its owner; redis: a copy that its owner "
            "left, which does not answer"
        ),
    ]
    age_seconds: Annotated[
        float | None, msgspec.Meta(description="since the market's last trade was received; null where unknown")
    ]
    copy_age_seconds: Annotated[
        float | None, msgspec.Meta(description="since the copy in Redis was written; null for other sources")
    ] = None
    judgements: Annotated[
        list[Judgement],
        msgspec.Meta(
            description="each rule that judges the market, in the row of the rules' window; empty in other rows, and "
            "in those of an earlier release"
        ),
    ] = []
    covered_since: Annotated[int | None, COVERED_SINCE] = None
    missing_trades: Annotated[
        int | None,
        msgspec.Meta(
            description="trades that must exist and are not counted, by the numbers left out between their ids: the "
            "window lacks at most so many; null where the venue does not number its trades, and from an earlier release"
        ),
    ] = None


@with_figures(
    after="pane",
    in_usd=True,
    figures=PANE_FIGURES,
    # Workers of the first release send panes without them.
    joined=("liquidation_volume_micro_usd", "price_change_pct"),
)
class PaneRow(msgspec.Struct, frozen=True):
    """One second of one market, and the ids of the trades counted in it."""

    pane: UnixSeconds
    first_us: Annotated[int, msgspec.Meta(description="event time of the first trade, microseconds UTC")]
    last_us: Annotated[int, msgspec.Meta(description="event time of the last trade, microseconds UTC")]
    id_count: Annotated[int, msgspec.Meta(description="ids counted, blocks and terminations included")]
    ids: Annotated[
        list[list[int] | str],
        msgspec.Meta(description="8-byte ids: inclusive ranges [low, high]; 16-byte ids: each as a UUID"),
    ]
    gaps: Annotated[
        list[list[int]],
        msgspec.Meta(description="8-byte ids missing before this pane's, inclusive ranges, inside what was asked"),
    ]


_pane_row: Final[Callable[..., PaneRow]] = PaneRow
_PANE_FIELDS: Final = PaneRow.__struct_fields__
_first_figures: Final = pane_reader(_PANE_FIELDS[1 : _PANE_FIELDS.index("first_us")])
_later_figures: Final = pane_reader(_PANE_FIELDS[_PANE_FIELDS.index("gaps") + 1 :])


class Panes(msgspec.Struct, frozen=True):
    """The panes of one market in time order; empty ones are left out."""

    venue: str
    symbol: str
    owner: str
    partition: int
    source: Annotated[
        str,
        msgspec.Meta(
            description="memory: of the worker that answered; peer: asked of its owner; store: as its owner, which "
            "does not answer, last wrote it to the Redis of TABLE_STORE"
        ),
    ]
    offset: Annotated[int, msgspec.Meta(description="offset in the topic trades that this state contains")]
    newest_pane: UnixSeconds
    oldest_pane: Annotated[int, msgspec.Meta(description="panes before this one are not kept; unix seconds")]
    age_seconds: float | None
    missing_ids: Annotated[int, msgspec.Meta(description="ids in the gaps of all rows")]
    rows: list[PaneRow]


class MarketRow(msgspec.Struct, frozen=True):
    """One market with all its windows, as the stream sends it.

    ``windows`` has a list per window, shortest first, in the order of ``hello``'s columns. A figure that the row's
    worker does not know is null. Workers may differ in ``WINDOWS``: ``window_seconds`` says which these are.
    """

    venue: str
    symbol: str
    owner: str
    partition: int
    offset: int
    received: Annotated[float | None, msgspec.Meta(description="when its last trade was received, unix seconds")]
    pane: UnixSeconds
    rule: Annotated[str, msgspec.Meta(description="the first rule in USD; earlier releases know of one rule a market")]
    threshold_usd: Annotated[float | None, msgspec.Meta(description="of that rule; null where it counts no USD")]
    amount_usd: Annotated[
        float | None,
        msgspec.Meta(description="what that rule measured; null as the threshold is, and without its window"),
    ]
    # Pages and workers of earlier releases know it by this name.
    latest_alert: Annotated[LatestAlert | None, msgspec.Meta(description="the latest alert of that rule")] = (
        msgspec.field(name="mark")
    )
    windows: Sequence[Sequence[float | None]]
    copied: Annotated[
        float | None, msgspec.Meta(description="of a copy from Redis: when it was written, unix seconds; else null")
    ] = None
    window_seconds: Annotated[tuple[int, ...], msgspec.Meta(description="length of each of the windows, seconds")] = ()
    judgements: Annotated[
        list[Judgement], msgspec.Meta(description="each rule that judges the market; an earlier release sends none")
    ] = []
    covered_since: Annotated[int | None, COVERED_SINCE] = None
    missing_trades: Annotated[
        list[int] | None,
        msgspec.Meta(
            description="trades that must exist and are not counted, in each of the windows; null where the venue does "
            "not number its trades, and from an earlier release"
        ),
    ] = None


class Spark(msgspec.Struct, frozen=True):
    """A market's last price every so many seconds, oldest first; null where nothing traded."""

    venue: str
    symbol: str
    end: Annotated[int, msgspec.Meta(description="unix seconds at which the newest point ends")]
    step_seconds: int
    points: list[float | None]


def pane_rows(market: Market, first: int, last: int) -> Iterator[PaneRow]:
    """Yield the non-empty panes ``first..last`` in time order; ids that are missing between them are in ``gaps``."""
    kept = [
        (number, pane)
        for number in range(max(first, market.oldest), min(last, market.watermark) + 1)
        if (pane := market.pane(number)) is not None and pane.ids
    ]
    gaps = _gaps(kept)
    for number, pane in kept:
        # By place: with names a row takes a tenth longer.
        yield _pane_row(
            number,
            *_first_figures(pane),
            pane.first_us,
            pane.last_us,
            count_ids(pane.ids),
            shown_ids(pane.ids),
            gaps.get(number, []),
            *_later_figures(pane),
        )


def shown_ids(ids: list[TradeId]) -> list[list[int] | str]:
    """Return a pane's ids for people: 8-byte ids as ranges of integers, each 16-byte id as a UUID, whoever made it."""
    if ids and isinstance(ids[0], bytes):
        return [str(UUID(bytes=one)) for one in ids if isinstance(one, bytes)]
    return [list(pair) for pair in _ranges(ids)]


def _ranges(ids: list[TradeId]) -> Iterator[tuple[int, int]]:
    numbers = [number for number in ids if isinstance(number, int)]
    return zip(numbers[::2], numbers[1::2], strict=True)


def _gaps(panes: Iterable[tuple[int, Pane]]) -> dict[int, list[list[int]]]:
    """Return the integer ids that none of the panes has, by the pane that has the first id after them."""
    spans = [IdSpan(low, high, number, number) for number, pane in panes for low, high in _ranges(pane.ids)]
    gaps: dict[int, list[list[int]]] = {}
    for gap in gaps_between(spans):
        gaps.setdefault(gap.behind, []).append([gap.first_id, gap.last_id])
    return gaps
