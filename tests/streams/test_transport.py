"""Faust's consumer with our additions, against a group coordinator that answers when the test says so."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import faust
import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.continuity import Step
from streams.topics import TRADES
from streams.transport import Consumer, ConsumerThread, Transport

PLACE = TP(TRADES, 3)


class Sinks:
    """Sinks that keep nobody waiting."""

    @contextlib.contextmanager
    def letting_go(self) -> Iterator[None]:
        """Nothing waits."""
        yield


class App(faust.App):  # type: ignore[misc]
    """What the consumer asks of the application; ``flushing`` is awaited before each commit."""

    def __init__(self) -> None:
        super().__init__("transport", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
        self.sinks = Sinks()
        self.flushing = asyncio.Event()
        self.flushing.set()

    async def before_commit(self) -> None:
        """Take as long as the test wants."""
        await self.flushing.wait()

    async def after_commit(self, claims: None) -> None:
        """Nothing follows."""

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self, loop=self.loop)


class Positions:
    """Where the client reads on; ``rewound`` is where it was put back to."""

    def __init__(self) -> None:
        self.rewound: list[tuple[TP, int]] = []

    async def rewind(self, tp: TP, offset: int) -> None:
        """Put the position back."""
        self.rewound.append((tp, offset))

    def close(self) -> None:
        """Read no more."""


class GroupConsumer(Consumer):
    """A consumer whose group is the test: ``committed`` is what it accepted, ``answer`` lets committed offsets out."""

    def __init__(self, app: App) -> None:
        super().__init__(
            app.transport,
            callback=app.topics.on_message,
            on_partitions_revoked=app._on_partitions_revoked,
            on_partitions_assigned=app._on_partitions_assigned,
        )
        self.committed: dict[TP, int] = {}
        self.answers: list[asyncio.Future[Mapping[TP, int]]] = []
        self._thread = Positions()

    def assignment(self) -> set[TP]:
        """Return the one partition."""
        return {PLACE}

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Ask the test."""
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.committed.update(offsets)
        return True

    def handle(self, offset: int) -> None:
        """Take a message and be done with it."""
        message = ConsumerMessage(TRADES, PLACE.partition, offset, 0.0, 1, (), b"k", b"v", None, tp=PLACE)
        self.track_message(message)
        self.ack(message)


@pytest.fixture
async def app() -> App:
    """An application that never starts, with the topic of trades."""
    app = App()
    app.topics.add(app.topic(TRADES))
    await app.topics._update_indices()
    return app


async def ticks() -> None:
    """Let everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_of_two_seeks_at_once_only_the_last_lets_messages_through(app: App) -> None:
    """What was taken in between would be met again."""
    consumer = GroupConsumer(app)
    fetcher, recovery = asyncio.create_task(consumer.perform_seek()), asyncio.create_task(consumer.perform_seek())
    await ticks()
    consumer.answers[0].set_result({PLACE: 5})
    await fetcher
    await ticks()
    assert consumer._continuity.judge(PLACE, 5, 7) is Step.DROP
    consumer.answers[-1].set_result({PLACE: 5})
    await recovery
    assert consumer._continuity.judge(PLACE, 5, 7) is Step.TAKE


async def test_a_seek_that_fails_while_the_flow_is_on_ends_the_worker(app: App) -> None:
    """Faust's fetcher would log it and go on, with every partition closed."""
    consumer = GroupConsumer(app)
    crashes: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        crashes.append(reason)

    consumer.crash = crash
    for is_flowing in (False, True):
        consumer.flow_active = is_flowing
        seeking = asyncio.create_task(consumer.perform_seek())
        await ticks()
        consumer.answers[-1].set_exception(KafkaTimeoutError())
        with pytest.raises(KafkaTimeoutError):
            await seeking
        assert len(crashes) == is_flowing


async def test_a_commit_takes_what_was_acknowledged_while_another_was_under_way(app: App) -> None:
    """Faust leaves it to that one, which has chosen its offsets before."""
    consumer = GroupConsumer(app)
    consumer.handle(0)
    app.flushing.clear()
    first = asyncio.create_task(consumer.commit())
    await ticks()
    consumer.handle(1)
    last = asyncio.create_task(consumer.wait_empty())
    await ticks()
    app.flushing.set()
    await asyncio.gather(first, last)
    assert consumer.committed == {PLACE: 2}


@pytest.mark.parametrize("is_stopping", [False, True])
async def test_partitions_go_with_everything_committed(app: App, is_stopping: bool) -> None:
    """Also when they go while the application stops."""
    consumer = GroupConsumer(app)
    app._consumer = consumer
    if is_stopping:
        app._shutdown.set()
        app._stopped.set()
    assert app.should_stop is is_stopping
    consumer.handle(0)
    await consumer.on_partitions_revoked({PLACE})
    assert consumer.committed == {PLACE: 1}


async def test_a_commit_of_partitions_that_have_moved_is_none(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error either: whoever has them now goes on from the last commit."""
    thread = ConsumerThread(GroupConsumer(app))
    monkeypatch.setattr(thread, "assignment", set)
    assert not await thread._commit({PLACE: 4})


async def test_a_question_gives_up_where_it_is_asked(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the client's thread, whose two lanes commits and fetches need as well."""

    class Silent:
        async def end_offsets(self, _: list[TP]) -> dict[TP, int]:
            await asyncio.sleep(60)
            return {}

    thread = ConsumerThread(GroupConsumer(app))
    monkeypatch.setattr(thread, "_consumer", Silent())
    with pytest.raises(TimeoutError):
        await thread._log_ends([PLACE], 0.01)
