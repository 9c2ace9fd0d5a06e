"""A worker without Faust or a broker: the program's own fold, judge and state layout over plain dictionaries.

It can die at any moment, with any part of a flush done, and start again from what it had made durable.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from agents.counting.evaluation import Evaluator
from agents.counting.monitor import SourceMessage, decode
from agents.rules.book import rule_book
from streams.model.alert import Alert, AlertId, supersedes
from streams.model.frames import encode_frame
from streams.model.trade import Trade
from streams.settings import Settings, load_settings
from tables.market.chunks import HEAD, chunk_key, decode_chunk, decode_head, encode, head_key, prefix
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.base import newer
from tests.trades import row_reader

FAR_FUTURE_SECONDS = 4e9
ROWS = row_reader()
# Where a row came from is not the oracle's business.
NOT_THE_ORACLES = {"received_us", "partition", "offset", "raised_offset", "covered_since"}


def frames_of(trades: Sequence[Trade], size: int) -> list[bytes]:
    """Return the trades as a producer would frame them, at most ``size`` a frame, one market a frame."""
    frames = []
    for start in range(0, len(trades), size):
        by_market: dict[tuple[str, str], list[Trade]] = {}
        for trade in trades[start : start + size]:
            by_market.setdefault((trade.venue, trade.symbol), []).append(trade)
        frames += [encode_frame(venue, symbol, part, 1) for (venue, symbol), part in by_market.items()]
    return frames


class Replica:
    """Reads one partition's log. ``rows`` are the alerts as Postgres would hold them: the later row wins."""

    def __init__(self, log: Sequence[bytes], settings: Settings | None = None, *, slack: int = 3600) -> None:
        self.settings = settings or load_settings()
        self.log = log
        self.span = Span(self.settings.window_seconds, self.settings.retention_seconds, slack)
        self.durable: dict[bytes, bytes] = {}
        self.committed = 0
        self.rows: dict[AlertId, Alert] = {}
        self.counted = self.duplicates = self.late = self.sent = 0
        self.refused: list[str] = []
        self.start()

    def start(self) -> None:
        """Forget what was only in memory and go on from the last commit."""
        self.evaluator = Evaluator(
            rule_book(self.settings),
            window=self.settings.window_seconds,
            cooldown=self.settings.alert_cooldown_sec,
            max_future_us=self.settings.max_future_seconds * 1_000_000,
        )
        self.markets: dict[tuple[str, str], Market] = {}
        self.position = self.committed

    def market(self, venue: str, symbol: str) -> Market:
        """Return a market, from what is durable on first use."""
        if (venue, symbol) not in self.markets:
            stored = {k: v for k, v in self.durable.items() if k.startswith(prefix(venue, symbol))}
            head = next((decode_head(k, v) for k, v in stored.items() if k.endswith(HEAD.encode())), None)
            market = Market(venue, symbol, self.span)
            market.restore(head, [decode_chunk(k, v) for k, v in stored.items() if not k.endswith(HEAD.encode())])
            self.markets[venue, symbol] = market
        return self.markets[venue, symbol]

    def step(self, dies: Random | None = None) -> None:
        """Process the next message of the log; with ``dies``, die in the middle of a flush that it asks for."""
        offset = self.position
        message = SourceMessage(self.log[offset], 0, offset, FAR_FUTURE_SECONDS)
        trades = decode(message, ROWS)
        market = self.market(trades.venue, trades.symbol)
        done = 0
        while done < len(trades):
            outcome = self.evaluator.fold(market, trades, message_us=4 * 10**15, partition=0, offset=offset, start=done)
            done = outcome.done
            self.counted += outcome.counted
            self.duplicates += outcome.duplicates
            self.late += outcome.late
            self.refused += [refusal.reason for refusal in outcome.refused]
            self.record(outcome.alerts)
            if done < len(trades) or market.must_flush():
                self.flush(dies)
                if dies is not None:
                    self.start()
                    return
        self.position += 1

    def run(self, until: int | None = None) -> "Replica":
        """Process the log up to an offset, or all of it and flush."""
        while self.position < (len(self.log) if until is None else until):
            self.step()
        if until is None:
            self.flush()
            self.committed = self.position
        return self

    def record(self, alerts: Sequence[Alert]) -> None:
        """Bring rows up to date, as the recorder does."""
        for alert in alerts:
            self.sent += 1
            if alert.id not in self.rows or supersedes(alert, self.rows[alert.id]):
                self.rows[alert.id] = alert

    def flush(self, dies: Random | None = None) -> None:
        """Make everything durable, alerts first; with ``dies``, only a random part of it."""
        alerts = self.evaluator.settle_all(0, self.markets.values())
        writes: list[tuple[bytes, bytes]] = []
        for market in self.markets.values():
            head, chunks = market.take_dirty()
            writes.append((head_key(market.venue, market.symbol), encode(head)))
            writes += [(chunk_key(market.venue, market.symbol, c.number % self.span.slots), encode(c)) for c in chunks]
            market.flushed_watermark = market.watermark
        if dies is not None:
            if dies.random() < 0.3:
                alerts, writes = alerts[: dies.randrange(len(alerts) + 1)], []
            dies.shuffle(writes)
            writes = writes[: dies.randrange(len(writes) + 1)]
        self.record(alerts)
        for key, value in writes:
            if newer(self.durable.get(key), value):
                self.durable[key] = value


class WrittenInOrder(Random):
    """Deaths in flushes whose records reach the changelog in the order they were sent."""

    def shuffle(self, x: Any) -> None:
        pass


class Owners:
    """Owners of a partition, one after the other, with the same changelog and rows. They die, or freeze and wake."""

    def __init__(self, log: Sequence[bytes], settings: Settings, seed: int) -> None:
        self.random = WrittenInOrder(seed)
        self.current = Replica(log, settings)
        self._log = log
        self._settings = settings
        self._frozen: list[Replica] = []

    def _succeed(self) -> None:
        heir = Replica(self._log, self._settings)
        heir.durable, heir.rows, heir.committed = self.current.durable, self.current.rows, self.current.committed
        heir.start()
        self.current = heir

    def run(self) -> "Owners":
        """Process the log, whatever happens on the way; what was frozen wakes at last, and somebody takes over."""
        while self.current.position < len(self._log):
            self.current.step()
            fate = self.random.random()
            if fate < 0.06:
                self.current.flush()
                self.current.committed = self.current.position
            elif fate < 0.12:
                if fate < 0.08:
                    self.current.flush(dies=self.random)
                elif fate > 0.09:
                    self._frozen.append(self.current)
                self._succeed()
            if self._frozen and self.random.random() < 0.05:
                self._frozen.pop().flush(dies=self.random if self.random.random() < 0.4 else None)
        self.current.run()
        for frozen in self._frozen:
            frozen.flush()
        self._succeed()
        return self


def rows(replica: Replica) -> list[dict[str, Any]]:
    """Return the alerts' rows by market, pane and rule, with what the oracle says of them too."""
    in_order = sorted(replica.rows, key=lambda key: (key.venue, key.symbol, key.pane, key.rule))
    return [
        {k: v for k, v in msgspec.structs.asdict(replica.rows[key]).items() if k not in NOT_THE_ORACLES}
        for key in in_order
    ]
