"""How far a market has come with each of its rules, and what a reader of an earlier release is told."""

import msgspec

from streams.model.kinds import AnyMarket
from streams.model.trade import Kind, Side
from tables.market.episodes import Mark
from tables.serving import LatestAlert, ServedMarkets, ShownRule
from tables.web.api.rows import Judgement, MarketRow, WindowRow
from tables.web.cluster.local import LocalRows
from tests.made_up_rules import SellShare
from tests.tables.market.test_rolling import count
from tests.trades import NOON
from tests.worker import MemoryWorker

MOVED = LatestAlert("price_move", NOON + 10, "MEDIUM", NOON + 10, True)


def row_of(worker: MemoryWorker, symbol: str = "BTC/USD") -> MarketRow:
    """Return a market's row."""
    served = ServedMarkets(worker)
    found = {rolling.market.symbol: (partition, rolling) for partition, rolling in served.rollings()}
    return LocalRows(served).market_row(*found[symbol])


def test_each_rule_of_a_market_is_measured_in_its_unit() -> None:
    """With its own latest alert; a price that fell has moved as far as one that rose."""
    worker = MemoryWorker(price_move_pct=2)
    worker.trade("BTC/USD", 0, 100.0)
    market = worker.trade("BTC/USD", 10, 95.0)
    market.marks["price_move"] = [Mark(NOON + 10, 2, NOON + 10)]
    assert row_of(worker).judgements == [
        Judgement("price_move", "percent", 2.0, 5.0, MOVED, (2.0, 4.0, 10.0, 20.0), 300),
        Judgement("volume", "usd", 1e6, 195.0, None, (1e6, 2e6, 5e6, 1e7), 300),
    ]


def test_a_reader_of_an_earlier_release_is_told_of_the_rule_in_usd() -> None:
    """Whatever the order of the rules: it takes amounts for dollars."""
    worker = MemoryWorker(price_move_pct=2)
    market = worker.trade("BTC/USD", 0, 100.0)
    market.marks["volume"] = [Mark(NOON, 1, NOON)]
    market.marks["price_move"] = [Mark(NOON, 4, NOON)]
    row = row_of(worker)
    assert (row.rule, row.threshold_usd, row.amount_usd) == ("volume", 1e6, 100.0)
    assert row.latest_alert == LatestAlert("volume", NOON, "LOW", NOON, True)


def test_a_rule_may_measure_what_no_figure_of_the_table_is() -> None:
    """The worker says what it measured, in rows of the stream and of the API."""
    worker = MemoryWorker(further=[SellShare])
    worker.trade("BTC/USD", 0, 100.0)
    worker.trade("BTC/USD", 1, 300.0, side=Side.SELL)
    wanted = ("sell_share", "percent", 50.0, 75.0, None, (50.0, 100.0, 250.0, 500.0), 300)
    assert msgspec.structs.astuple(row_of(worker).judgements[-1]) == wanted
    served = ServedMarkets(worker)
    ((partition, rolling),) = served.rollings()
    by_length = {row.window_seconds: row for row in LocalRows(served).windows_of(partition, rolling)}
    assert msgspec.structs.astuple(by_length[300].judgements[-1]) == wanted
    assert by_length[60].judgements == []


def test_a_rule_that_cannot_measure_says_nothing() -> None:
    """A market of which the window holds a block alone has no share of sales."""
    worker = MemoryWorker(further=[SellShare])
    count(worker.market("BTC/USD"), NOON, 1, Side.BUY, Kind.BLOCK, 100.0)
    assert [one.measured for one in row_of(worker).judgements] == [0.0, None]


def test_an_alert_that_later_trades_took_back_is_not_open() -> None:
    """The price fell by 5 %, but the last trade of that second came late, and it had not."""
    worker = MemoryWorker(price_move_pct=2)
    worker.trade("BTC/USD", 0, 100.0)
    market = worker.trade("BTC/USD", 10, 95.0)
    market.marks["price_move"] = [Mark(NOON + 10, 2, NOON + 10)]
    market.marks["volume"] = [Mark(NOON + 10, 1, NOON + 10)]
    worker.trade("BTC/USD", 20, 100.0)
    move, volume = row_of(worker).judgements
    assert move.alert == LatestAlert("price_move", NOON + 10, "MEDIUM", NOON + 10, True)
    worker.trade("BTC/USD", 10, 99.0)
    move, volume = row_of(worker).judgements
    assert move.alert == LatestAlert("price_move", NOON + 10, "MEDIUM", NOON + 10, False, True)
    # A volume only grows: its rule takes nothing back, whatever its threshold is now.
    assert volume.alert == LatestAlert("volume", NOON + 10, "LOW", NOON + 10, True)


def test_an_alert_that_another_threshold_may_have_raised_is_not_called_retracted() -> None:
    """It was raised with 1 per cent, and the worker began again with 5: its row stands, and so does what is shown."""
    worker = MemoryWorker(price_move_pct=5)
    worker.trade("BTC/USD", 0, 100.0)
    market = worker.trade("BTC/USD", 10, 99.0)
    market.marks["price_move"] = [Mark(NOON + 10, 1, NOON + 10)]
    worker.restored.add(("BTC/USD", "price_move", NOON + 10))
    move, _ = row_of(worker).judgements
    assert move.alert == LatestAlert("price_move", NOON + 10, "LOW", NOON + 10, open=True, retracted=False)


class Without(MemoryWorker):
    """A worker whose markets no rule in USD judges."""

    def rules_of(self, market: AnyMarket) -> tuple[ShownRule, ...]:
        return tuple(rule for rule in super().rules_of(market) if rule.unit != "usd")


def test_a_rule_that_counts_no_usd_has_no_threshold_in_usd() -> None:
    """Its name and latest alert are known; 2 per cent are no 2 dollars."""
    worker = Without(price_move_pct=2)
    worker.trade("BTC/USD", 0, 100.0).marks["price_move"] = [Mark(NOON, 1, NOON)]
    row = row_of(worker)
    assert (row.rule, row.threshold_usd, row.amount_usd) == ("price_move", None, None)
    assert row.latest_alert is not None
    assert row.latest_alert.rule == "price_move"


def test_a_market_that_no_rule_judges_is_shown() -> None:
    """With its windows, and nothing to reach."""
    worker = Without()
    worker.trade("BTC/USD", 0, 100.0)
    row = row_of(worker)
    assert (row.rule, row.threshold_usd, row.latest_alert, row.judgements) == ("", None, None, [])
    assert row.windows


def test_a_row_of_an_earlier_release_is_read() -> None:
    """It has no judgements."""
    worker = MemoryWorker()
    worker.trade("BTC/USD", 0, 100.0)
    fields = msgspec.json.decode(msgspec.json.encode(row_of(worker)))
    del fields["judgements"]
    assert msgspec.convert(fields, MarketRow).judgements == []


def test_windows_of_another_release_are_read() -> None:
    """One of before names no rules, and a later one may say more of them."""
    worker = MemoryWorker(price_move_pct=2)
    worker.trade("BTC/USD", 0, 100.0)
    served = ServedMarkets(worker)
    *_, row = LocalRows(served).windows_of(*served.rollings()[0])
    fields = msgspec.json.decode(msgspec.json.encode(row))
    fields["judgements"][0]["more"] = [1]
    assert msgspec.convert(fields, WindowRow) == row
    del fields["judgements"]
    assert msgspec.convert(fields, WindowRow) == msgspec.structs.replace(row, judgements=[])


def test_every_window_counts_from_the_rules_own() -> None:
    """What is measured is the rule window's, however many windows are shown."""
    worker = MemoryWorker()
    worker.trade("BTC/USD", 0, 100.0)
    worker.trade("BTC/USD", 200, 100.0)
    (judgement,) = row_of(worker).judgements
    assert judgement.measured == 200.0
    ((_, rolling),) = ServedMarkets(worker).rollings()
    assert [figures.total_volume_micro_usd for figures in rolling.figures()] == [100 * 10**6, 200 * 10**6]
