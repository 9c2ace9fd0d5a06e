"""How far a market has come with each of its rules, and what a reader of an earlier release is told."""

import msgspec

from streams.model.kinds import AnyMarket
from tables.market.episodes import Mark
from tables.serving import LatestAlert, ServedMarkets, ShownRule
from tables.web.api.rows import Judgement, MarketRow
from tables.web.cluster.local import LocalRows
from tests.trades import NOON
from tests.worker import MemoryWorker


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
        Judgement("price_move", "percent", 2.0, 5.0, LatestAlert("price_move", NOON + 10, "MEDIUM", NOON + 10, True)),
        Judgement("volume", "usd", 1e6, 195.0, None),
    ]


def test_a_reader_of_an_earlier_release_is_told_of_the_rule_in_usd() -> None:
    """Whatever the order of the rules: it takes amounts for dollars."""
    worker = MemoryWorker(price_move_pct=2)
    market = worker.trade("BTC/USD", 0, 100.0)
    market.marks["volume"] = [Mark(NOON, 1, NOON)]
    market.marks["price_move"] = [Mark(NOON, 4, NOON)]
    row = row_of(worker)
    assert (row.rule, row.threshold_usd, row.amount_usd) == ("volume", 1e6, 100.0)
    assert row.mark == LatestAlert("volume", NOON, "LOW", NOON, True)


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
    assert row.mark is not None
    assert row.mark.rule == "price_move"


def test_a_market_that_no_rule_judges_is_shown() -> None:
    """With its windows, and nothing to reach."""
    worker = Without()
    worker.trade("BTC/USD", 0, 100.0)
    row = row_of(worker)
    assert (row.rule, row.threshold_usd, row.mark, row.judgements) == ("", None, None, [])
    assert row.windows


def test_a_row_of_an_earlier_release_is_read() -> None:
    """It has no judgements."""
    worker = MemoryWorker()
    worker.trade("BTC/USD", 0, 100.0)
    fields = msgspec.json.decode(msgspec.json.encode(row_of(worker)))
    del fields["judgements"]
    assert msgspec.convert(fields, MarketRow).judgements == []


def test_every_window_counts_from_the_rules_own() -> None:
    """What is measured is the rule window's, however many windows are shown."""
    worker = MemoryWorker()
    worker.trade("BTC/USD", 0, 100.0)
    worker.trade("BTC/USD", 200, 100.0)
    (judgement,) = row_of(worker).judgements
    assert judgement.measured == 200.0
    ((_, rolling),) = ServedMarkets(worker).rollings()
    assert [figures.total_volume_micro_usd for figures in rolling.figures()] == [100 * 10**6, 200 * 10**6]
