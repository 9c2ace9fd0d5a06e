"""The web view's shortcut to a market's windows gives what the windows themselves give."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.model.trade import Kind, Side
from tables.market.identities import add_id
from tables.market.rolling import SPARK_STEP, Rolling
from tables.market.span import Span
from tables.market.state import Market
from tables.market.windows import WindowFigures
from tables.stores.items import market_from, taken_from
from tests.tables.market.reference import reference_figures

WINDOWS = (1, 10, 32, 64, 300, 800)
SPAN = Span(window=64, retention=900)

# Ids per trade, time moves forward in steps of every length and now and then back.
steps = st.lists(
    st.tuples(
        st.integers(-900, 120) | st.integers(-90, 400) | st.integers(0, 3),
        st.sampled_from([Side.UNKNOWN, Side.BUY, Side.SELL]),
        st.sampled_from([Kind.FILL, Kind.FILL, Kind.LIQUIDATION, Kind.BLOCK]),
        st.integers(1, 10**6).map(lambda ticks: ticks / 100),
        st.booleans(),
    ),
    min_size=1,
    max_size=80,
)


def count(market: Market, number: int, trade_id: int, side: Side, kind: Kind, price: float) -> None:
    """Count one trade of 1 unit into a pane, as the monitor does."""
    pane = market.open_pane(number)
    if pane is None:
        return
    notional = round(price * 1e6)
    add_id(pane.ids, trade_id)
    if kind in (Kind.FILL, Kind.LIQUIDATION):
        is_liquidation = kind == Kind.LIQUIDATION
        pane.add_trade(trade_id, number * 1_000_000, price, notional, 0, 1, 0, side, is_liquidation)
        market.counted(number, pane, notional, notional if is_liquidation else 0)


def every_pane(market: Market) -> list[WindowFigures]:
    """Return the figures of each window from its panes alone."""
    newest = market.watermark
    return [reference_figures(pane for _, pane in market.panes(newest - window + 1, newest)) for window in WINDOWS]


@given(steps)
@settings(max_examples=150, deadline=None)
def test_windows_are_equal_in_every_bit(trades: list[tuple[int, Side, Kind, float, bool]]) -> None:
    """Whenever one looks, however late trades came, and whatever rests: the same as summing every pane of each."""
    market = Market("venue", "BTC/USD", SPAN)
    count(market, 1000, 1, Side.BUY, Kind.FILL, 100.0)
    rolling = Rolling(market, WINDOWS)
    stored: dict[bytes, bytes] = {}
    number = 1000
    for trade_id, (step, side, kind, price, look) in enumerate(trades, start=2):
        number = max(0, number + step)
        count(market, number, trade_id, side, kind, price)
        if look:
            assert rolling.figures() == every_pane(market)
            stored |= taken_from([market], SPAN)
    assert rolling.figures() == every_pane(market)
    stored |= taken_from([market], SPAN)
    assert rolling.figures() == every_pane(market)
    loaded = market_from(stored.items(), "venue", "BTC/USD", SPAN)
    assert loaded is not None
    assert Rolling(loaded, WINDOWS).figures() == every_pane(market)
    assert every_pane(loaded) == every_pane(market)


def test_a_late_trade_in_a_chunk_of_its_own_is_in_the_sums() -> None:
    """Its block was added up before, without a chunk there."""
    market = Market("venue", "BTC/USD", SPAN)
    for trade_id, number in enumerate((1024, 1024 + 40, 1024 + 700)):
        count(market, number, trade_id, Side.BUY, Kind.FILL, 100.0)
        taken_from([market], SPAN)
    rolling = Rolling(market, WINDOWS)
    assert rolling.figures() == every_pane(market)
    count(market, 1024 + 130, 9, Side.BUY, Kind.FILL, 90.0)
    assert rolling.figures() == every_pane(market)
    assert rolling.figures()[-1].count == 4


def test_version_rises_with_each_change() -> None:
    """Who remembers the version knows whether anything has changed."""
    market = Market("venue", "BTC/USD", SPAN)
    count(market, 1000, 1, Side.BUY, Kind.FILL, 100.0)
    rolling = Rolling(market, WINDOWS)
    assert rolling.poll()
    assert not rolling.poll()
    before = rolling.version
    count(market, 999, 2, Side.BUY, Kind.FILL, 101.0)
    assert rolling.poll()
    assert rolling.version == before + 1


def test_sparkline_has_the_last_price_of_each_step() -> None:
    """One point a step of panes, none where nothing traded, from the first price on."""
    market = Market("venue", "BTC/USD", SPAN)
    for number, price in ((960, 10.0), (963, 11.0), (968, 12.0), (984, 13.0), (1000, 14.0)):
        count(market, number, number, Side.BUY, Kind.FILL, price)
    end, points = Rolling(market, WINDOWS).spark()
    assert end == 1000 // SPARK_STEP * SPARK_STEP
    assert points == [11.0, 12.0, None, 13.0, None]
