"""Kraken spot over WebSocket v2, channel ``trade``."""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec
from websockets.asyncio.client import ClientConnection

from streams import metrics
from streams.model.trade import Trade
from streams.venues.base import Venue
from streams.venues.parsed import Parsed
from streams.venues.socket_feed import LOG_EVERY_SECONDS, SocketFeed
from streams.venues.socket_timing import SocketTiming
from streams.words import counted

log = logging.getLogger(__name__)


class SpotFeed(SocketFeed):
    """Trades of spot markets. Ids are consecutive per symbol, so a hole shows and is counted.

    The snapshot of the first connection is history. In a later snapshot, rows that are newer than the last id seen were
    missed while the socket was closed. They are yielded as live, and the rest stays history.
    """

    def __init__(
        self,
        url: str,
        venue: Venue,
        symbols: Sequence[str],
        *,
        symbols_per_subscribe: int = 50,
        timing: SocketTiming | None = None,
    ) -> None:
        super().__init__(url, venue, symbols, symbols_per_subscribe=symbols_per_subscribe, timing=timing)
        self._last_ids: dict[str, int] = {}
        self._backfill_after: dict[str, int] = {}
        self._quiet_gaps_until = 0.0

    def _greetings(self) -> list[str]:
        return []

    def _subscribe_request(self, symbols: list[str]) -> str:
        return _request("subscribe", {"channel": "trade", "symbol": symbols, "snapshot": True})

    def _unsubscribe_request(self, symbols: list[str]) -> str:
        return _request("unsubscribe", {"channel": "trade", "symbol": symbols})

    async def _ping(self, socket: ClientConnection) -> None:
        await socket.send('{"method":"ping"}')

    def _resubscribing(self, symbols: list[str] | None) -> None:
        for symbol in self.symbols if symbols is None else symbols:
            if symbol in self._last_ids:
                self._backfill_after.setdefault(symbol, self._last_ids[symbol])

    def _absorb(self, parsed: Parsed) -> list[Trade]:
        if not parsed.is_snapshot:
            self._follow(parsed.trades)
            return parsed.trades
        by_symbol: dict[str, list[Trade]] = defaultdict(list)
        for trade in parsed.trades:
            by_symbol[trade.symbol].append(trade)
        trades: list[Trade] = []
        for symbol, rows in by_symbol.items():
            trades += self._backfill(symbol, sorted(rows, key=lambda trade: trade.trade_id))
        return trades

    def _backfill(self, symbol: str, rows: list[Trade]) -> list[Trade]:
        last = self._last_ids.get(symbol)
        after = self._backfill_after.pop(symbol, last)
        newest = rows[-1].trade_id
        self._last_ids[symbol] = newest if last is None else max(last, newest)
        if after is None:
            return rows
        self._count_gap(symbol, rows[0].trade_id - after - 1)
        return [
            msgspec.structs.replace(trade, is_snapshot=False) if trade.trade_id > after else trade for trade in rows
        ]

    def _follow(self, trades: list[Trade]) -> None:
        for trade in trades:
            last = self._last_ids.get(trade.symbol)
            if last is None or trade.trade_id > last:
                self._last_ids[trade.symbol] = trade.trade_id
                # A snapshot that is still to come may fill the hole.
                if last is not None and trade.symbol not in self._backfill_after:
                    self._count_gap(trade.symbol, trade.trade_id - last - 1)

    def _count_gap(self, symbol: str, missing: int) -> None:
        if missing <= 0:
            return
        metrics.gap_trades.labels(self.venue.name).inc(missing)
        if (now := time.monotonic()) >= self._quiet_gaps_until:
            self._quiet_gaps_until = now + LOG_EVERY_SECONDS
            log.warning(
                "%s %s: missed %s between two ids; see liqmon_gap_trades_total",
                self.venue.name,
                symbol,
                counted(missing, "trade"),
            )


def _request(method: str, params: dict[str, object]) -> str:
    return msgspec.json.encode({"method": method, "params": params}).decode()
