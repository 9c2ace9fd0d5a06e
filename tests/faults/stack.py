"""Everything the program needs, running: a real Kafka, Redis, Postgres, Kraken's and Discord's stand-ins, processes.

Redis, Postgres and Discord are reached through proxies, Kafka too where that is asked for.
"""

import asyncio
import contextlib
import logging
import shutil
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg

from streams.local.embedded.broker import PARTITIONS, EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.valkey import EmbeddedRedis
from streams.settings import Settings, load_settings
from streams.topics import ALERTS, TRADES
from streams.venues.simulator.server import FUTURES_PATH, SPOT_PATH
from streams.worker.ending import MUST_NOT_GO_ON
from tests.discord_server import DiscordServer
from tests.faults.feed import FUTURES_SYMBOLS, SPOT_SYMBOLS, Script
from tests.faults.ledger import Ledger, TradesTopic
from tests.faults.processes import Process, Processes
from tests.faults.proxy import Proxy
from tests.kafka import NotCovered, RealKafka
from tests.kraken_server import ScriptedKraken
from tests.oracle import OracleTrade

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
# Two or three workers get equal shares. With 4, a third worker that joins late gets none and never becomes ready.
KAFKA_PARTITIONS = 6
READY_SECONDS = 90.0
SETTLED_SECONDS = 5.0
OPEN_MESSAGES = "SELECT count(*) FROM alert_outbox WHERE state IN ('pending', 'sending')"


class Stack:
    """One run's servers and processes, below one directory; nothing outlives the ``async with`` block.

    ``workers`` and ``producers`` are made, not started. ``environment`` goes to all of them, ``table_store`` is the
    kind of store that workers keep their tables in. Each producer reaches Kraken through a proxy of its own
    (``to_kraken``); ``script`` is what an :class:`~tests.faults.exchange.Exchange` plays there, ``sent`` what it has
    played. The stand-ins and proxies live in this loop: whatever blocks goes to a thread, except starting processes,
    which die with their thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        producers: int = 2,
        seed: int = 0,
        environment: Mapping[str, str] | None = None,
        proxied_kafka: bool = False,
        table_store: str = "rocksdb",
    ) -> None:
        self.directory = directory
        self.table_store = table_store
        self.script = Script(seed, "exchange")
        self.sent: list[OracleTrade] = []
        self.kraken = ScriptedKraken(heartbeat_seconds=0.5)
        self.discord = DiscordServer()
        self.workers: list[Process] = []
        self.producers: list[Process] = []
        self.to_kraken: list[Proxy] = []
        self._producer_count = producers
        self._own_environment = dict(environment or {})
        self._worker_count = workers
        self._proxied_kafka = proxied_kafka
        self._is_supervised = False
        self._exits = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def _start(self) -> None:
        exits = self._exits
        self.postgres = self._new_postgres()
        exits.callback(self._stop_postgres)
        self.redis = EmbeddedRedis(log=self._log("redis"))
        exits.callback(self._stop_redis)
        await self._start_kafka()
        await exits.enter_async_context(self.discord)
        await self.kraken.start()
        exits.push_async_callback(self.kraken.stop)
        self.to_postgres = await exits.enter_async_context(Proxy(self.postgres.port))
        self.to_redis = await exits.enter_async_context(Proxy(self.redis.port))
        self.to_discord = await exits.enter_async_context(Proxy(self.discord.port))
        self.environment = self._environment()
        self.settings = load_settings(**_as_settings(self.environment))
        self.processes = exits.enter_context(Processes(self.directory, self.environment))
        # The embedded broker often refuses a second member of a group.
        workers = self._worker_count if self.kafka is not None else 1
        for number in range(1, workers + 1):
            self.workers.append(self.processes.worker(f"worker{number}"))
        for number in range(1, self._producer_count + 1):
            self.to_kraken.append(await exits.enter_async_context(Proxy(urlsplit(self.kraken.spot_url).port or 0)))
            own = self._producer_environment(self.to_kraken[-1])
            self.producers.append(self.processes.producer(f"producer{number}", environment=own))

    def _producer_environment(self, to_kraken: Proxy) -> dict[str, str]:
        spot_venue, futures_venue = self.script.venues
        return {
            "FEED": "live",
            "SPOT_WS_URL": f"ws://{to_kraken.address}{SPOT_PATH}",
            "FUTURES_WS_URL": f"ws://{to_kraken.address}{FUTURES_PATH}",
            "SPOT_VENUE": spot_venue,
            "FUTURES_VENUE": futures_venue,
            "SPOT_SYMBOLS": ",".join(SPOT_SYMBOLS),
            "FUTURES_SYMBOLS": ",".join(FUTURES_SYMBOLS),
        }

    async def _start_kafka(self) -> None:
        reason = RealKafka.available()
        self.kafka: RealKafka | None = None
        if reason is not None:
            warnings.warn(
                f"not covered: several workers on a real Kafka ({reason}); the embedded broker serves one",
                NotCovered,
                2,
            )
            broker = self._exits.enter_context(EmbeddedBroker(log=self._log("broker")))
            direct = broker.address
            # Clients are told its own address once they have found it: the proxy can keep them from that, no more.
            self.to_kafka = await self._exits.enter_async_context(Proxy(int(direct.rpartition(":")[2])))
            self.broker_address = self.to_kafka.address
        else:
            self.kafka = RealKafka(self.directory / "kafka")
            if self._proxied_kafka:
                self.to_kafka = await self._exits.enter_async_context(Proxy(self.kafka.port))
                self.kafka.advertised_port = self.to_kafka.port
            self._exits.callback(self.kafka.kill)
            await self.start_kafka()
            self.broker_address, direct = self.kafka.address, self.kafka.direct_address
        self.ledger = Ledger(direct)
        self.topic = TradesTopic(self.ledger)

    async def keep_broker_away(self) -> None:
        """Let nobody who starts find a broker until :meth:`start_kafka`: a real one is killed, the embedded hidden."""
        if self.kafka is None:
            await self.to_kafka.refuse()
        else:
            self.kafka.kill()

    async def start_kafka(self) -> None:
        """Start Kafka, or start it again, and wait until it serves."""
        if self.kafka is None:
            await self.to_kafka.heal()
            return
        self.kafka.launch()
        await asyncio.to_thread(self.kafka.wait_ready)

    def _log(self, name: str) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        return self.directory / f"{name}.log"

    def _environment(self) -> dict[str, str]:
        tables = f"{self.to_redis.address}/1" if self.table_store == "redis" else ""
        return {
            **self.postgres.settings,
            "TABLE_STORE": f"{self.table_store}://{tables}",
            "POSTGRES_PORT": str(self.to_postgres.port),
            "KAFKA_BOOTSTRAP_SERVERS": self.broker_address,
            "TOPIC_PARTITIONS": str(PARTITIONS if self.kafka is None else KAFKA_PARTITIONS),
            "CREATE_TOPICS": "false" if self.kafka is None else "true",
            "REDIS_URL": f"redis://{self.to_redis.address}/0",
            "DISCORD_WEBHOOK_URL_2": self.discord.webhook.get_secret_value(),
            "DISCORD_API_BASE": f"http://{self.to_discord.address}",
            **self._own_environment,
        }

    async def replace_kafka(self) -> None:
        """Kill Kafka and start an empty one in its place."""
        assert self.kafka is not None
        self.kafka.kill()
        self.kafka.wipe()
        await self.start_kafka()
        self.topic.rewind()

    @contextlib.asynccontextmanager
    async def supervised(self) -> AsyncIterator[Counter[str]]:
        """Start again what ends by itself, as an operator's supervisor does; count that by name and exit code.

        What a process logged last is shown where it did not end as the program does when it must not go on.
        """
        ended: Counter[str] = Counter()

        async def watch() -> None:
            while True:
                for process in (*self.workers, *self.producers):
                    if process.wanted and not process.running:
                        ended[f"{process.name} {process.exit_code}"] += 1
                        if process.exit_code != MUST_NOT_GO_ON:
                            log.error("%s ended with %s:\n%s", process.name, process.exit_code, process.tail(100))
                        process.start()
                await asyncio.sleep(POLL_SECONDS)

        watching = asyncio.create_task(watch())
        self._is_supervised = True
        try:
            yield ended
        finally:
            self._is_supervised = False
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def everybody_ready(self) -> None:
        """Start whoever does not run, and wait for all."""
        for process in (*self.workers, *self.producers):
            if not process.running:
                process.start()
        await self.ready(*self.workers, *self.producers)

    async def ready(self, *workers: Process, timeout_seconds: float = READY_SECONDS) -> float:
        """Wait until these workers (default: all that run) are ready together; return how long that took."""
        wanted = workers or tuple(worker for worker in self.workers if worker.running)
        began = time.monotonic()

        def all_ready() -> bool:
            for worker in wanted:
                if not worker.running and not self._is_supervised:
                    raise AssertionError(f"{worker.name} ended with code {worker.exit_code}:\n{worker.tail()}")
            return all(worker.ready() for worker in wanted)

        await self.until(all_ready, timeout_seconds, "workers to be ready")
        return time.monotonic() - began

    async def rejoined(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until all workers that run are in the group, and ready: one that was frozen takes itself for both."""
        async with asyncio.timeout(timeout_seconds):
            while len(await self.ledger.members()) < sum(worker.running for worker in self.workers):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
        await self.ready()

    async def settled(self) -> None:
        """Wait until all workers that run are ready for longer than a rebalance takes to be heard of (heartbeats)."""
        await self.ready()
        since = time.monotonic()
        while time.monotonic() - since < SETTLED_SECONDS:
            await asyncio.sleep(POLL_SECONDS)
            if not all(await asyncio.gather(*(asyncio.to_thread(w.ready) for w in self.workers if w.running))):
                await self.ready()
                since = time.monotonic()

    async def any_ready(self) -> list[Process]:
        """Wait until some worker is ready and return all that are."""
        found: list[Process] = []

        def some_ready() -> bool:
            assert any(worker.running for worker in self.workers), f"no worker runs\n{self.tails()}"
            found[:] = [worker for worker in self.workers if worker.running and worker.ready()]
            return bool(found)

        await self.until(some_ready, READY_SECONDS, "a worker to be ready")
        return found

    async def until(self, condition: Callable[[], Any], timeout_seconds: float, what: str) -> None:
        """Wait for a condition that may block; it is looked at in a thread. Raises :class:`TimeoutError`."""
        deadline = time.monotonic() + timeout_seconds
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_seconds:g} s for {what}\n{self.tails()}")
            await asyncio.sleep(POLL_SECONDS)

    async def drained(self, timeout_seconds: float = 90) -> float:
        """Wait until all is processed, recorded and told; return how long that took. Raises :class:`TimeoutError`."""
        began = time.monotonic()
        state = ""
        while True:
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                state = await self._backlog()
                if not state:
                    return time.monotonic() - began
            if time.monotonic() - began > timeout_seconds:
                raise TimeoutError(f"not drained after {timeout_seconds:g} s: {state}\n{self.tails()}")
            await asyncio.sleep(POLL_SECONDS)

    async def _backlog(self) -> str:
        for topic in (TRADES, ALERTS):
            lag = await self.ledger.lag(topic)
            if lag:
                return f"{lag} records of {topic} are not committed"
        open_messages = await self.sql(OPEN_MESSAGES)
        return f"{open_messages[0][0]} messages are not told" if open_messages[0][0] else ""

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Ask Postgres past the proxy."""
        connection = await asyncpg.connect(
            host=self.postgres.host,
            port=self.postgres.port,
            user=self.postgres.user,
            password=self.postgres.password,
            database=self.postgres.database,
        )
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    def start_postgres(self) -> None:
        """Start Postgres again after :meth:`EmbeddedPostgres.stop`, on its data."""
        self.postgres = self._new_postgres()
        self.to_postgres.retarget(self.postgres.port)

    def start_redis(self) -> None:
        """Start an empty Redis after :meth:`EmbeddedRedis.stop`."""
        self.redis = EmbeddedRedis(log=self._log("redis"))
        self.to_redis.retarget(self.redis.port)

    def _new_postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.directory / "postgres", log=self._log("postgres"), durable=False)

    def _stop_postgres(self) -> None:
        # Whichever runs by then: a fault may have put another in its place.
        self.postgres.stop()

    def _stop_redis(self) -> None:
        self.redis.stop()

    def delete_data(self, worker: Process) -> None:
        """Delete the tables that a worker keeps on disk."""
        shutil.rmtree(worker.environment["DATA_DIR"])

    def tails(self) -> str:
        """Return the last lines of every process's log, for messages."""
        return "\n".join(f"--- {process.name}\n{process.tail()}" for process in (*self.workers, *self.producers))


def _as_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    return {name: environment[name.upper()] for name in Settings.model_fields if name.upper() in environment}
