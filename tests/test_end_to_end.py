"""The whole chain as an operator runs it: producer, broker, worker, Postgres and Discord as processes and servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from agents.alerts.postgres import open_pool
from agents.alerts.recorder import alert_rows
from streams.local.embedded.broker import EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.model import deadletters
from streams.model.alert import AlertId
from streams.settings import load_settings
from streams.topics import ALERTS, DEAD_LETTERS, TRADES
from tests.discord_server import DiscordServer
from tests.faults.processes import Process, Processes, wait_until
from tests.kafka import RealKafka, real_or_embedded
from tests.kraken_server import ScriptedKraken
from tests.oracle import Oracle, OracleTrade, Terms
from tests.real_data import FUTURES_JSONL, REST_JSON, SPOT_CSV, futures_jsonl, real_file, rest_json, spot_csv
from tests.recordings import SCENARIOS
from tests.waiting import until
from tests.wire import records, spot_row

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE_SECONDS = 60

_json = msgspec.json.Encoder(decimal_format="number")


class Stack:
    """One worker with its servers; producers are started by the tests.

    ``stamps`` says whether the broker says when it took a record.
    """

    def __init__(
        self,
        processes: Processes,
        worker: Process,
        broker: str,
        pool: asyncpg.Pool,
        discord: DiscordServer,
        *,
        stamps: bool,
    ) -> None:
        self.stamps = stamps
        self.processes = processes
        self.worker = worker
        self.broker = broker
        self.pool = pool
        self.discord = discord
        self.producers = 0

    def producer(self, *arguments: str, **environment: str) -> Process:
        """Start a producer."""
        self.producers += 1
        return self.processes.producer(f"producer{self.producers}", *arguments, environment=environment).start()

    async def replay(self, file: Path, venue: str, frame_max_trades: int) -> None:
        """Publish a recording and wait for the producer's end."""
        producer = self.producer(
            "--file", str(file), "--venue", venue, FRAME_MAX_TRADES=str(frame_max_trades), FEED="recording"
        )
        assert await asyncio.to_thread(producer.wait, DEADLINE_SECONDS) == 0, producer.tail()

    async def until_seen(self, venue: str, trades: int) -> None:
        """Wait until the worker has seen so many trades of a venue, counted, duplicate or late."""

        def seen() -> float:
            names = ("liqmon_trades_total", "liqmon_duplicates_total", "liqmon_late_total")
            return sum(self.worker.metric(name, venue=venue) for name in names)

        await asyncio.to_thread(wait_until, lambda: seen() >= trades, DEADLINE_SECONDS, f"{trades} trades of {venue}")

    async def rows(self, expected: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of these alerts, when their counts are final."""
        identities = [AlertId(row["rule"], row["venue"], row["symbol"], row["pane"]) for row in expected]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            rows = await alert_rows(self.pool, identities)
            counts = {(r["rule"], r["venue"], r["symbol"], r["pane"]): r["count"] for r in rows}
            done = all(counts.get(key) == row["count"] for key, row in zip(identities, expected, strict=True))
            if done or time.monotonic() > deadline:
                return rows
            await asyncio.sleep(0.05)

    async def count(self, venue: str) -> int:
        """Return how many alerts a venue has."""
        return int(await self.pool.fetchval("SELECT count(*) FROM liquidation_alerts WHERE venue = $1", venue))


Servers = tuple[RealKafka | EmbeddedBroker, EmbeddedPostgres, Path]


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterable[Servers]:
    """Give the broker of ``make run``, then a real Kafka."""
    directory = tmp_path_factory.mktemp("stack")
    a_broker = EmbeddedBroker() if request.param == "embedded" else real_or_embedded(directory / "kafka")
    with a_broker as broker, EmbeddedPostgres(directory / "postgres", durable=False) as postgres:
        yield broker, postgres, directory


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(servers: Servers) -> AsyncIterator[Stack]:
    broker, postgres, directory = servers
    async with DiscordServer() as discord:
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            "CREATE_TOPICS": str(isinstance(broker, RealKafka)).lower(),
            "DISCORD_WEBHOOK_URL_2": discord.webhook.get_secret_value(),
            "DISCORD_API_BASE": discord.base,
            **postgres.settings,
        }
        with Processes(directory, environment) as processes:
            worker = processes.worker("worker").start()
            await asyncio.to_thread(worker.wait_ready, DEADLINE_SECONDS)
            pool = await open_pool(load_settings(**{name.lower(): value for name, value in postgres.settings.items()}))
            yield Stack(processes, worker, broker.address, pool, discord, stamps=isinstance(broker, RealKafka))
            await pool.close()


def as_columns(alert: dict[str, Any]) -> dict[str, Any]:
    """Return an oracle's alert with the names and units of the table."""
    amounts = {
        name.replace("_micro_usd", "_usd"): Decimal(value).scaleb(-6)
        for name, value in alert.items()
        if name.endswith("_micro_usd")
    }
    same = ("rule", "venue", "symbol", "pane", "count", "vwap", "price_change_pct", "realized_volatility")
    return amounts | {name: alert[name] for name in same} | {"alert_severity": alert["severity"]}


def agree(rows: list[dict[str, Any]], alerts: list[dict[str, Any]]) -> None:
    """Rows of the table equal the oracle's alerts, to the last digit."""
    wanted = [as_columns(alert) for alert in sorted(alerts, key=lambda alert: alert["pane"])]
    assert [{name: row[name] for name in want} for row, want in zip(rows, wanted, strict=True)] == wanted


@pytest.mark.parametrize("frame_max_trades", [1, 7, 500])
async def test_forty_real_minutes_sent_twice_give_exactly_four_alerts(stack: Stack, frame_max_trades: int) -> None:
    file, venue = real_file(SPOT_CSV), f"real{frame_max_trades}"
    trades = spot_csv(file, venue)
    expected = Oracle(trades).alerts()
    assert [(a["pane"], a["severity"], a["count"]) for a in expected] == [
        (1561939420, "LOW", 229),
        (1561939564, "MEDIUM", 469),
        (1561939865, "LOW", 342),
        (1561940096, "MEDIUM", 482),
    ]
    for times in (1, 2):
        await stack.replay(file, venue, frame_max_trades)
        await stack.until_seen(venue, times * len(trades))
        agree(await stack.rows(expected), expected)
        assert await stack.count(venue) == len(expected)
    assert stack.worker.metric("liqmon_trades_total", venue=venue) == len(trades)
    assert stack.worker.metric("liqmon_duplicates_total", venue=venue) == len(trades)


@pytest.mark.parametrize(("file", "reader"), [(FUTURES_JSONL, futures_jsonl), (REST_JSON, rest_json)])
async def test_recorded_futures_and_rest_trades_equal_the_oracle(stack: Stack, file: str, reader: Any) -> None:
    path = real_file(file)
    venue = "futures-session" if file == FUTURES_JSONL else "rest-page"
    trades = reader(path, venue)
    oracle = Oracle(trades)
    await stack.replay(path, venue, 50)
    await stack.until_seen(venue, len(trades))
    assert stack.worker.metric("liqmon_trades_total", venue=venue) == oracle.counted[venue]
    assert stack.worker.metric("liqmon_late_total", venue=venue) == oracle.late[venue]
    agree(await stack.rows(oracle.alerts()), oracle.alerts())
    assert await stack.count(venue) == len(oracle.alerts())


async def test_a_simulated_cascade_alerts_with_its_side_and_notional_and_one_message_each(stack: Stack) -> None:
    """Labelled liquidations through the real futures client: longs by taker sells, one Discord message an alert."""
    venue = "cascade"
    now_us = int(time.time()) * 1_000_000
    cascade = SCENARIOS["cascade of longs, linear"](5)
    shift = now_us - cascade[-1].time_us
    trades = [
        OracleTrade(venue, t.symbol, t.id, t.side, t.kind, t.price, t.qty, t.time_us + shift // 1_000_000 * 1_000_000)
        for t in cascade
    ]
    expected = Oracle(trades).alerts()
    assert expected
    assert all(alert["rule"] == "liquidation" for alert in expected)
    assert all(alert["liquidation_long_micro_usd"] > alert["liquidation_short_micro_usd"] for alert in expected)
    server = ScriptedKraken()
    await server.start()
    try:
        producer = stack.producer(
            FUTURES_WS_URL=server.futures_url, FUTURES_VENUE=venue, FUTURES_SYMBOLS=trades[0].symbol, SPOT_SYMBOLS=""
        )
        await until(lambda: any(request.get("event") == "subscribe" for request in server.requests))
        await asyncio.to_thread(producer.wait_ready, DEADLINE_SECONDS)
        for start in range(0, len(trades), 20):
            await server.publish_futures(records(trades[start : start + 20]))
        await stack.until_seen(venue, len(trades))
        agree(await stack.rows(expected), expected)
        identities = [f"liquidation/{venue}/{alert['symbol']}/{alert['pane']}" for alert in expected]
        await stack.discord.until(lambda: len(messages_of(stack.discord, venue)) >= len(expected), 30)
        assert len(messages_of(stack.discord, venue)) == len(expected), identities
        text = str(messages_of(stack.discord, venue)[-1].body)
        assert "longs" in text.lower()
        stages = {"fold", "alert", "row", "discord"} | ({"fetch"} if stack.stamps else set())
        assert {name for name in stages if stack.worker.metric("liqmon_stage_seconds_count", stage=name)} == stages
        await asyncio.to_thread(producer.stop_well)
    finally:
        await server.stop()


def messages_of(discord: DiscordServer, venue: str) -> list[Any]:
    """Return the messages about a venue's alerts."""
    return [message for message in discord.messages if any(venue in one for one in message.identities)]


async def test_single_json_trades_of_other_tools_count_and_malformed_ones_are_put_aside(stack: Stack) -> None:
    """Each malformed record ends in the dead letters with its bytes and reason; the good ones around it count."""
    random = Random(1)
    start_us = int(time.time() - 60) * 1_000_000
    trades = [
        OracleTrade(
            "kraken_spot",
            "SOL/USD",
            number,
            random.choice(("buy", "sell")),
            "fill",
            Decimal(random.randrange(14_000, 15_000)).scaleb(-2),
            Decimal(random.randrange(1, 10_000_000)).scaleb(-4),
            start_us + number * 50_000,
        )
        for number in range(1, 1001)
    ]
    good = _json.encode(spot_row(trades[0]))
    row = spot_row(trades[0])

    def spoiled(**change: Any) -> bytes:
        return _json.encode({**row, "trade_id": 5_000_000, **change})

    poison = {
        b"{": "not_json",
        good[:-10]: "not_json",
        b"": "not_a_frame",
        b"\x93\x01\x02\x03": "not_a_frame",
        b"\xff" * 50: "not_a_frame",
        spoiled(price="12"): "wrong_type",
        _json.encode({k: v for k, v in row.items() if k != "qty"}): "missing_field",
        spoiled(price=0): "bad_price",
        spoiled(price=-1): "bad_price",
        spoiled(qty=0): "bad_quantity",
        good.replace(b'"qty":', b'"qty":NaN,"q":'): "bad_quantity",
        good.replace(b'"price":', b'"price":Infinity,"p":'): "bad_price",
        spoiled(price=Decimal("1e15"), qty=Decimal("1e12")): "magnitude",
        spoiled(timestamp="2090-01-01T00:00:00.000000Z"): "future",
        spoiled(timestamp="yesterday"): "bad_time",
        spoiled(side="up"): "bad_side",
        spoiled(symbol="SOL/EUR"): "unknown_quote",
    }
    messages = [_json.encode(spot_row(trade)) for trade in trades]
    for at, payload in enumerate(poison):
        messages.insert(50 * at + 25, payload)
    client = AIOKafkaProducer(bootstrap_servers=stack.broker)
    await client.start()
    for message in messages:
        await client.send(TRADES, message, key=b"SOL/USD")
    await client.stop()

    await stack.until_seen("kraken_spot", len(trades))
    letters = await read_all(stack.broker, DEAD_LETTERS, len(poison))
    found = {letter.payload: letter.reason for letter in map(deadletters.decode, letters)}
    assert found == poison
    for reason in set(poison.values()):
        wanted = list(poison.values()).count(reason)
        assert stack.worker.metric("liqmon_dead_letters_total", reason=reason) == wanted
    oracle = Oracle(trades, Terms())
    assert stack.worker.metric("liqmon_trades_total", venue="kraken_spot") == len(trades)
    agree(await stack.rows(oracle.alerts()), oracle.alerts())
    assert await stack.count("kraken_spot") == len(oracle.alerts()) > 0


async def read_all(broker: str, topic: str, count: int) -> list[bytes]:
    """Read so many records of a topic from its beginning."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_alert_messages_carry_what_the_rows_hold(stack: Stack) -> None:
    """Whoever reads the topic ``alerts`` sees each alert's identity and its figures in micro-USD."""
    first = msgspec.json.decode((await read_all(stack.broker, ALERTS, 1))[0])
    assert {"rule", "venue", "symbol", "pane", "severity", "total_volume_micro_usd", "count"} <= set(first)
