"""Faust's consumer with our additions, in a worker on a real Kafka behind a network that obeys the test."""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from faust.tables.recovery import RebalanceAgain
from faust.types import TP
from pydantic import SecretStr

from agents.counting.monitor import SourceMessage
from streams.app import create_app
from streams.errors import Fatal
from streams.kafka.admin import MAX_RECORD_BYTES
from streams.kafka.outbound import Record
from streams.kafka.unpacking import MAX_BATCH_BYTES
from streams.metrics import REGISTRY
from streams.monitor_app import MonitorApp
from streams.settings import Settings, load_settings
from streams.topics import ALERTS, APP_ID, DEAD_LETTERS, TRADES
from streams.worker.continuity import Step
from streams.worker.ending import MUST_NOT_GO_ON
from tables.market.chunks import Head, encode, head_key
from tables.web.cluster.workers import readiness
from tests.faults.processes import Processes
from tests.faults.proxy import HOST, Direction, Proxy
from tests.kafka import RealKafka
from tests.kafka.access import refused
from tests.trades import BTC, frame_of, spot, worth
from tests.waiting import until

PLACE = TP(TRADES, 0)
ALERTED = TP(ALERTS, 0)
CHANGELOG = TP(f"{APP_ID}-panes-changelog", 0)
CLOSINGS = 3
# So many offsets in one batch are more than a batch may hold.
MANY = 100_010
ROOT = Path(__file__).parents[3]
VENUE = "kraken_spot"
# Trades that no test before has published.
NUMBERS = itertools.count(1)


@pytest.fixture
async def to_postgres(postgres_settings: dict[str, Any]) -> AsyncIterator[Proxy]:
    """Give the worker's way to Postgres."""
    async with Proxy(postgres_settings["postgres_port"], postgres_settings["postgres_host"]) as proxy:
        yield proxy


@pytest.fixture
def settings(
    kafka: RealKafka, postgres_settings: dict[str, Any], to_postgres: Proxy, redis_url: str, tmp_path: Path
) -> Settings:
    """Give the settings of a worker that commits when it is told to."""
    own = {"postgres_host": HOST, "postgres_port": to_postgres.port, "redis_url": redis_url}
    return load_settings(
        **postgres_settings | own,
        kafka_bootstrap_servers=kafka.address,
        topic_partitions=1,
        web_port=0,
        data_dir=tmp_path,
        table_store="memory://",
        commit_interval_seconds=60,
    )


@pytest.fixture
async def worker(settings: Settings, network: Proxy) -> AsyncIterator[MonitorApp]:
    """Give a worker that has its partitions, serves them, and has handled what a test before did not commit."""
    app = create_app(settings)
    try:
        await app.start()
        await until(lambda: app.consumer.flow_active and app.sinks.pool)
        end = (await app.consumer.log_ends([PLACE], 10))[PLACE]
        await until(lambda: (app.consumer.next_offset(PLACE) or 0) >= end)
        yield app
    finally:
        await network.heal()
        await app.stop()


def counted() -> float:
    """Return how many trades this process has counted."""
    return REGISTRY.get_sample_value("liqmon_trades_total", {"venue": VENUE}) or 0


def met_again() -> float:
    """Return how many trades this process has met after it had counted them."""
    return REGISTRY.get_sample_value("liqmon_duplicates_total", {"venue": VENUE}) or 0


def refused_as_too_large() -> float:
    """Return how many dead letters of that reason this process has sent."""
    return REGISTRY.get_sample_value("liqmon_dead_letters_total", {"reason": "too_large"}) or 0


async def publish(kafka: RealKafka, *frames: bytes) -> None:
    """Publish frames of one market, a message each."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.direct_address) as producer:
        for frame in frames:
            await producer.send_and_wait(TRADES, frame, BTC.encode(), PLACE.partition)


async def committed(kafka: RealKafka) -> dict[TP, int]:
    """Return what the worker's group has committed."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.direct_address)
    await client.start()
    try:
        offsets = await client.list_consumer_group_offsets(APP_ID)
    finally:
        await client.close()
    return {TP(*tp): at.offset for tp, at in offsets.items()}


async def append(kafka: RealKafka, place: TP) -> int:
    """Append a trade, or to the changelog the head of a market, and return where it is."""
    trade = frame_of([spot(next(NUMBERS))])
    value = encode(Head(0, 0, {})) if place == CHANGELOG else trade
    async with AIOKafkaProducer(bootstrap_servers=kafka.direct_address) as producer:
        where = await producer.send_and_wait(place.topic, value, head_key(VENUE, "SOME/USD"), place.partition)
    return int(where.offset)


async def read(consumer: Any, place: TP, offset: int) -> None:
    """Wait until the worker has taken this message."""
    await until(lambda: consumer._read_offset[place] == offset)


async def handle(worker: MonitorApp, kafka: RealKafka, count: int = 1) -> None:
    """Publish so many trades and wait until they are counted."""
    before = counted()
    await publish(kafka, *(frame_of([spot(next(NUMBERS))]) for _ in range(count)))
    await until(lambda: counted() == before + count and not worker.consumer.unacked)


async def test_of_two_seeks_at_once_only_the_last_lets_messages_through(
    worker: MonitorApp, kafka: RealKafka, network: Proxy
) -> None:
    """What was taken in between would be met again."""
    begin, again, consumer = (await committed(kafka)).get(PLACE, 0), met_again(), worker.consumer
    await handle(worker, kafka, 10)
    consumer.stop_flow()
    fetcher, recovery = (asyncio.create_task(consumer.perform_seek()) for _ in range(2))
    await fetcher
    network.hold(Direction.TO_CLIENT)
    assert not recovery.done()
    assert consumer._sources.judge(PLACE, begin, begin) is Step.DROP
    await network.heal()
    await recovery
    consumer.resume_flow()
    await until(lambda: met_again() >= again + 10)
    await handle(worker, kafka)
    assert met_again() == again + 10, "once each"


async def test_a_commit_takes_what_was_acknowledged_while_another_was_under_way(
    worker: MonitorApp, kafka: RealKafka, network: Proxy, to_postgres: Proxy
) -> None:
    """Faust leaves it to that one, which has chosen its offsets before."""
    consumer, before = worker.consumer, (await committed(kafka)).get(ALERTED, 0)
    to_postgres.hold()
    await publish(kafka, frame_of([worth(2_000_000, next(NUMBERS))]))
    await until(lambda: [message.topic for message in consumer.unacked] == [ALERTS])
    network.hold(Direction.TO_CLIENT)
    first = asyncio.create_task(consumer.commit())
    await until(lambda: consumer._commit_fut is not None)
    await to_postgres.heal()
    await until(lambda: not consumer.unacked)
    last = asyncio.create_task(consumer.wait_empty())
    await asyncio.sleep(0)
    assert not first.done()
    await network.heal()
    await asyncio.gather(first, last)
    assert (await committed(kafka))[ALERTED] > before


async def test_a_commit_of_partitions_that_have_moved_is_none(worker: MonitorApp, kafka: RealKafka) -> None:
    """No error either: whoever has them now goes on from the last commit."""
    before = await committed(kafka)
    assert not await worker.consumer._commit({TP(TRADES, 1): 4})
    assert not worker.consumer._thread.crashed
    assert await committed(kafka) == before


async def test_a_question_gives_up_where_it_is_asked(worker: MonitorApp, network: Proxy) -> None:
    """In the client's thread, whose two lanes commits and fetches need as well."""
    thread = worker.consumer._thread
    network.hold(Direction.TO_CLIENT)
    asked = asyncio.create_task(thread.call_thread(thread._log_ends, [PLACE], 0.2))
    answered, _ = await asyncio.wait([asked], timeout=10)
    assert answered
    with pytest.raises(TimeoutError):
        await asked


async def test_a_worker_that_is_old_and_gets_partitions_is_not_called_hanging(
    worker: MonitorApp, kafka: RealKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """Faust counts from the start of its thread, and did so after each rebalance, and after each quiet five minutes."""
    consumer = worker.consumer
    await handle(worker, kafka)
    # As if the thread had been started an hour ago, and nothing had come since.
    consumer._thread.time_started -= 3600
    worker.monitor.stream_inbound_time[PLACE] = consumer._thread.time_started
    with worker.sinks.letting_go():
        consumer.stop_flow()
        await append(kafka, PLACE)
        await until(lambda: (consumer.log_end(PLACE) or 0) > (consumer.next_offset(PLACE) or 0))
        await consumer.verify_all_partitions_active()
    consumer.resume_flow()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_partition_that_stands_still_is_said_once(
    worker: MonitorApp, kafka: RealKafka, to_postgres: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """An alert that waits for Postgres, for example."""
    consumer = worker.consumer
    await handle(worker, kafka)
    to_postgres.hold()
    await publish(kafka, *(frame_of([worth(2_000_000, next(NUMBERS))]) for _ in range(2)))
    await until(lambda: [message.topic for message in consumer.unacked] == [ALERTS])
    await until(lambda: consumer.log_end(ALERTED) is not None)
    now = time.monotonic()
    for later in (0, 299, 301, 600):
        consumer.verify_event_path(now + later, ALERTED)
    await to_postgres.heal()
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert "partition 0 of alerts has stood at offset" in said[0]


@pytest.mark.parametrize("when", ["at_work", "stopped", "rebalancing"])
async def test_a_seek_that_fails_in_the_middle_of_work_ends_the_worker(
    settings: Settings, kafka: RealKafka, network: Proxy, tmp_path: Path, when: str
) -> None:
    """Faust's fetcher would log it and go on, with every partition closed; in a rebalance the recovery seeks again."""
    with Processes(tmp_path, {**as_environment(settings), "PYTHONPATH": str(ROOT)}) as processes:
        seeking = processes.add("seeking", [sys.executable, "-m", "tests.streams.worker.seeking", when]).start()
        await asyncio.to_thread(seeking.wait_for_log, "serving")
        with refused(kafka.direct_address, APP_ID):
            os.kill(seeking.pid, signal.SIGUSR1)
            code = await asyncio.to_thread(seeking.wait, 60)
    if when == "at_work":
        assert code == MUST_NOT_GO_ON
        assert "the broker refuses: [Error 30] GroupAuthorizationFailedError" in seeking.log_text()
    else:
        assert code == 0, seeking.tail()
        assert "it failed" in seeking.log_text()


async def test_what_is_taken_between_the_seek_and_the_end_of_a_recovery_is_handled(
    worker: MonitorApp, kafka: RealKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the queues already when the recovery lets the flow go on for the last time, and nobody seeks again."""
    consumer, handle_message, may_go_on = worker.consumer, worker.market_monitor.handle, asyncio.Event()
    await until(lambda: not worker.rebalancing)
    await handle(worker, kafka)
    await consumer.commit()
    before, place, seek = counted(), (await committed(kafka)).get(PLACE, 0), consumer.perform_seek

    def has_read(offset: int) -> bool:
        return bool(consumer._read_offset[PLACE] == offset)

    async def held(message: SourceMessage) -> None:
        await may_go_on.wait()
        await handle_message(message)

    async def sought_and_taken() -> None:
        await seek()
        for taken in range(place, place + 3):
            await publish(kafka, frame_of([spot(next(NUMBERS))]))
            await until(partial(has_read, taken))

    monkeypatch.setattr(worker.market_monitor, "handle", held)
    monkeypatch.setattr(consumer, "perform_seek", sought_and_taken)
    try:
        await worker.tables.recovery.on_recovery_completed(worker.consumer_generation_id)
    finally:
        may_go_on.set()
    # An alert of the trade before may have come twice, in a recovery without a rebalance.
    await until(lambda: counted() == before + 3 and TRADES not in {message.topic for message in consumer.unacked})
    await consumer.commit()
    assert (await committed(kafka))[PLACE] == place + 3


@pytest.mark.parametrize(("closed", "other"), [(PLACE, CHANGELOG), (CHANGELOG, PLACE)], ids=["source", "changelog"])
async def test_what_is_fetched_of_a_partition_that_was_closed_meanwhile_is_fetched_again(
    worker: MonitorApp, kafka: RealKafka, closed: TP, other: TP
) -> None:
    """Faust drops it, and the client goes on behind it: a last message would not come, and a table lack a record."""
    consumer = worker.consumer
    await until(lambda: not worker.rebalancing)
    await consumer.seek_wait(await consumer.highwaters(CHANGELOG))
    consumer.resume_partitions({CHANGELOG})
    for _ in range(CLOSINGS):
        # The fetch that follows this one is under way, and asks for both.
        await read(consumer, PLACE, await append(kafka, PLACE))
        consumer.pause_partitions({closed})
        missing = await append(kafka, closed)
        await read(consumer, other, await append(kafka, other))
        consumer.resume_partitions({closed})
        await read(consumer, closed, missing)


@pytest.mark.parametrize("place", [PLACE, ALERTED], ids=["trades", "alerts"])
async def test_a_bomb_is_a_dead_letter_and_everything_behind_it_is_handled_and_committed(
    worker: MonitorApp, kafka: RealKafka, place: TP
) -> None:
    """Of every codec, as one record or as a great many; none of it is read again."""
    before, letters = (await committed(kafka)).get(place, 0), refused_as_too_large()
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.direct_address, compression_type=codec, max_request_size=2**28
        ) as producer:
            await producer.send_and_wait(place.topic, bytes(MAX_BATCH_BYTES + 1), BTC.encode(), place.partition)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.direct_address, compression_type="zstd", max_batch_size=2**28
    ) as producer:
        crowd = producer.create_batch()
        for _ in range(MANY):
            crowd.append(key=None, value=b"", timestamp=None)
        await (await producer.send_batch(crowd, place.topic, partition=place.partition))
    await until(lambda: refused_as_too_large() == letters + 5)
    await handle(worker, kafka, 3)
    await worker.consumer.commit()
    behind = 3 if place == PLACE else 0
    assert (await committed(kafka))[place] == before + 4 + MANY + behind
    assert refused_as_too_large() == letters + 5


async def test_a_recovery_that_is_overtaken_does_not_call_the_tables_ready(worker: MonitorApp, network: Proxy) -> None:
    """Partitions begin to move again while it seeks: what the worker is given next has yet to be restored."""
    consumer = worker.consumer
    await until(lambda: not worker.rebalancing)
    network.hold(Direction.TO_CLIENT)
    completing = asyncio.create_task(worker.tables.recovery.on_recovery_completed(worker.consumer_generation_id))
    await until(consumer._seeking.locked)
    # What the client does first of all when it hears of a rebalance.
    worker.on_rebalance_start()
    await network.heal()
    with pytest.raises(RebalanceAgain):
        await completing
    assert worker.rebalancing
    assert not worker.tables.actives_ready
    assigned, generation = consumer.assignment(), worker.consumer_generation_id
    await consumer.on_partitions_revoked(assigned)
    await consumer.on_partitions_assigned(assigned, generation)
    await until(lambda: not worker.rebalancing)
    assert worker.tables.actives_ready


async def test_a_worker_that_got_its_partitions_loads_their_markets(worker: MonitorApp) -> None:
    """Before anybody asks: it is not ready without."""
    await until(lambda: worker.keeper.has_all(worker.view.partitions()))
    assert (await readiness(worker.view))["markets_loaded"]
    worker.keeper.forget(worker.view.partitions())
    assert not (await readiness(worker.view))["markets_loaded"]
    worker.on_rebalance_end()
    await until(lambda: worker.keeper.has_all(worker.view.partitions()))


async def test_a_record_that_the_broker_will_never_take_is_said_to_be_one(worker: MonitorApp) -> None:
    """Faust's producer hides the client's error in one of its own."""
    with pytest.raises(Fatal, match="a record for dead-letters is too large for the broker"):
        await worker.outbound.deliver([Record(DEAD_LETTERS, b"large", bytes(MAX_RECORD_BYTES + 1))])


@pytest.mark.parametrize("is_stopping", [False, True])
async def test_partitions_go_with_everything_committed(worker: MonitorApp, kafka: RealKafka, is_stopping: bool) -> None:
    """Also when they go while the worker stops."""
    before = (await committed(kafka)).get(PLACE, 0)
    await handle(worker, kafka, 3)
    stopping = asyncio.create_task(worker.stop() if is_stopping else asyncio.sleep(0))
    try:
        await until(lambda: worker.should_stop is is_stopping)
        await worker.consumer.on_partitions_revoked(worker.consumer.assignment())
        assert (await committed(kafka))[PLACE] == before + 3
    finally:
        await stopping


def as_environment(settings: Settings) -> dict[str, str]:
    """Return what these settings were told, as a process is told it."""
    told = settings.model_dump(include=settings.model_fields_set)
    return {
        name.upper(): str(value.get_secret_value() if isinstance(value, SecretStr) else value)
        for name, value in told.items()
    }
