"""All that the parts added to Faust ask of the application, typed: Faust's own annotations are not usable."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol

from faust.types import TP

from streams.settings import Settings
from streams.worker.changelog import Fetched
from streams.worker.recovery import FlowControl


class Application(Protocol):
    """The worker's application, as its consumer sees it."""

    @property
    def settings(self) -> Settings:
        """The settings of the process."""
        ...

    @property
    def rebalancing(self) -> bool:
        """Whether partitions move between workers."""
        ...

    @property
    def should_stop(self) -> bool:
        """Whether the process ends."""
        ...

    @property
    def consumer_generation_id(self) -> int:
        """The generation of the group in which partitions were assigned."""
        ...

    @property
    def flow_control(self) -> FlowControl:
        """The flow of messages into the queues of streams."""
        ...

    def restore(self, tp: TP, fetched: Fetched) -> None:
        """Give the store of a table what was fetched of its changelog."""
        ...

    def drop_queued(self) -> None:
        """Empty the queues of streams, whose partitions are about to be fetched again; changelogs keep theirs."""
        ...

    def releasing(self) -> AbstractContextManager[None]:
        """Let go, inside the block, of what waits for Postgres or for a right clock: its partitions move away."""
        ...

    async def around_commit(self, commit: Callable[[], Awaitable[bool]]) -> bool:
        """Make state durable, then commit, and let the store claim it if the commit was accepted. Return whether."""
        ...
