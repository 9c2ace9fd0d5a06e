"""The monitor: takes messages of the topic ``trades``, keeps windows, sends alerts, refuses what is malformed.

It only wires: decode, fold and judge (:mod:`agents.counting.evaluation`), send. Nothing it is given may raise out of
:meth:`Monitor.handle`: Faust acknowledges a message whose handler raised, and it would be lost.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from agents.counting.evaluation import Evaluator
from agents.counting.not_kept import NotKept
from agents.counting.runs import Trades, row_of
from agents.counting.series import series_of
from agents.counting.tally import Outcome, Refusal
from streams import metrics
from streams.errors import BadRecord
from streams.kafka.outbound import Outbound, Record
from streams.model import deadletters
from streams.model.alert import Alert
from streams.model.amounts import amounts_of
from streams.model.deadletters import DeadLetter
from streams.model.frames import decode_frame
from streams.model.kinds import MarketKind
from streams.severities import SEVERITIES
from streams.topics import ALERTS, DEAD_LETTERS, TRADES
from streams.venues.json_rows import RowReader
from tables.keeper import Keeper
from tables.market.state import Market

log = logging.getLogger(__name__)

metrics.start_at_zero(metrics.dead_letters, deadletters.REASONS)
metrics.start_at_zero(metrics.trades_apart, metrics.KINDS_APART)

_encode_alert: Final = msgspec.json.Encoder().encode

_JSON_START: Final = (b"{", b"[", b" ", b"\n", b"\t", b"\r", b'"')


class SourceMessage(msgspec.Struct, frozen=True):
    """A Kafka message with its coordinates; ``timestamp`` is unix seconds.

    ``refused`` says why the client did not hand it on whole; ``value`` then holds its first bytes.
    """

    value: bytes | None
    partition: int
    offset: int
    timestamp: float
    refused: str = ""

    @property
    def received_us(self) -> int:
        """Its time in microseconds: a row of JSON says of none other when it was received."""
        return round(self.timestamp * 1e6)


def decode(message: SourceMessage, rows: RowReader) -> Trades:
    """Read a frame, or one trade as JSON, which ``rows`` gives to its venue. Raises :class:`BadRecord`."""
    value = message.value or b""
    if message.refused:
        raise BadRecord("too_large", message.refused)
    if not value:
        raise BadRecord("not_a_frame", "the message is empty")
    if value.startswith(_JSON_START):
        trade = rows.read(value)
        return Trades(
            trade.venue,
            trade.symbol,
            trade.product.kind,
            message.received_us,
            [row_of(trade, amounts_of(trade))],
            [trade.word],
        )
    frame = decode_frame(value)
    return Trades(frame.venue, frame.symbol, frame.kind, frame.received_us, frame)


def alert_record(alert: Alert) -> Record:
    """Return the record that carries an alert's row."""
    return Record(ALERTS, alert.symbol.encode(), _encode_alert(alert))


class Monitor:
    """Handles one message at a time of each partition. ``home`` gives the partition a symbol belongs to.

    ``now`` returns unix seconds by the clock that counts.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        keeper: Keeper,
        outbound: Outbound,
        *,
        home: Callable[[str], int],
        rows: RowReader,
        now: Callable[[], float] = time.time,
    ) -> None:
        metrics.start_at_zero(metrics.alerts, [rule.name for rule in evaluator.rules.rules], SEVERITIES)
        self._evaluator = evaluator
        self._keeper = keeper
        self._outbound = outbound
        self.home = home
        self._rows = rows
        self._now = now
        self._not_kept = NotKept()

    async def handle(self, message: SourceMessage) -> None:
        """Do everything a message asks for, up to handing alerts and dead letters to the broker's client."""
        trades = await self.decoded(message)
        if trades is not None:
            await self.handle_trades(message, trades)

    async def decoded(self, message: SourceMessage) -> Trades | None:
        """Return what a message holds; None where that cannot be used, and was put aside."""
        try:
            return decode(message, self._rows)
        except BadRecord as error:
            await self._refuse(message, error.reason, error.detail, message.value or b"")
        except Exception as error:
            log.exception("a message could not be decoded (partition %d, offset %d)", message.partition, message.offset)
            await self._refuse(message, "internal_error", repr(error)[:200], message.value or b"")
        return None

    async def handle_trades(self, message: SourceMessage, trades: Trades) -> None:
        """Do what a message asks for that is decoded."""
        home = self.home(trades.symbol)
        if home != message.partition:
            await self._forward(message, trades, home)
        elif trades.is_reset:
            await self._turn_back(message, trades)
        else:
            await self._count(message, trades)

    async def _count(self, message: SourceMessage, trades: Trades) -> None:
        try:
            market = await self._keeper.market(
                message.partition, trades.venue, trades.symbol, trades.market_kind, at_seconds=message.timestamp
            )
        except BadRecord as error:
            self._not_kept.add(error, time.monotonic())
            await self._refuse(message, error.reason, error.detail, message.value or b"", trades)
            return
        if trades.market_kind is not market.kind and trades.market_kind != market.kind:
            await self._refuse(
                message, "wrong_kind", _told_apart(trades.market_kind, market), message.value or b"", trades
            )
            return
        done = 0
        while done < len(trades):
            # A flush between two parts of a message has taken what was touched before it.
            self._keeper.touch(message.partition, market)
            outcome = self._evaluator.fold(
                market,
                trades,
                message_us=round(message.timestamp * 1e6),
                partition=message.partition,
                offset=message.offset,
                start=done,
            )
            await self._emit(message, trades, outcome)
            done = outcome.done
            if done < len(trades) or market.must_flush():
                await self._keeper.flush()
        if trades.is_end:
            ended = self._evaluator.end(market, partition=message.partition, offset=message.offset)
            await self._emit(message, trades, ended)
            return
        series = series_of(trades.venue, trades.symbol)
        series.frames.inc()
        series.frame_bytes.inc(len(message.value or b""))
        series.last_trade_seconds.set(trades.received_us / 1e6)

    async def _turn_back(self, message: SourceMessage, trades: Trades) -> None:
        """Bring a market back whose clock ran ahead, as an operator asked; nothing happens where it did not."""
        market = await self._keeper.known(message.partition, trades.venue, trades.symbol)
        before = -1 if market is None else market.watermark
        if market is None or not self._evaluator.turn_back(
            market, message_us=round(message.timestamp * 1e6), offset=message.offset
        ):
            log.warning("%s %s is asked to be turned back, and its clock is not ahead", trades.venue, trades.symbol)
            return
        await self._keeper.flush()
        log.warning(
            "%s %s is turned back from %s to %s, as was asked for; alerts that were raised in between keep their rows",
            market.venue,
            market.symbol,
            _instant(before),
            _instant(market.watermark) if market.watermark >= 0 else "its next trade",
        )

    async def _emit(self, message: SourceMessage, trades: Trades, outcome: Outcome) -> None:
        await self.emit_alerts(outcome, trades.received_us)
        for refusal in outcome.refused:
            await self._refuse(
                message, refusal.reason, refusal.detail, _refused_bytes(message, trades, refusal.at), trades, refusal
            )
        for at in outcome.apart:
            metrics.trades_apart.labels(metrics.kind_label(trades.kind_name(at))).inc()
        series = series_of(trades.venue, trades.symbol)
        if outcome.counted:
            series.trades.inc(outcome.counted)
        if outcome.duplicates:
            series.duplicates.inc(outcome.duplicates)
        if outcome.late:
            series.late.inc(outcome.late)

    async def emit_alerts(self, outcome: Outcome, received_us: int) -> None:
        """Send what was raised, or has grown, by trades that were received then."""
        if outcome.alerts:
            await self._outbound.post(*map(alert_record, outcome.alerts))
        for rule, severity in outcome.raised:
            metrics.alerts.labels(rule, severity).inc()
            metrics.event_to_alert_seconds.observe(max(0.0, self._now() - received_us / 1e6))

    async def refuse_alert(self, message: SourceMessage, error: BadRecord) -> None:
        """Put aside a message of the topic ``alerts`` that no row can hold."""
        await self._refuse(message, error.reason, error.detail, message.value or b"", topic=ALERTS)

    async def _refuse(
        self,
        message: SourceMessage,
        reason: str,
        detail: str,
        payload: bytes,
        trades: Trades | None = None,
        refusal: Refusal | None = None,
        topic: str = TRADES,
    ) -> None:
        detail, payload = deadletters.fitted(detail if refusal is None else f"row {refusal.at}: {detail}", payload)
        letter = DeadLetter(
            reason=reason,
            detail=detail,
            payload=payload,
            origin="worker",
            venue=trades.venue if trades else "",
            symbol=trades.symbol if trades else "",
            topic=topic,
            partition=message.partition,
            offset=message.offset,
            refused_us=round(self._now() * 1_000_000),
        )
        await self._outbound.post(Record(DEAD_LETTERS, reason.encode(), deadletters.encode(letter)))
        metrics.dead_letters.labels(deadletters.reason_label(reason)).inc()

    async def _forward(self, message: SourceMessage, trades: Trades, home: int) -> None:
        # A publisher with another partitioner would split a market over two owners, and both windows would be wrong.
        record = Record(TRADES, trades.symbol.encode(), message.value or b"", home, message.timestamp)
        await self._outbound.post(record)
        metrics.forwarded.labels(metrics.venue_label(trades.venue)).inc()


def _instant(pane: int) -> str:
    return f"{datetime.fromtimestamp(pane, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _told_apart(kind: MarketKind, market: Market) -> str:
    return (
        f"its trades are of a market of kind {kind.name} with ids of {kind.id_bytes} bytes, and those counted for "
        f"{market.venue} {market.symbol} are of kind {market.kind.name} with ids of {market.kind.id_bytes} bytes; "
        "give the other market a venue name of its own"
    )


def _refused_bytes(message: SourceMessage, trades: Trades, at: int) -> bytes:
    """Return a refused trade as it came: the message where it was the only one, else its row of the frame as JSON."""
    if len(trades) == 1:
        return message.value or b""
    trade_id, time_us, price, notional, rest, whole, fraction, flags = trades.rows[at]
    row = {
        "id": trade_id.hex() if isinstance(trade_id, bytes) else trade_id,
        "time_us": time_us,
        "price": repr(price),
        "notional_micro_usd": notional,
        "rest": rest,
        "whole": whole,
        "fraction": fraction,
        "flags": flags,
    }
    return msgspec.json.encode(row)
