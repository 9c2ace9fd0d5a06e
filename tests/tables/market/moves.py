"""Trades that move a market's clock, and a naive model of what is then known of it."""

from collections import defaultdict
from collections.abc import Iterable

from hypothesis import strategies as st

from tables.market.identities import add_id
from tables.market.span import Span
from tables.market.state import Market

SPAN = Span(window=20, retention=80, slack=50)
START = 1000

# (how far from the newest pane, notional, whether a liquidation): mostly on, sometimes back, sometimes far ahead.
MOVES = st.lists(
    st.tuples(
        st.integers(-3, 3) | st.integers(-100, 10) | st.integers(0, 400),
        st.integers(1, 1000),
        st.booleans(),
    ),
    max_size=40,
)
Move = tuple[int, int, bool]


def a_market() -> Market:
    """Return an empty market."""
    return Market("v", "S", SPAN)


def add(market: Market, number: int, trade_id: int, notional: int, *, liquidation: bool = False) -> bool:
    """Count a trade, as the evaluator does; return whether its pane is kept."""
    pane = market.open_pane(number)
    if pane is None:
        return False
    if add_id(pane.ids, trade_id):
        pane.add_trade(trade_id, number * 10**6, 1.0, notional, 0, 1, 0, 2, liquidation)
        market.counted(number, pane, notional, notional if liquidation else 0)
    else:
        market.counted(number, pane, 0, 0)
    market.offset += 1
    return True


class Model:
    """A list of trades, and sums taken over it."""

    def __init__(self) -> None:
        self.trades: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.watermark = -1

    def add(self, number: int, notional: int, *, liquidation: bool) -> bool:
        if number <= self.watermark - SPAN.retention:
            return False
        self.watermark = max(self.watermark, number)
        self.trades[number].append((notional, notional if liquidation else 0))
        return True

    def window(self, last: int, length: int = SPAN.window) -> tuple[int, int]:
        rows = [row for number in range(last - length + 1, last + 1) for row in self.trades.get(number, [])]
        return sum(row[0] for row in rows), sum(row[1] for row in rows)

    def kept(self) -> list[int]:
        return sorted(number for number in self.trades if number > self.watermark - SPAN.retention)


def numbers_of(moves: Iterable[Move]) -> list[tuple[int, int, bool]]:
    """Return the moves with the panes they lead to."""
    newest = START
    found = []
    for step, notional, liquidation in moves:
        number = newest + step
        newest = max(newest, number)
        found.append((number, notional, liquidation))
    return found


def assert_as(model: Model, market: Market) -> None:
    """All that can be asked of a market is what the model says."""
    assert market.watermark == model.watermark
    assert (market.volume, market.liquidated) == model.window(model.watermark)
    kept = model.kept()
    found = dict(market.panes(market.oldest, market.watermark))
    assert list(found) == kept
    for number, pane in found.items():
        assert (pane.notional, pane.liquidated) == model.window(number, 1)
        assert pane.count == len(model.trades[number])
    judged = [number for number in kept if number >= market.oldest + SPAN.window - 1]
    if judged:
        assert list(market.sums(judged[0], judged[-1])) == [(number, *model.window(number)) for number in judged]
        middle = judged[len(judged) // 2]
        assert list(market.sums(middle, middle)) == [(middle, *model.window(middle))]
    for length in (1, SPAN.window, SPAN.retention):
        assert (
            market.figures(model.watermark, length).total_volume_micro_usd == model.window(model.watermark, length)[0]
        )
