"""Rows that are counted together give what they give one by one: state, alerts, letters and counters, bit for bit."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from agents.counting.monitor import Monitor, SourceMessage, alert_record
from agents.counting.row_batches import LEAST_TOGETHER, RowBatches
from agents.counting.row_evaluation import RowEvaluator
from agents.counting.row_runs import MarketRuns, RowRun
from agents.counting.source_rows import SourceRows
from agents.counting.tally import Outcome
from agents.rules.book import rule_book
from streams import metrics
from streams.kafka.outbound import Outbound
from streams.kafka.partitioning import partition_of
from streams.model import deadletters
from streams.model.alert import Alert, AlertId, decode_alert, supersedes
from streams.settings import Settings, load_settings
from streams.topics import ALERTS, DEAD_LETTERS, TRADES
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues
from streams.worker.bundles import MAX_MESSAGES
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.chunks import HEAD, decode_head
from tables.market.span import Span
from tables.market.state import Market
from tests.memory_broker import MemoryBroker, MemoryState
from tests.trades import NOON, row_reader

PARTITIONS = 2
SYMBOLS = [f"S{n}/USD" for n in range(30)]
HERE = [symbol for symbol in SYMBOLS if partition_of(symbol, PARTITIONS) == 0][:4]
STRAY = next(symbol for symbol in SYMBOLS if partition_of(symbol, PARTITIONS) == 1)
FUTURES = next(f"PF_X{n}USD" for n in range(30) if partition_of(f"PF_X{n}USD", PARTITIONS) == 0)
# Rules that wait for a pane's end, in every other log, have every pane judged.
SETTINGS = (load_settings(alert_cooldown_sec=5), load_settings(price_move_pct=0.5, alert_cooldown_sec=5))
WINDOW, RETENTION = 10, 40
SEEDS = range(24)


class Died(Exception):
    """The worker was killed."""


class Mortal(RowEvaluator):
    """An evaluator whose worker is killed when it has counted so often. ``risen`` are the runs counted as rising."""

    runs_to_live = 10**9
    risen = 0

    def _live(self) -> None:
        self.runs_to_live -= 1
        if self.runs_to_live < 0:
            raise Died

    def fold_together(
        self,
        market: Market,
        run: RowRun,
        ids: Sequence[int],
        outcome: Outcome,
        *,
        partition: int,
        first_offset: int,
        last_offset: int,
    ) -> bool:
        self._live()
        return super().fold_together(
            market, run, ids, outcome, partition=partition, first_offset=first_offset, last_offset=last_offset
        )

    def fold_rising(self, market: Market, runs: MarketRuns, last_offset: int) -> bool:
        self._live()
        is_done = super().fold_rising(market, runs, last_offset)
        self.risen += is_done and len(runs.numbers)
        return is_done


async def goes_on() -> None:
    """Nothing ends."""


class Worker:
    """A monitor over a broker and a store in memory; ``sent`` are (offset, message) of partition 0."""

    def __init__(
        self,
        state: MemoryState,
        broker: MemoryBroker,
        settings: Settings = SETTINGS[0],
        *,
        slack: int = 30,
        admission: Admission | None = None,
    ) -> None:
        self.state, self.broker = state, broker
        self.outbound = Outbound(broker.send)
        span = Span(WINDOW, RETENTION, slack)
        self.evaluator = Mortal(
            rule_book(settings), window=WINDOW, cooldown=settings.alert_cooldown_sec, max_future_us=60_000_000
        )
        self.keeper = Keeper(
            lambda: self.state,
            "changelog",
            span,
            self.outbound,
            self.evaluator.settle_all,
            alert_record,
            admission=admission,
            on_idle=self.evaluator.drop,
        )
        self.monitor = Monitor(
            self.evaluator,
            self.keeper,
            self.outbound,
            home=lambda symbol: partition_of(symbol, PARTITIONS),
            rows=row_reader(),
        )
        self.batches = RowBatches(
            self.monitor, self.evaluator, self.keeper, PlainReader(make_venues(load_settings())), may_go_on=goes_on
        )

    async def one_by_one(self, messages: Sequence[SourceMessage]) -> None:
        for message in messages:
            await self.monitor.handle(message)

    async def together(self, messages: Sequence[SourceMessage]) -> None:
        await self.batches.handle(SourceRows.of(messages))


def seen(broker: MemoryBroker) -> dict[str, Any]:
    """Return what others see of a worker: each market's alerts in order, the letters, and what was sent on."""
    alerts: dict[str, list[Alert]] = {}
    for record in broker.of(ALERTS):
        alert = decode_alert(record.value)
        alerts.setdefault(alert.symbol, []).append(alert)
    letters = [msgspec.structs.replace(deadletters.decode(r.value), refused_us=0) for r in broker.of(DEAD_LETTERS)]
    return {
        "alerts": alerts,
        "letters": sorted(letters, key=lambda letter: letter.offset),
        "sent on": sorted(broker.of(TRADES), key=lambda record: record.value),
    }


def state_of(market: Market) -> dict[str, Any]:
    """Return everything that is known of a market."""
    return {
        name: getattr(market, name)
        for name in ("watermark", "offset", "marks", "volume", "liquidated", "kind", "covered_since", "_numbers")
    } | {"panes": {at: (chunk.panes, chunk.quiet) for at, chunk in market.chunks.items() if any(chunk.panes)}}


def states(worker: Worker) -> dict[str, Any]:
    return {market.symbol: state_of(market) | {"judged": market._judged} for _, market in worker.keeper.markets()}


def rows_of(broker: MemoryBroker) -> dict[AlertId, Alert]:
    """Return the alerts' rows as Postgres would hold them."""
    rows: dict[AlertId, Alert] = {}
    for record in broker.of(ALERTS):
        alert = decode_alert(record.value)
        if alert.id not in rows or supersedes(alert, rows[alert.id]):
            rows[alert.id] = alert
    # Of which message the last words on an alert were depends on when state was flushed.
    return {key: msgspec.structs.replace(row, offset=0, received_us=0, raised_offset=None) for key, row in rows.items()}


def counters() -> dict[str, float]:
    """Return the counters that messages move."""
    lines = generate_latest(metrics.REGISTRY).decode().splitlines()
    names = (
        "liqmon_trades",
        "liqmon_frame",
        "liqmon_dupl",
        "liqmon_late",
        "liqmon_dead",
        "liqmon_alerts",
        "liqmon_for",
    )
    values = (line.rpartition(" ") for line in lines if line.startswith(names))
    return {name: float(value) for name, _, value in values}


def a_row(random: Random, symbol: str, trade_id: int, second: float, usd: float | None = None) -> bytes:
    """Return a row of a spot trade, in one of the shapes that publishers give it."""
    price = Decimal(random.randrange(9950, 10_050)).scaleb(-random.choice((2, 2, 2, 0)))
    if random.random() < 0.02:
        price = Decimal("100.0000000000000001")
    quantity = Decimal(random.randrange(1, 10**9)).scaleb(-8)
    if usd is not None:
        quantity = (Decimal(str(usd)) / price).quantize(Decimal("0.00000001"))
    time = datetime.fromtimestamp(NOON + second, UTC).isoformat().replace("+00:00", random.choice(("Z", "+00:00")))
    fields = {
        "symbol": f'"{symbol}"',
        "side": random.choice(('"buy"', '"sell"')),
        "price": f"{price:f}" if random.random() < 0.9 else f"{price:E}",
        "qty": f"{quantity:f}",
        "ord_type": '"market"',
        "trade_id": str(trade_id),
        "timestamp": f'"{time}"',
    }
    names = list(fields)
    if random.random() < 0.1:
        random.shuffle(names)
    return ("{" + ", ".join(f'"{name}": {fields[name]}' for name in names) + "}").encode()


def a_future(random: Random, number: int, second: float) -> bytes:
    fields = {
        "product_id": FUTURES,
        "uid": f"{number:08x}-a774-478c-a50c-8b9c234e071e",
        "side": random.choice(("buy", "sell")),
        "type": random.choice(("fill", "fill", "liquidation", "block", "assignment")),
        "time": int((NOON + second) * 1000),
        "qty": random.randrange(1, 3000),
        "price": random.randrange(99, 102),
    }
    return msgspec.json.encode(fields)


def wrong(symbol: str = HERE[0], **changes: Any) -> bytes:
    """Return a row with some of its fields changed."""
    row: dict[str, Any] = {
        "symbol": symbol, "side": "buy", "price": 1, "qty": 1, "trade_id": 1, "timestamp": "2023-11-14T22:13:20Z",
    }  # fmt: skip
    return msgspec.json.encode(row | changes)


POISON = (
    b"{", b"{}", b'{"symbol": "S1/USD"', b'{"symbol": 1}, {"symbol": 2}', wrong().replace(b":1,", b":NaN,", 1),
    wrong(price=-1), wrong(price=0.0), wrong(side="hold"), wrong(price="1"), wrong(qty=0), wrong(qty=1e17),
    wrong(timestamp="2023-11-14T22:13:20"), wrong(timestamp="1999-11-14T22:13:20Z"), wrong(trade_id=-1),
    wrong(trade_id=2**63), wrong("BTC/EUR"), wrong(venue="nobody"), wrong(venue="kraken_spot"), wrong(uid="", type=1),
    wrong(venue="\x00 no such field"),
    wrong(product_id=FUTURES), wrong(time=1) + b"{}",
)  # fmt: skip


def a_log(seed: int, count: int = 500) -> list[SourceMessage]:
    """Return messages of one partition: rows of some markets, with everything that can befall them."""
    random = Random(seed)
    pace = random.choice((0.002, 0.02, 0.2, 1.0))
    oddity = random.choice((0.0, 0.01, 0.1))
    second, ids = 0.0, Counter[str]()
    sent: list[bytes] = []
    log = []
    for offset in range(count):
        second += random.random() * pace * (200 if random.random() < 0.005 else 1)
        symbol = random.choice(HERE)
        chance = random.random()
        late = random.choice((0.0, 0.0, 1.5, 20.0, 60.0)) if random.random() < oddity else 0.0
        ids[symbol] += 1 if random.random() < 0.97 else random.randrange(1, 5)
        if chance < oddity:
            value = random.choice(POISON)
        elif chance < 1.5 * oddity and sent:
            value = random.choice(sent)
        elif chance < 2 * oddity:
            value = random.choice(
                (
                    a_row(random, STRAY, ids[symbol], second),
                    a_future(random, offset, second),
                    a_row(random, symbol, ids[symbol], second + 100),
                    a_row(random, f"NEW{random.randrange(9)}/USD", 1, second),
                )
            )
        else:
            usd = 10 ** random.uniform(5, 6.6) if random.random() < 0.02 else None
            value = a_row(random, symbol, ids[symbol], second - late, usd)
        sent.append(value)
        log.append(SourceMessage(value, 0, 3 + offset, NOON + second + random.choice((0.0, 0.25))))
    return log


def bundles(log: Sequence[SourceMessage], random: Random) -> Iterator[Sequence[SourceMessage]]:
    at = 0
    while at < len(log):
        size = random.choice((1, LEAST_TOGETHER - 1, LEAST_TOGETHER, 100, 1000))
        yield log[at : at + size]
        at += size


@pytest.mark.parametrize("slack", [3600, 30])
@pytest.mark.parametrize("seed", SEEDS)
async def test_together_is_as_one_by_one(seed: int, slack: int) -> None:
    """Alerts with their offsets, letters with theirs, state and counters, whatever is among the rows.

    Where event time asks for a flush, other markets' rows are brought up to date at another moment: their last is
    the same.
    """
    log = a_log(seed)
    found: list[dict[str, Any]] = []
    for handled in (Worker.one_by_one, Worker.together):
        admission = Admission([("kraken_spot", symbol) for symbol in HERE], most=3, new_per_minute=2)
        worker = Worker(MemoryState(), MemoryBroker(), SETTINGS[seed % 2], slack=slack, admission=admission)
        before = counters()
        for bundle in bundles(log, Random(seed)):
            await handled(worker, bundle)
        await worker.keeper.flush()
        moved = {name: value - before.get(name, 0.0) for name, value in counters().items()}
        found.append({**seen(worker.broker), "states": states(worker), "counters": moved})
        if slack == 3600:
            found[-1]["stored"] = dict(worker.state.items[0])
        else:
            raised = {
                symbol: [a for a in sent if a.raised_offset is not None] for symbol, sent in found[-1]["alerts"].items()
            }
            found[-1]["alerts"] = (raised, rows_of(worker.broker))
    assert found[0] == found[1]


@pytest.mark.parametrize("pace", [0.05, 0.4, 3.0, 9.0])
async def test_seconds_in_order_are_counted_at_once(pace: float) -> None:
    """Markets that trade every few seconds, in order: their windows and rows are those of one row after another."""
    random, second = Random(str(pace)), 0.0
    log = []
    for offset in range(900):
        second += random.random() * pace
        symbol, usd = HERE[offset % len(HERE)], 10 ** random.uniform(4, 6.5) if random.random() < 0.02 else 50.0
        log.append(SourceMessage(a_row(random, symbol, offset // len(HERE), second, usd), 0, offset, NOON + second))
    found = []
    for handled in (Worker.one_by_one, Worker.together):
        worker = Worker(MemoryState(), MemoryBroker(), slack=3600)
        for at in range(0, len(log), 150):
            await handled(worker, log[at : at + 150])
            if at % 450 == 0:
                await worker.keeper.flush()
        found.append((seen(worker.broker), states(worker)))
    assert worker.evaluator.risen > 20
    assert found[0] == found[1]


async def test_state_is_flushed_before_event_time_runs_far_past_it() -> None:
    """A chunk that a replay needs must be stored before a later one takes its place in the ring."""
    worker, random = Worker(MemoryState(), MemoryBroker()), Random(1)
    seconds = [0.0, *[1.0] * LEAST_TOGETHER, *[100.0] * LEAST_TOGETHER]
    rows = [a_row(random, HERE[0], number, second, 10) for number, second in enumerate(seconds)]
    await worker.together([SourceMessage(row, 0, at, NOON + 100) for at, row in enumerate(rows)])
    heads = [record for record in worker.broker.of("changelog") if record.key.endswith(HEAD.encode())]
    assert decode_head(heads[0].key, heads[0].value).watermark == NOON + 1
    assert (await worker.keeper.market(0, "kraken_spot", HERE[0])).watermark == NOON + 100


async def test_a_process_that_is_ending_counts_nothing_more() -> None:
    """Not the next market's rows, and no row alone."""

    async def ends() -> None:
        raise Died

    worker, random = Worker(MemoryState(), MemoryBroker()), Random(1)
    rows = [a_row(random, HERE[at % 2], at, at / 10, 10) for at in range(2 * LEAST_TOGETHER)]
    messages = [SourceMessage(row, 0, at, NOON + 100) for at, row in enumerate(rows)]
    await worker.together(messages[:LEAST_TOGETHER])
    before = states(worker)
    worker.batches._may_go_on = ends
    for rest in (messages[LEAST_TOGETHER:], messages[-1:]):
        with pytest.raises(Died):
            await worker.together(rest)
    assert states(worker) == before


class Log:
    """A partition's log, read by one owner after another; ``committed`` is where the next one begins."""

    def __init__(self, messages: Sequence[SourceMessage], seed: int) -> None:
        self.state, self.broker = MemoryState(), MemoryBroker()
        self._settings = SETTINGS[seed % 2]
        self.committed = 0
        self._messages = messages
        self._random = Random(seed)
        self._owner = Worker(self.state, self.broker, self._settings)
        self._position = 0

    async def read(self) -> None:
        """Read all of it, whatever befalls the owners: deaths between two runs, flushes at any moment, moves."""
        random = self._random
        while self._position < len(self._messages):
            self._owner.evaluator.runs_to_live = random.choice((0, 2, 10, 40, 10**6, 10**6))
            bundle = self._messages[self._position : self._position + random.choice((30, 100, 400))]
            flushing = asyncio.create_task(flushes(self._owner.keeper)) if random.random() < 0.5 else None
            try:
                await self._owner.together(bundle)
                self._position += len(bundle)
            except Died:
                if random.random() < 0.5:
                    await self._owner.keeper.flush()
                self._succeed()
            finally:
                if flushing is not None:
                    flushing.cancel()
                    await asyncio.gather(flushing, return_exceptions=True)
            if random.random() < 0.3:
                await self._owner.keeper.flush()
                self.committed = self._position
                if random.random() < 0.3:
                    self._owner.evaluator.drop(self._owner.keeper.forget([0]))
                    self._succeed()
        await self._owner.keeper.flush()

    def _succeed(self) -> None:
        self._owner = Worker(self.state, self.broker, self._settings)
        self._position = self.committed


@pytest.mark.parametrize("seed", SEEDS)
async def test_owners_that_die_between_two_markets_miss_nothing_and_count_nothing_twice(seed: int) -> None:
    """Wherever flushes fell: what was stored of one market is met again with what was not of another."""
    messages = a_log(seed)
    alone = Worker(MemoryState(), MemoryBroker(), SETTINGS[seed % 2])
    await alone.one_by_one(messages)
    await alone.keeper.flush()
    log = Log(messages, seed)
    await log.read()
    assert await stored(log.state) == await stored(alone.state)
    assert rows_of(log.broker) == rows_of(alone.broker)


async def stored(state: MemoryState) -> dict[str, Any]:
    """Return what the next owner of the partition loads."""
    heir = Worker(state, MemoryBroker())
    await heir.keeper.preload([0], 60)
    return {market.symbol: state_of(market) for _, market in heir.keeper.markets()}


async def flushes(keeper: Keeper) -> None:
    """Flush whenever there is a moment for it."""
    while True:
        await asyncio.sleep(0)
        await keeper.flush()


def simple_row(number: int, symbol: str, second: float, price: float = 100.0, quantity: float = 1.0) -> SourceMessage:
    when = datetime.fromtimestamp(second, UTC).isoformat()
    fields = {
        "symbol": symbol, "side": "buy", "price": price, "qty": quantity, "ord_type": "market",
        "trade_id": number + 1, "timestamp": when,
    }  # fmt: skip
    return SourceMessage(msgspec.json.encode(fields), 0, number, second)


@pytest.mark.parametrize(
    ("symbol", "price", "quantity"),
    [("?|", 100.0, 1.0), (HERE[0], 1.00000001, 1.000000001), (HERE[0], 1e-30, 1.0)],
    ids=["no market", "more decimals than columns hold", "no price"],
)
@pytest.mark.parametrize("is_known", [True, False])
async def test_rows_of_which_none_is_plain(symbol: str, price: float, quantity: float, *, is_known: bool) -> None:
    """So many in a row end nothing: each is handled alone."""
    log = [simple_row(n, symbol, NOON + n, price, quantity) for n in range(1, 2 * LEAST_TOGETHER)]
    found = []
    for way in ("one_by_one", "together"):
        worker = Worker(MemoryState(), MemoryBroker())
        if is_known:
            await worker.one_by_one([simple_row(0, HERE[0], NOON)])
        await getattr(worker, way)(log)
        found.append((states(worker), seen(worker.broker)))
    assert found[0] == found[1]


@pytest.mark.parametrize("begins", [NOON, NOON + 1], ids=["the newest second", "a new second"])
@pytest.mark.parametrize(("price", "quantity"), [(9.8e8, 1.0), (1e-13, 9e14)], ids=["dollars", "quantity"])
async def test_rows_whose_sums_no_pane_holds(begins: int, price: float, quantity: float) -> None:
    """The last of them are refused, as they are one by one; nothing wraps around."""
    log = [simple_row(n, HERE[0], begins if n else NOON, price, quantity) for n in range(MAX_MESSAGES)]
    found = []
    for way in ("one_by_one", "together"):
        worker = Worker(MemoryState(), MemoryBroker())
        await worker.one_by_one(log[:1])
        await getattr(worker, way)(log[1:])
        found.append((states(worker), seen(worker.broker)))
    assert found[0] == found[1]
    assert found[0][1]["letters"]


def flushes_so_far() -> float:
    """Return how often anything was flushed in this process."""
    (histogram,) = metrics.flush_seconds.collect()
    return next(sample.value for sample in histogram.samples if sample.name.endswith("_count"))


async def test_quiet_markets_share_the_flushes_of_a_replay() -> None:
    """Rows of many hours come in one bundle: not every market asks for a flush of its own."""
    symbols = [name for n in range(200) if partition_of(name := f"Q{n}/USD", PARTITIONS) == 0]
    log = [simple_row(n, symbols[n % len(symbols)], NOON + 4 * n) for n in range(4000)]
    found = []
    for way in ("one_by_one", "together"):
        worker = Worker(MemoryState(), MemoryBroker(), slack=3600, admission=Admission(most=1000, new_per_minute=1000))
        await worker.one_by_one(log[: len(symbols)])
        await worker.keeper.flush()
        before = flushes_so_far()
        await getattr(worker, way)(log[len(symbols) :])
        found.append(flushes_so_far() - before)
    alone, together = found
    assert alone > 0
    assert together <= 3 * alone
