"""A running worker, or several, on an embedded stack of their own, given trades that the oracle knows too."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiokafka import AIOKafkaProducer

from streams.kafka.partitioning import partition_of
from streams.local.embedded.broker import PARTITIONS, EmbeddedBroker
from streams.model.frames import encode_frame
from streams.topics import TRADES
from tests.faults.processes import Process, Processes, wait_until
from tests.kafka.server import RealKafka
from tests.oracle import OracleTrade
from tests.wire import records

HTTP_SECONDS = 10.0
FRAME_TRADES = 100
HOST = "127.0.0.1"
TOKEN = "a token of the operator's"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Answer:
    """What the web server said. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def ask(
    port: int,
    path: str,
    query: Mapping[str, Any] | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
) -> Answer:
    """Send a request and return the answer, whatever its status. Raises OSError when nobody answers."""
    url = f"http://{HOST}:{port}{path}" + (f"?{urlencode(query)}" if query else "")
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}), data=data)
    try:
        with _opener.open(request, timeout=HTTP_SECONDS) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


class View(Processes):
    """Workers that share a broker and a database; nothing of it outlives the ``with`` block.

    ``broker`` is the embedded one unless another is given. The embedded one loses members of a group now and then
    when a second worker joins: tests of several workers give a real one.
    """

    def __init__(
        self,
        directory: Path,
        postgres: Mapping[str, Any],
        *,
        broker: EmbeddedBroker | RealKafka | None = None,
        **environment: str,
    ) -> None:
        self.broker = broker or EmbeddedBroker()
        super().__init__(
            directory,
            {
                "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
                "CREATE_TOPICS": str(isinstance(self.broker, RealKafka)).lower(),
                "TOPIC_PARTITIONS": str(PARTITIONS),
                **{name.upper(): str(value) for name, value in postgres.items()},
                **environment,
            },
        )
        if broker is None:
            self.callback(self.broker.stop)

    def start(self, name: str = "worker", **environment: str) -> Process:
        """Start a worker and wait until it is ready."""
        worker = self.worker(name, environment).start()
        worker.wait_ready()
        return worker

    def publish(self, trades: Iterable[OracleTrade]) -> None:
        """Publish trades as a producer would, in frames, and wait for the broker."""
        # In a thread: a test that drives a browser has a loop in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._publish(list(trades))).result()

    async def _publish(self, trades: list[OracleTrade]) -> None:
        async with self.publisher() as publish:
            await publish(trades)

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Callable[[list[OracleTrade]], Awaitable[None]]]:
        """Give a function that publishes trades in frames and waits for the broker."""
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.address)
        await producer.start()

        async def publish(trades: list[OracleTrade]) -> None:
            for venue, symbol, batch in _frames(trades):
                frame = encode_frame(venue, symbol, records(batch), time.time_ns() // 1000)
                await producer.send(TRADES, frame, symbol.encode(), partition_of(symbol, PARTITIONS))
            await producer.flush()

        try:
            yield publish
        finally:
            await producer.stop()

    @contextmanager
    def broker_frozen(self) -> Iterator[None]:
        """Let the broker answer nothing in the block: however long that takes, no worker takes over from another."""
        assert isinstance(self.broker, RealKafka)
        self.broker.freeze()
        try:
            yield
        finally:
            self.broker.resume()

    def settle(self, workers: Iterable[Process], counted: int) -> None:
        """Wait until the workers have counted so many trades between them."""
        workers = list(workers)
        wait_until(
            lambda: sum(worker.metric("liqmon_trades_total") for worker in workers) >= counted,
            30,
            f"{counted} trades to be counted",
        )


@contextmanager
def several_workers(directory: Path, postgres: Mapping[str, Any], redis_url: str, **more: str) -> Iterator[View]:
    """Give a stack whose workers ask for a token, as in a network, and have a Redis."""
    reason = RealKafka.available()
    if reason is not None:
        pytest.skip(f"not covered: several workers need a real Kafka ({reason})")
    environment = {"WEB_TOKEN": TOKEN, "REDIS_URL": redis_url, **more}
    with RealKafka(directory / "kafka") as kafka, View(directory, postgres, broker=kafka, **environment) as view:
        yield view


def _frames(trades: list[OracleTrade]) -> Iterable[tuple[str, str, list[OracleTrade]]]:
    waiting: dict[tuple[str, str], list[OracleTrade]] = defaultdict(list)
    for trade in trades:
        batch = waiting[trade.venue, trade.symbol]
        batch.append(trade)
        if len(batch) == FRAME_TRADES:
            yield trade.venue, trade.symbol, waiting.pop((trade.venue, trade.symbol))
    for (venue, symbol), batch in waiting.items():
        yield venue, symbol, batch


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait for a condition; an unreachable server counts as not yet."""

    def holds() -> bool:
        try:
            return condition()
        except OSError:
            return False

    wait_until(holds, seconds, what)


def answered(
    request: Callable[[], Answer], is_right: Callable[[Answer], bool], what: str, seconds: float = 20
) -> Answer:
    """Ask until the answer is right, and return it."""
    answers: list[Answer] = []

    def holds() -> bool:
        answers.append(request())
        return is_right(answers[-1])

    eventually(holds, what, seconds)
    return answers[-1]


def is_whole(answer: Answer) -> bool:
    """Whether an answer lacks nothing: a worker gives another one a second, which on a busy machine may not do."""
    return answer.status == 200 and "x-liqmon-notes" not in answer.headers
