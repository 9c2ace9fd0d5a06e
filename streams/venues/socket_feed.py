"""A venue's socket that is always opened again: what feeds of all protocols have in common."""

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from streams import metrics
from streams.addresses import without_secrets
from streams.errors import BadRecord, BadSetting, Outage
from streams.model.connection import Connection
from streams.model.trade import Batch, Reject, Trade
from streams.venues.asking import countable, message_of
from streams.venues.base import Feed, Venue
from streams.venues.parsed import Parsed
from streams.venues.reconnect import Backoff, ConnectionLimiter
from streams.venues.request_pace import RequestPace
from streams.venues.socket_opening import SOCKETS, opened_socket
from streams.venues.socket_report import MISSING_SECONDS, SocketReport
from streams.venues.socket_timing import SocketTiming
from streams.venues.subscriptions import Phase, Subscriptions
from streams.words import counted

log = logging.getLogger(__name__)

# How soon a silent symbol or a missing answer is noticed. Both deadlines are ten seconds and more.
TICK_SECONDS: Final = 0.25
# While the producer has no room, nobody reads the socket. That time is not counted as the venue's silence.
SLOW_READER_SECONDS: Final = 0.5
# A venue's word for the state in which everything trades.
ONLINE: Final = "online"
# A status page names no more of the symbols that were refused.
MAX_NAMED: Final = 20
# While the exchange is away, one line per minute is enough.
LOG_EVERY_SECONDS: Final = 60.0


class SocketFeed(Feed):
    """One venue's trades over one socket at a time, reconnecting without limit.

    ``connected`` tells whether the socket is open now. ``reconnects`` counts how often it was opened again.
    The venue reads its messages. A subclass knows the rest of the protocol: how to ask, and which rows of a snapshot
    are new. A symbol whose notional the venue does not know is refused by name, and the others go on. Raises
    :class:`BadSetting` where none is left, and for an address that is no socket's.
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
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise BadSetting(
                f"the socket of {venue.name} must be a ws:// or wss:// address, not {without_secrets(url)!r}"
            )
        timing = timing or SocketTiming()
        self.url = url
        self.venue = venue
        self.symbols = countable(venue, symbols)
        self.connected = False
        self.reconnects = 0
        self.subscriptions = Subscriptions(
            self.symbols,
            chunk=symbols_per_subscribe,
            ack_timeout_seconds=timing.ack_timeout_seconds,
            stale_seconds=timing.symbol_stale_seconds,
            pace=RequestPace(least_seconds=timing.least_put_off_seconds, most_seconds=timing.most_put_off_seconds),
        )
        self.report = SocketReport(venue.name, len(self.symbols))
        self.report.show(self.subscriptions, is_connected=False)
        self._timing = timing
        self._limiter = ConnectionLimiter()
        self._backoff = Backoff(
            fast_tries=timing.fast_tries,
            least_seconds=timing.least_backoff_seconds,
            most_seconds=timing.most_backoff_seconds,
        )
        self._system = ONLINE
        self._opened = 0
        self._changed_at: float | None = None
        self._heard_at: float | None = None
        self._quiet_until = 0.0
        self._last_trade = {symbol: metrics.last_trade_seconds.labels(venue.name, symbol) for symbol in self.symbols}
        for gauge in self._last_trade.values():
            gauge.set_to_current_time()
        metrics.start_venue(
            venue.name, metrics.skipped, metrics.gap_trades, metrics.reconnects, metrics.resubscriptions
        )
        metrics.connected.labels(venue.name).set(0)

    @abstractmethod
    def _greetings(self) -> list[str]:
        """Return what to send once on a new socket, before the subscriptions."""

    @abstractmethod
    def _subscribe_request(self, symbols: list[str]) -> str:
        """Return the request that subscribes to these symbols' trades."""

    @abstractmethod
    def _unsubscribe_request(self, symbols: list[str]) -> str:
        """Return the request that ends these subscriptions."""

    @abstractmethod
    async def _ping(self, socket: ClientConnection) -> None:
        """Send what keeps an idle socket open."""

    def _absorb(self, parsed: Parsed) -> list[Trade]:
        """Return the message's trades, marked as snapshot or live by what was seen before."""
        return parsed.trades

    def _resubscribing(self, symbols: list[str] | None) -> None:
        """Prepare for another snapshot of these symbols, or of all where ``symbols`` is None."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield a batch for every socket message that holds trades or rejects, for ever.

        A lost or silent connection is opened again, and nothing is raised for it. To close the socket, close the
        generator or cancel the task that reads it.
        """
        self.subscriptions.lost(time.monotonic())
        while self.symbols:
            if (pause := self._limiter.wait_seconds(time.monotonic())) > 0:
                await asyncio.sleep(pause)
            started = time.monotonic()
            self._limiter.attempted(started)
            pause = 0.0
            try:
                async with aclosing(self._session()) as session:
                    async for batch in session:
                        yield batch
            except (OSError, TimeoutError, WebSocketException, Outage) as error:
                pause = self._backoff.failed(time.monotonic() - started)
                self._report_loss(error, pause)
            await asyncio.sleep(pause)

    async def _session(self) -> AsyncGenerator[Batch, None]:
        async with opened_socket(self.url, self.venue.name, self._timing) as socket:
            keepalive = asyncio.create_task(self._keep_alive(socket))
            try:
                self._count_opened()
                for greeting in self._greetings():
                    await self._send(socket, greeting)
                async with aclosing(self._read(socket)) as reading:
                    async for batch in reading:
                        yield batch
            finally:
                keepalive.cancel()
                if self.connected:
                    self._set_connected(connected=False)

    async def _read(self, socket: ClientConnection) -> AsyncGenerator[Batch, None]:
        deadline = time.monotonic() + self._timing.heartbeat_timeout_seconds
        next_tick = 0.0
        while True:
            now = time.monotonic()
            if now >= next_tick:
                await self._send_due(socket)
                next_tick = now + TICK_SECONDS
            try:
                with SOCKETS.surprises():
                    async with asyncio.timeout(max(0.0, min(next_tick, deadline) - now)):
                        data = await socket.recv(decode=False)
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise Outage(f"silent for {self._timing.heartbeat_timeout_seconds:g} s") from None
                continue
            received_us = time.time_ns() // 1000
            self._heard_at = received_us / 1e6
            heard = time.monotonic()
            parsed = self._parsed(data)
            trades = self._take(parsed, heard, received_us)
            if trades or parsed.rejects:
                yield Batch(trades, received_us, parsed.rejects)
            if parsed.acks and self.subscriptions.waits_for_turn:
                await self._send_due(socket)
            resumed = time.monotonic()
            if resumed - heard > SLOW_READER_SECONDS:
                self.subscriptions.forgive(resumed - heard)
            deadline = resumed + self._timing.heartbeat_timeout_seconds

    def _parsed(self, data: bytes) -> Parsed:
        try:
            return message_of(self.venue, data)
        except BadRecord as error:
            return Parsed(rejects=[Reject(error.reason, error.detail, data, self.venue.name)])

    def _take(self, parsed: Parsed, heard: float, received_us: int) -> list[Trade]:
        for ack in parsed.acks:
            self.report.refused(self.subscriptions.answered(ack, heard), ack)
            if not ack.accepted and not ack.is_definite:
                self.report.put_off(ack, self.subscriptions.pace.pause_left(heard), heard)
        if parsed.acks:
            self.report.show(self.subscriptions, is_connected=True)
        if parsed.system and parsed.system != self._system:
            log.info("%s is %s, was %s", self.venue.name, parsed.system, self._system)
            self._system = parsed.system
            if parsed.system == ONLINE:
                self.subscriptions.online()
        self.report.said(parsed, heard)
        trades = self._absorb(parsed)
        seen = self.subscriptions.heard if parsed.is_snapshot else self.subscriptions.traded
        for symbol in {trade.symbol for trade in trades}:
            seen(symbol, heard)
            if not parsed.is_snapshot and (gauge := self._last_trade.get(symbol)):
                gauge.set(received_us / 1e6)
        return trades

    async def _send_due(self, socket: ClientConnection) -> None:
        requests = self.subscriptions.due(time.monotonic(), is_online=self._system == ONLINE)
        self.report.asked(requests)
        self.report.show(self.subscriptions, is_connected=True)
        if requests.unsubscribe:
            self._resubscribing(requests.unsubscribe)
            await self._send(socket, self._unsubscribe_request(requests.unsubscribe))
        for group in requests.subscribe:
            await self._send(socket, self._subscribe_request(group))

    async def _send(self, socket: ClientConnection, text: str) -> None:
        with SOCKETS.surprises():
            async with asyncio.timeout(self._timing.heartbeat_timeout_seconds):
                await socket.send(text)

    async def _keep_alive(self, socket: ClientConnection) -> None:
        while True:
            # Without subscriptions Kraken's spot socket sends no heartbeat. Its answers to pings show that it lives.
            is_subscribed = self.subscriptions.in_phase(Phase.ACTIVE)
            pause = self._timing.ping_seconds if is_subscribed else self._timing.heartbeat_timeout_seconds / 3
            await asyncio.sleep(min(pause, self._timing.ping_seconds))
            try:
                with SOCKETS.asked(self.venue.name):
                    await self._ping(socket)
            except Outage:
                return

    def _count_opened(self) -> None:
        self._set_connected(connected=True)
        if self._opened:
            self.reconnects += 1
            metrics.reconnects.labels(self.venue.name).inc()
        self._opened += 1
        self._system = ONLINE
        if self._opened == 1 or self._backoff.failures <= 1:
            log.info("%s: connected, %s", self.venue.name, counted(len(self.symbols), "symbol"))
        self.subscriptions.connected(time.monotonic())
        self._resubscribing(None)

    def _set_connected(self, *, connected: bool) -> None:
        self.connected = connected
        self._changed_at = time.time()
        metrics.connected.labels(self.venue.name).set(int(connected))
        if not connected:
            self.subscriptions.lost(time.monotonic())
            self.report.show(self.subscriptions, is_connected=False)

    def _report_loss(self, error: Exception, pause: float) -> None:
        if self._backoff.failures > 1 and time.monotonic() < self._quiet_until:
            return
        self._quiet_until = time.monotonic() + LOG_EVERY_SECONDS
        when = f"in {pause:.0f} s" if pause else "at once"
        log.warning(
            "%s: connection lost (%s), attempt %d, trying again %s",
            self.venue.name,
            str(error) or type(error).__name__,
            self._backoff.failures,
            when,
        )

    def connection(self) -> Connection:
        """Return what is known of the socket."""
        return Connection(
            venue=self.venue.name,
            address=without_secrets(self.url),
            connected=self.connected,
            since=self._changed_at,
            last_message=self._heard_at,
            reconnects=self.reconnects,
            symbols=len(self.symbols),
            unsettled=len(self.unsettled()),
            refused=self.subscriptions.refused()[:MAX_NAMED],
            missing=len(self.subscriptions.missing(time.monotonic(), MISSING_SECONDS)),
        )

    def unsettled(self) -> list[str]:
        """Return the symbols that are not acknowledged now."""
        return [symbol for symbol in self.symbols if self.subscriptions.phase(symbol) is not Phase.ACTIVE]
