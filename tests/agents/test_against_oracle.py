"""Folding and judging agree with the oracle on every recording, however its trades are grouped into frames."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import msgspec
import pytest

from agents.counting.evaluation import Evaluator
from agents.counting.runs import Trades
from agents.rules.book import rule_book
from streams.model.alert import Alert, AlertId, supersedes
from streams.model.frames import decode_frame, encode_frame
from streams.settings import load_settings
from tables.market.chunks import prefix
from tables.market.identities import TradeId
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.items import market_from, taken_from
from tests.oracle import Oracle, OracleTrade, Terms
from tests.real_data import FUTURES_JSONL, REST_JSON, SPOT_CSV, futures_jsonl, real_file, rest_json, spot_csv
from tests.recordings import IN_ORDER, SCENARIOS, with_copies_and_snapshots
from tests.wire import records

PRICE_MOVE_PCT = Decimal("0.3")
TERMS = Terms(price_move_pct=PRICE_MOVE_PCT, has_ended=True)
SETTINGS = load_settings(price_move_pct=PRICE_MOVE_PCT)
SPAN = Span(TERMS.window_seconds, TERMS.retention_seconds)
WINDOWS = (1, 60, 300, 3600)
FRAMINGS = (1, 7, 60, 500)
SAMPLES = 15
SEEDS = range(60)
READERS = {SPOT_CSV: spot_csv, REST_JSON: rest_json, FUTURES_JSONL: futures_jsonl}

# Where a row came from is not the oracle's business.
UNJUDGED = {"received_us", "partition", "offset", "raised_offset", "covered_since"}


def batches(trades: list[OracleTrade], most: int, seed: int) -> Iterator[list[OracleTrade]]:
    """Cut a recording into socket messages of at most ``most`` trades."""
    random = Random(seed)
    at = 0
    while at < len(trades):
        count = random.randint(max(1, most // 2), most)
        yield trades[at : at + count]
        at += count


class Program:
    """The program's pure part: frames in, panes and rows out."""

    def __init__(self) -> None:
        self.evaluator = self._new_evaluator()
        self.durable: dict[bytes, bytes] = {}
        self.markets: dict[tuple[str, str], Market] = {}
        self.rows: dict[AlertId, Alert] = {}
        self.first_sent: dict[AlertId, Alert] = {}
        self.counted = self.duplicates = self.late = 0

    @staticmethod
    def _new_evaluator() -> Evaluator:
        return Evaluator(
            rule_book(SETTINGS),
            window=TERMS.window_seconds,
            cooldown=TERMS.cooldown_seconds,
            max_future_us=60_000_000,
        )

    def restart(self) -> None:
        """Store everything, forget it, and load it again."""
        self._load_again(list(self.markets))
        self.evaluator = self._new_evaluator()

    def evict(self, random: Random) -> None:
        """Let some markets leave memory, as those do that are idle, and load them again."""
        self._load_again([place for place in self.markets if random.random() < 0.5])

    def _load_again(self, places: list[tuple[str, str]]) -> None:
        markets = [self.markets[place] for place in places]
        self.record(self.evaluator.settle_all(0, markets))
        self.durable |= taken_from(markets, SPAN)
        self.evaluator.drop(markets)
        for venue, symbol in places:
            items = [(key, value) for key, value in self.durable.items() if key.startswith(prefix(venue, symbol))]
            loaded = market_from(items, venue, symbol, SPAN)
            assert loaded is not None
            self.markets[venue, symbol] = loaded

    def send(self, batch: list[OracleTrade], offset: int) -> None:
        by_market: dict[tuple[str, str], list[OracleTrade]] = defaultdict(list)
        for trade in batch:
            by_market[trade.venue, trade.symbol].append(trade)
        for (venue, symbol), trades in by_market.items():
            decoded = decode_frame(encode_frame(venue, symbol, records(trades), 0))
            frame = Trades(venue, symbol, decoded.kind, 0, decoded)
            market = self.markets.setdefault((venue, symbol), Market(venue, symbol, SPAN))
            message_us = max(trade.time_us for trade in trades)
            done = 0
            while done < len(frame):
                outcome = self.evaluator.fold(
                    market, frame, message_us=message_us, partition=0, offset=offset, start=done
                )
                assert not outcome.refused
                done = outcome.done
                self.counted += outcome.counted
                self.duplicates += outcome.duplicates
                self.late += outcome.late
                self.record(outcome.alerts)
                market.flushed_watermark = market.watermark

    def record(self, alerts: Iterable[Alert]) -> None:
        """Keep the fuller row, as the table of alerts does."""
        for alert in alerts:
            self.first_sent.setdefault(alert.id, alert)
            if alert.id not in self.rows or supersedes(alert, self.rows[alert.id]):
                self.rows[alert.id] = alert

    def finish(self) -> list[dict[str, Any]]:
        for market in self.markets.values():
            self.record(self.evaluator.end(market, partition=0, offset=market.offset).alerts)
        self.record(self.evaluator.settle_all(0, iter(self.markets.values())))
        in_order = sorted(self.rows, key=lambda key: (key.venue, key.symbol, key.pane, key.rule))
        rows = [msgspec.structs.asdict(self.rows[key]) for key in in_order]
        return [{name: value for name, value in row.items() if name not in UNJUDGED} for row in rows]


def run(trades: list[OracleTrade], most: int) -> tuple[Program, list[dict[str, Any]]]:
    """Send a recording, flushing now and then as the clock of a worker would."""
    program = Program()
    for offset, batch in enumerate(batches(trades, most, seed=most)):
        program.send(batch, offset)
        if offset % 13 == 0:
            program.record(program.evaluator.settle_all(0, iter(program.markets.values())))
    return program, program.finish()


def ids_of(kept: list[TradeId]) -> list[int]:
    """The ids of a pane, ascending; integer ids are kept as ranges."""
    if kept and isinstance(kept[0], bytes):
        return [int.from_bytes(uid, "big") for uid in kept if isinstance(uid, bytes)]
    bounds = [bound for bound in kept if isinstance(bound, int)]
    return [i for low, high in zip(bounds[::2], bounds[1::2], strict=True) for i in range(low, high + 1)]


class Expected:
    """What the oracle says of a recording, worked out once for all framings."""

    def __init__(self, trades: list[OracleTrade]) -> None:
        self.trades = trades
        self.judge = Oracle(trades, TERMS)
        self.alerts = self.judge.alerts()
        self.panes = {market: self.judge.panes(*market) for market in self.judge.markets()}
        self.windows = {
            (market, number, seconds): self.judge.window(*market, number, seconds)
            for market, panes in self.panes.items()
            for number in [*list(panes)[:: max(1, len(panes) // SAMPLES)], self.judge.watermark(*market)]
            for seconds in WINDOWS
            if number - seconds >= self.judge.watermark(*market) - TERMS.retention_seconds
        }


@cache
def expected_of(name: str) -> Expected:
    """Return the oracle's view of a scenario."""
    return Expected(SCENARIOS[name](7))


@cache
def expected_of_file(file: str, times: int) -> Expected:
    """Return the oracle's view of a real recording sent several times."""
    return Expected(READERS[file](real_file(file)) * times)


def assert_windows_equal(program: Program, expected: Expected) -> None:
    """Windows that are still wholly kept are equal bit for bit, and so are the ids of every pane."""
    assert set(program.markets) == set(expected.panes)
    for market, state in program.markets.items():
        assert state.watermark == expected.judge.watermark(*market)
        kept = {
            chunk.number * len(chunk.panes) + n: ids_of(pane.ids)
            for chunk in state.chunks.values()
            for n, pane in enumerate(chunk.panes)
            if pane is not None
        }
        ids = {number: pane["ids"] for number, pane in expected.panes[market].items()}
        assert {number: kept[number] for number in sorted(kept) if number >= state.oldest} == ids
    for (market, number, seconds), window in expected.windows.items():
        figures = msgspec.structs.asdict(program.markets[market].figures(number, seconds))
        assert figures == window if window else figures["count"] == 0


@pytest.mark.parametrize("most", FRAMINGS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_counts_windows_and_rows_are_the_oracles(name: str, most: int) -> None:
    """In whatever order trades arrive."""
    expected = expected_of(name)
    program, rows = run(expected.trades, most)
    assert program.counted == sum(expected.judge.counted.values())
    assert program.duplicates == sum(expected.judge.duplicates.values())
    assert program.late == sum(expected.judge.late.values())
    assert_windows_equal(program, expected)
    if name in IN_ORDER:
        assert rows == expected.alerts
    else:
        assert moves(rows) == moves(expected.alerts)
        assert_episodes_equal(program, rows, expected)


@pytest.mark.parametrize(
    "name", ["several markets", "sparse", "hours of silence", "late but kept", "everything at once"]
)
def test_markets_that_left_memory_come_back_as_they_were(name: str) -> None:
    """Whenever that is: windows and ids are the oracle's, rows those of a worker that kept them."""
    expected = expected_of(name)
    _, kept = run(expected.trades, 7)
    program, random = Program(), Random(1)
    for offset, batch in enumerate(batches(expected.trades, 7, seed=7)):
        program.send(batch, offset)
        if offset % 29 == 0:
            program.evict(random)
    rows = program.finish()
    assert_windows_equal(program, expected)
    assert rows == kept
    if name in IN_ORDER:
        assert rows == expected.alerts


def moves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the rule that is judged in the order of arrival: they are the oracle's, whatever that order is."""
    return [row for row in rows if row["rule"] == "price_move"]


def assert_episodes_equal(program: Program, rows: list[dict[str, Any]], expected: Expected) -> None:
    """No episode is missed and none alerts twice; the figures of a row are its window's.

    Where trades of a market arrive out of order, an alert may carry a later pane than the sorted order would give.
    """
    for alert in expected.alerts:
        assert any(
            (row["rule"], row["venue"], row["symbol"]) == (alert["rule"], alert["venue"], alert["symbol"])
            and abs(row["pane"] - alert["pane"]) < TERMS.cooldown_seconds
            for row in rows
        ), f"nothing near {alert['symbol']} {alert['pane']}"
    for row in rows:
        figures = expected.judge.window(row["venue"], row["symbol"], row["pane"])
        assert figures is not None
        assert row | figures == row
    # A row's severity may be corrected later; what an alert said when it was raised is said once an episode.
    said = Counter((first.rule, first.symbol, first.episode, first.severity) for first in program.first_sent.values())
    assert set(said.values()) == {1}, f"alerted twice: {said.most_common(3)}"


@pytest.mark.parametrize(("times", "most"), [*((1, most) for most in FRAMINGS), (2, 7), (2, 500)])
@pytest.mark.parametrize("file", [SPOT_CSV, REST_JSON, FUTURES_JSONL])
def test_real_recordings(file: str, times: int, most: int) -> None:
    """Sent once or twice: rows and windows are the oracle's."""
    expected = expected_of_file(file, times)
    program, rows = run(expected.trades, most)
    assert rows == expected.alerts
    assert_windows_equal(program, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_and_snapshots_in_any_order_and_frame_and_around_restarts(seed: int) -> None:
    """Only panes with a live trade alert, whoever brought which copy first, and whenever a worker began anew."""
    trades = with_copies_and_snapshots(seed)
    expected = Oracle(trades, replace(TERMS, in_order_given=True)).alerts()
    for most, restarts_every in ((1, None), (1, 1), (3, None), (3, 5), (40, 2)):
        program = Program()
        for offset, batch in enumerate(batches(trades, most, seed)):
            program.send(batch, offset)
            if restarts_every is not None and offset % restarts_every == 0:
                program.restart()
        assert program.finish() == expected, f"seed {seed}, frames of {most}, restarts every {restarts_every}"
