"""The monitor: every message is counted, forwarded or put aside with its bytes; none is lost and none stops it."""

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from agents.counting import monitor as monitor_module
from agents.counting.evaluation import Evaluator
from agents.counting.monitor import Monitor, SourceMessage, alert_record, decode
from agents.counting.not_kept import NotKept
from agents.rules.book import rule_book
from streams import metrics
from streams.errors import BadRecord
from streams.kafka.outbound import Outbound
from streams.kafka.partitioning import partition_of
from streams.model import deadletters
from streams.model.alert import Alert, decode_alert
from streams.model.deadletters import MAX_PAYLOAD_BYTES, DeadLetter
from streams.model.frames import decode_frame
from streams.model.kinds import MarketKind
from streams.model.products import Product, linear
from streams.model.trade import Kind, Side, Trade
from streams.settings import load_settings
from streams.topics import ALERTS, DEAD_LETTERS, TRADES
from streams.venues.kraken.products import LINEAR_FUTURES
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.span import Span
from tables.market.state import Market
from tests.agents.factories import an_alert
from tests.memory_broker import MemoryBroker, MemoryState
from tests.tables.keeping import volumes_in
from tests.trades import BTC, NOON, PERPETUAL, frame_of, future, row_reader, spot, worth

PARTITIONS = 4
HOME = partition_of(BTC, PARTITIONS)
SPOT_ROW = {
    "symbol": BTC, "side": "buy", "price": 100.5, "qty": 2, "ord_type": "market", "trade_id": 1,
    "timestamp": "2023-11-14T22:13:20.250000Z",
}  # fmt: skip
FUTURES_ROW = {
    "feed": "trade", "product_id": PERPETUAL, "uid": "05af78ac-a774-478c-a50c-8b9c234e071e", "side": "sell",
    "type": "liquidation", "seq": 1, "time": NOON * 1000, "qty": 2.5, "price": 100_000,
}  # fmt: skip


class Worker:
    """A monitor over a broker and a store in memory; its messages come from one log a partition."""

    def __init__(
        self,
        state: MemoryState | None = None,
        broker: MemoryBroker | None = None,
        *,
        slack: int = 3600,
        admission: Admission | None = None,
    ) -> None:
        settings = load_settings()
        self.state = state or MemoryState()
        self.broker = broker or MemoryBroker()
        outbound = Outbound(self.broker.send)
        span = Span(settings.window_seconds, settings.retention_seconds, slack)
        self.evaluator = Evaluator(
            rule_book(settings), window=span.window, cooldown=settings.alert_cooldown_sec, max_future_us=60_000_000
        )
        self.keeper = Keeper(
            lambda: self.state,
            "changelog",
            span,
            outbound,
            self.evaluator.settle_all,
            alert_record,
            admission=admission,
            on_idle=self.evaluator.drop,
        )
        self.monitor = Monitor(
            self.evaluator,
            self.keeper,
            outbound,
            home=lambda symbol: partition_of(symbol, PARTITIONS),
            rows=row_reader(),
        )
        self.outbound = outbound
        self.offset = 0

    async def take(self, *values: bytes | None, partition: int = HOME, timestamp: float = NOON + 60) -> None:
        """Handle messages, then wait for what they caused to be delivered."""
        for value in values:
            await self.monitor.handle(SourceMessage(value, partition, self.offset, timestamp))
            self.offset += 1
        await self.outbound.settle()

    def letters(self) -> list[DeadLetter]:
        return [deadletters.decode(record.value) for record in self.broker.of(DEAD_LETTERS)]

    def alerts(self) -> list[Alert]:
        return [decode_alert(record.value) for record in self.broker.of(ALERTS)]

    async def market(self, symbol: str = BTC, venue: str = "kraken_spot") -> Market:
        return await self.keeper.market(partition_of(symbol, PARTITIONS), venue, symbol)

    async def ids(self, symbol: str = BTC, venue: str = "kraken_spot") -> list[Any]:
        """Return the ids counted, as the panes hold them."""
        market = await self.market(symbol, venue)
        return [held for _, pane in market.panes(market.oldest, market.watermark) for held in pane.ids]


def json_row(**changes: Any) -> bytes:
    """Return a spot row as other tools publish it."""
    return msgspec.json.encode(SPOT_ROW | changes)


def value_of(metric: Any, *labels: str) -> float:
    return float(metric.labels(*labels)._value.get())


async def test_a_frame_is_counted() -> None:
    """Under its venue and symbol, with its metrics."""
    worker = Worker()
    before = [value_of(metric, "kraken_spot") for metric in (metrics.trades, metrics.frames, metrics.duplicates)]
    value = frame_of([spot(1), spot(2, 1), spot(2, 1)], received_us=NOON * 10**6)
    await worker.take(value)
    after = [value_of(metric, "kraken_spot") for metric in (metrics.trades, metrics.frames, metrics.duplicates)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 1]
    market = await worker.market()
    assert (market.watermark, market.volume) == (NOON + 1, 200_000_000)
    assert metrics.last_trade_seconds.labels("kraken_spot", BTC).seconds == NOON
    assert worker.broker.records == []


@pytest.mark.parametrize("shape", [json_row(), b" \n\t" + json_row()])
async def test_a_spot_row_as_json_is_counted(shape: bytes) -> None:
    """As other tools publish it, one trade a message."""
    worker = Worker()
    await worker.take(shape)
    market = await worker.market()
    assert (market.watermark, market.volume) == (NOON, 201_000_000)
    assert await worker.ids() == [1, 1]


async def test_a_futures_row_as_json_is_counted() -> None:
    """A taker who sells closes a long: 2.5 contracts of one coin at 100 000 USD are liquidated and alert."""
    worker = Worker()
    await worker.take(msgspec.json.encode(FUTURES_ROW), partition=partition_of(PERPETUAL, PARTITIONS))
    (alert,) = worker.alerts()
    assert (alert.rule, alert.venue, alert.symbol, alert.severity) == (
        "liquidation",
        "kraken_futures",
        PERPETUAL,
        "LOW",
    )
    assert (alert.liquidation_long_micro_usd, alert.liquidation_short_micro_usd) == (250_000_000_000, 0)


PERP = Product(MarketKind("perp", has_liquidations=True, id_bytes=8), linear)


async def test_a_market_is_what_its_first_frame_says() -> None:
    """Judged by what is labelled, with narrow ids, though its symbol says nothing of it."""
    worker = Worker()
    home = partition_of("BTC-PERP", PARTITIONS)
    trade = worth(250_000, 7, symbol="BTC-PERP", venue="acme", kind=Kind.LIQUIDATION, product=PERP)
    await worker.take(frame_of([trade]), partition=home)
    assert [(alert.rule, alert.symbol) for alert in worker.alerts()] == [("liquidation", "BTC-PERP")]
    assert await worker.ids("BTC-PERP", "acme") == [7, 7]


async def test_a_frame_of_another_kind_than_its_market_is_put_aside() -> None:
    """Ids of two widths have no order: such a frame must not reach a pane."""
    worker = Worker()
    wide = spot(7, product=LINEAR_FUTURES)
    value = frame_of([wide])
    await worker.take(frame_of([spot(1)]), value, frame_of([spot(2)]))
    (letter,) = worker.letters()
    assert (letter.reason, letter.payload, letter.symbol) == ("wrong_kind", value, BTC)
    assert "a venue name of its own" in letter.detail
    assert await worker.ids() == [1, 2]


async def test_a_restored_market_is_what_it_was() -> None:
    """A worker that takes the partition over judges the next frame as the one before did."""
    worker = Worker()
    home = partition_of("BTC-PERP", PARTITIONS)
    trades = [worth(200_000, n, n, symbol="BTC-PERP", kind=Kind.LIQUIDATION, product=PERP) for n in (1, 2)]
    await worker.take(frame_of(trades[:1]), partition=home)
    await worker.keeper.flush()
    again = Worker(state=worker.state)
    market = await again.market("BTC-PERP")
    assert market.kind == PERP.kind
    await again.take(frame_of(trades[1:]), partition=home)
    assert [(alert.rule, alert.count) for alert in again.alerts()] == [("liquidation", 2)]


def test_json_and_frames_give_the_same_rows() -> None:
    """One trade, two ways in."""
    trade = spot(1, 0.25, price=Decimal("100.5"), quantity=Decimal(2))
    as_json = decode(SourceMessage(json_row(), HOME, 0, 1.5), row_reader())
    as_frame = decode(SourceMessage(frame_of([trade], 1_500_000), HOME, 0, 9), row_reader())
    assert as_json.rows == as_frame.rows
    assert as_json.received_us == as_frame.received_us == 1_500_000


async def test_an_alert_goes_out_before_the_flush_and_again_when_its_row_has_grown() -> None:
    """Keyed by symbol, identified by its pane; the flush brings it to the end of the pane."""
    worker = Worker()
    await worker.take(frame_of([worth(1_000_000, 1)], received_us=5))
    (alert,) = worker.alerts()
    assert worker.broker.of(ALERTS)[0].key == BTC.encode()
    assert (alert.rule, alert.pane, alert.severity, alert.count) == ("volume", NOON, "LOW", 1)
    assert (alert.partition, alert.offset, alert.received_us) == (HOME, 0, 5)
    await worker.take(frame_of([worth(10, 2, 0.5)]))
    assert len(worker.alerts()) == 1
    await worker.keeper.flush()
    last = worker.alerts()[-1]
    assert (last.pane, last.count, last.total_volume_micro_usd) == (NOON, 2, 1_000_010_000_000)
    assert worker.broker.records[-1].topic == "changelog"


# Each with the reason that its letter carries.
POISON: list[tuple[bytes | None, str]] = [
    (None, "not_a_frame"),
    (b"", "not_a_frame"),
    (b"\x00\xff\xfe", "not_a_frame"),
    (b"hello", "not_a_frame"),
    (frame_of([spot(9)])[:-1], "not_a_frame"),
    (msgspec.msgpack.encode([2, "v", "s"]), "not_a_frame"),
    (b"{", "not_json"),
    (b'{"symbol": "BTC/USD"', "not_json"),
    (b"\xff{}", "not_a_frame"),
    (b'{"symbol": "\xff"}', "not_json"),
    (b"{}", "missing_field"),
    (msgspec.json.encode({k: v for k, v in SPOT_ROW.items() if k != "price"}), "missing_field"),
    (b"[]", "wrong_type"),
    (b'"text"', "wrong_type"),
    (json_row(price="100"), "wrong_type"),
    (json_row(price=None), "wrong_type"),
    (json_row(trade_id="1"), "wrong_type"),
    (json_row(trade_id=2**70), "magnitude"),
    (json_row(trade_id=2**63), "magnitude"),
    (json_row(trade_id=-1), "magnitude"),
    (json_row(symbol="BTC|/USD"), "wrong_type"),
    (json_row().replace(b"100.5", b"NaN"), "bad_price"),
    (json_row().replace(b"100.5", b"Infinity"), "bad_price"),
    (json_row().replace(b"100.5", b"-Infinity"), "bad_price"),
    (json_row(price=0), "bad_price"),
    (json_row(price=-1), "bad_price"),
    (json_row(qty=0), "bad_quantity"),
    (json_row(qty=-2), "bad_quantity"),
    (json_row().replace(b":2,", b":NaN,"), "bad_quantity"),
    (json_row(price=1e300), "magnitude"),
    (json_row(price=1e15), "magnitude"),
    (json_row().replace(b"100.5", b"1e-999999999"), "magnitude"),
    (json_row(qty=1e17), "magnitude"),
    (json_row(side="hold"), "bad_side"),
    (json_row(symbol="BTC/EUR"), "unknown_quote"),
    (json_row(symbol="BTCUSD"), "unknown_quote"),
    (json_row(timestamp="yesterday"), "bad_time"),
    (json_row(timestamp="1999-01-01T00:00:00Z"), "bad_time"),
    (json_row(timestamp="2200-01-01T00:00:00Z"), "bad_time"),
    (msgspec.json.encode(FUTURES_ROW | {"uid": ""}), "missing_field"),
    (msgspec.json.encode(FUTURES_ROW | {"product_id": "BTC/USD"}), "unknown_quote"),
    (msgspec.json.encode(FUTURES_ROW | {"type": ""}), "missing_field"),
    (b"[" * 100_000, "wrong_type"),
]


@pytest.mark.parametrize(("poison", "reason"), POISON, ids=[f"{n}-{reason}" for n, (_, reason) in enumerate(POISON)])
async def test_poison_is_put_aside_and_nothing_else_is_lost(poison: bytes | None, reason: str) -> None:
    """With its reason, its coordinates and its bytes; the messages around it count."""
    worker = Worker()
    refused_before = value_of(metrics.dead_letters, reason)
    await worker.take(frame_of([spot(1)]), poison, frame_of([spot(2)]))
    (letter,) = worker.letters()
    assert letter.reason == reason
    assert letter.payload == (poison or b"")
    assert (letter.origin, letter.topic, letter.partition, letter.offset) == ("worker", TRADES, HOME, 1)
    assert letter.detail
    assert letter.refused_us > NOON * 10**6
    assert worker.broker.records[0].key == reason.encode()
    assert value_of(metrics.dead_letters, reason) == refused_before + 1
    assert await worker.ids() == [1, 2]


def spoilt(trades: Sequence[Trade], column: str, at: int, item: bytes) -> bytes:
    """Return a frame with one item of one column replaced."""
    frame = decode_frame(frame_of(trades))
    held = getattr(frame, column)
    start = at * len(item)
    changed = held[:start] + item + held[start + len(item) :]
    return msgspec.msgpack.encode(msgspec.structs.replace(frame, **{column: changed}))


NAN = b"\x00\x00\x00\x00\x00\x00\xf8\x7f"
MINUS_ONE = b"\xff" * 8


@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize(
    ("column", "item", "reason"),
    [
        ("prices", NAN, "bad_price"),
        ("prices", bytes(8), "bad_price"),
        ("quantities", MINUS_ONE, "bad_quantity"),
        ("quantities", bytes(8), "bad_quantity"),
        ("notionals", MINUS_ONE, "magnitude"),
        ("notionals", b"\xff" * 7 + b"\x7f", "magnitude"),
        ("times_us", bytes(8), "bad_time"),
        ("times_us", ((NOON + 121) * 10**6).to_bytes(8, "little"), "future"),
        ("flags", b"\x03", "bad_side"),
        ("flags", b"\xff", "bad_side"),
    ],
)
async def test_one_bad_trade_of_a_frame_costs_only_itself(count: int, column: str, item: bytes, reason: str) -> None:
    """Small frames and large ones, which are summed by column; the letter says which row it was."""
    worker = Worker()
    trades = [spot(number, number / 1000) for number in range(count)]
    await worker.take(spoilt(trades, column, 1, item))
    (letter,) = worker.letters()
    assert (letter.reason, letter.venue, letter.symbol) == (reason, "kraken_spot", BTC)
    assert letter.detail.startswith("row 1: ")
    assert msgspec.json.decode(letter.payload)["id"] == 1
    assert (await worker.market()).figures(NOON, 300).count == count - 1
    assert await worker.ids() == [0, 0, 2, count - 1]


async def test_a_trade_from_the_future_moves_no_clock() -> None:
    """Stamped further ahead of its message than is allowed; a moment earlier it counts."""
    worker = Worker()
    await worker.take(frame_of([spot(1)]))
    await worker.take(frame_of([spot(2, 120.000001)]), timestamp=NOON + 60)
    assert [letter.reason for letter in worker.letters()] == ["future"]
    assert (await worker.market()).watermark == NOON
    await worker.take(frame_of([spot(3, 120)]), timestamp=NOON + 60)
    assert (await worker.market()).watermark == NOON + 120


async def test_a_record_too_large_for_a_letter_is_cut() -> None:
    """A letter that the broker refuses would stop the worker for good."""
    worker = Worker()
    await worker.take(b"{" + b"x" * 900_000)
    (letter,) = worker.letters()
    assert len(letter.payload) == MAX_PAYLOAD_BYTES
    assert "of 900001 bytes kept" in letter.detail
    assert len(worker.broker.records[0].value) < 1_000_000


async def test_a_fault_of_the_program_is_a_letter_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged with its traceback; the message is not lost."""

    def fail(_: bytes) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(monitor_module, "decode_frame", fail)
    worker = Worker()
    value = frame_of([spot(1)])
    with caplog.at_level(logging.ERROR):
        await worker.take(value)
    (letter,) = worker.letters()
    assert (letter.reason, letter.payload, letter.detail) == ("internal_error", value, "ZeroDivisionError('a bug')")
    assert caplog.records[0].exc_info


INVENTED = [f"N{n}/USD" for n in range(999) if partition_of(f"N{n}/USD", PARTITIONS) == HOME]


async def test_invented_markets_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Memory is bounded; the markets that are known go on. The log says it once, the letters say it all."""
    worker = Worker(admission=Admission(most=1))
    values = [frame_of([spot(1, symbol=symbol)]) for symbol in INVENTED[:20]]
    await worker.take(frame_of([spot(1)]), *values, frame_of([spot(2)]))
    found = [(letter.reason, letter.payload, letter.venue, letter.symbol) for letter in worker.letters()]
    assert found == [
        ("too_many_markets", value, "kraken_spot", symbol) for value, symbol in zip(values, INVENTED[:20], strict=True)
    ]
    assert await worker.ids() == [1, 2]
    [said] = [record.getMessage() for record in caplog.records if "not kept" in record.getMessage()]
    assert said.startswith("1 message of markets that are not kept went to the dead letters (too_many_markets: 1)")


async def test_only_listed_markets_are_counted_where_a_setting_asks_for_that() -> None:
    """Those of others are put aside, with the market's name."""
    worker = Worker(admission=Admission([("kraken_spot", BTC)], only_listed=True))
    value = frame_of([spot(1, symbol=INVENTED[0])])
    await worker.take(frame_of([spot(1)]), value)
    assert [(letter.reason, letter.symbol) for letter in worker.letters()] == [("unlisted_market", INVENTED[0])]
    assert await worker.ids() == [1, 1]


def test_the_log_counts_what_it_has_not_said(caplog: pytest.LogCaptureFixture) -> None:
    """Of every reason, once a minute."""
    not_kept = NotKept()
    for second in range(100):
        not_kept.add(BadRecord("new_markets" if second % 2 else "too_many_markets", "so"), float(second))
    first, second_line = (record.getMessage() for record in caplog.records)
    assert "1 message" in first
    assert "60 messages" in second_line
    assert "new_markets: 30" in second_line


async def test_invented_names_make_few_series_of_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markets and venues that the settings list have theirs, whoever came before."""
    for name in ("_venues", "_markets", "_listed"):
        monkeypatch.setattr(metrics, name, set())
    metrics.venue_label("kraken_spot")
    metrics.list_markets([("kraken_spot", "LATE/USD")])
    worker = Worker()
    before = series()
    for n in range(2 * metrics.MAX_MARKETS):
        symbol = INVENTED[n // 4]
        await worker.take(frame_of([msgspec.structs.replace(spot(1, symbol=symbol), venue=f"venue{n % 80}")]))
    assert metrics.market_labels("kraken_spot", "LATE/USD") == ("kraken_spot", "LATE/USD")
    made = series() - before
    assert 200 < sum("last_trade_timestamp" in line for line in made) <= metrics.MAX_MARKETS + 1
    assert sum(line.startswith("liqmon_trades_total") for line in made) <= metrics.MAX_VENUES + 1


def series() -> set[str]:
    """Return the series of every metric, without their values."""
    lines = generate_latest(metrics.REGISTRY).decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("value", [frame_of([spot(1), spot(2)]), json_row()])
async def test_a_message_on_another_partition_is_sent_home(value: bytes) -> None:
    """As it is, with its time; only there it counts, so that one market has one window."""
    worker = Worker()
    stray = (HOME + 1) % PARTITIONS
    await worker.take(value, partition=stray, timestamp=NOON + 1.25)
    (record,) = worker.broker.of(TRADES)
    assert (record.value, record.key, record.partition, record.timestamp) == (value, BTC.encode(), HOME, NOON + 1.25)
    assert list(worker.keeper.markets()) == []
    await worker.take(record.value, partition=HOME, timestamp=NOON + 1.25)
    assert len(worker.broker.of(TRADES)) == 1
    assert (await worker.market()).watermark == NOON


async def test_poison_on_another_partition_is_not_forwarded() -> None:
    """It has no home."""
    worker = Worker()
    await worker.take(b"\xff", partition=(HOME + 1) % PARTITIONS)
    assert [record.topic for record in worker.broker.records] == [DEAD_LETTERS]


async def test_a_message_handled_again_sends_its_alert_again() -> None:
    """A kill may have come between the state and the alert: the sink ignores what it has."""
    worker = Worker()
    value = frame_of([worth(2_000_000, 1)])
    await worker.take(value)
    await worker.keeper.flush()
    again = Worker(worker.state)
    await again.take(value)
    await again.keeper.flush()
    assert [(alert.pane, alert.count, alert.severity) for alert in again.alerts()] == [(NOON, 1, "MEDIUM")]
    assert volumes_in({r.key: r.value for r in again.broker.of("changelog")}) == {BTC: 2_000_000_000_000}


async def test_a_long_message_is_flushed_in_its_middle_and_at_its_end() -> None:
    """Event time may not run far past what is stored; what follows the flush is part of the next."""
    worker = Worker(slack=100)
    trades = [spot(number, number * 60) for number in range(10)]
    await worker.take(frame_of(trades), timestamp=NOON + 600)
    assert worker.broker.of("changelog")
    await worker.keeper.flush()
    assert volumes_in(worker.state.items[HOME]) == {BTC: 1_000_000_000}
    assert (await Worker(worker.state).market()).watermark == NOON + 540


@given(st.binary(max_size=120))
@example(b'{"uid"}')
@example(b'{"uid": 1}')
async def test_any_bytes_are_counted_or_put_aside(value: bytes) -> None:
    """Nothing raises, nothing vanishes."""
    worker = Worker()
    await worker.take(value)
    assert [letter.payload for letter in worker.letters()] == [value]


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255))
async def test_a_damaged_frame_is_counted_or_put_aside(at: int, byte: int) -> None:
    """Trade by trade: counted, late, a duplicate, or in a letter; or the whole message in one or sent on."""
    worker = Worker()
    data = bytearray(frame_of([spot(number, number) for number in range(4)]))
    data[at % len(data)] = byte
    await worker.take(bytes(data))
    letters = worker.letters()
    if [letter.payload for letter in letters] == [bytes(data)] or worker.broker.of(TRADES):
        return
    counted = sum(pane.count for _, market in worker.keeper.markets() for _, pane in market.panes(0, market.watermark))
    assert counted + len(letters) <= 4
    assert counted + len(letters) >= 1
    await worker.keeper.flush()


@pytest.mark.parametrize("make", [spot, future])
async def test_blocks_and_snapshots(make: Callable[..., Trade]) -> None:
    """Blocks are remembered by id and enter no figure; a snapshot fills the window and raises nothing by itself."""
    worker = Worker()
    symbol, venue = make().symbol, make().venue
    partition = partition_of(symbol, PARTITIONS)
    big: dict[str, Any] = {"quantity": Decimal(100_000), "side": Side.SELL}
    kind = Kind.LIQUIDATION if symbol == PERPETUAL else Kind.FILL
    await worker.take(
        frame_of([make(1, kind=Kind.BLOCK, **big), make(2, kind=Kind.TERMINATION, **big)]),
        frame_of([make(3, kind=kind, is_snapshot=True, **big)]),
        partition=partition,
    )
    assert (await worker.market(symbol, venue)).figures(NOON, 300).count == 1
    assert worker.alerts() == []
    await worker.take(frame_of([make(4, 1)]), partition=partition)
    assert [alert.pane for alert in worker.alerts()] == [NOON + 1]


WORDS = ("assignment", "unwind", "covered_liquidation", "something new")


@pytest.mark.parametrize("as_json", [False, True])
async def test_trades_of_other_kinds_are_kept_and_counted_apart(as_json: bool) -> None:
    """By id, in no window, by their word in a metric, and none is a dead letter; a copy is counted once."""
    worker = Worker()
    partition = partition_of(PERPETUAL, PARTITIONS)
    labels = ("assignment", "unwind", "covered_liquidation", "other", "block")
    before = [value_of(metrics.trades_apart, label) for label in labels]
    if as_json:
        rows = [
            FUTURES_ROW | {"type": word, "uid": f"{number:08x}-a774-478c-a50c-8b9c234e071e"}
            for number, word in enumerate((*WORDS, "block"))
        ]
        values = [msgspec.json.encode(row) for row in rows]
    else:
        trades = [future(number, kind=Kind.BLOCK, word=word) for number, word in enumerate((*WORDS, ""))]
        values = [frame_of(trades)]
    await worker.take(*values, *values, partition=partition)
    assert [value_of(metrics.trades_apart, label) for label in labels] == [count + 1 for count in before]
    market = await worker.market(PERPETUAL, "kraken_futures")
    pane = market.pane(NOON)
    assert pane is not None
    assert (len(pane.ids), pane.count) == (5, 0)
    assert (market.volume, worker.letters(), worker.alerts()) == (0, [], [])


async def test_a_word_beside_a_fill_changes_nothing() -> None:
    """The flags decide, as they do for a worker that does not know words."""
    worker = Worker()
    await worker.take(frame_of([spot(1, word="assignment")]))
    assert (await worker.market()).figures(NOON, 300).count == 1


async def test_an_alert_that_no_row_can_hold_is_put_aside() -> None:
    """By the recorder, through the monitor: with the topic it came from."""
    worker = Worker()
    await worker.monitor.refuse_alert(SourceMessage(b"nonsense", 2, 17, 0), BadRecord("wrong_type", "not an alert"))
    await worker.outbound.settle()
    (letter,) = worker.letters()
    assert (letter.topic, letter.partition, letter.offset, letter.payload) == (ALERTS, 2, 17, b"nonsense")


def test_an_alert_reads_back() -> None:
    """What the monitor sends is what the recorder reads."""
    alert = an_alert(symbol="ETH/USD")
    record = alert_record(alert)
    assert (record.topic, record.key, decode_alert(record.value)) == (ALERTS, b"ETH/USD", alert)
