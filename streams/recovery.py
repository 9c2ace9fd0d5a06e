"""Faust's recovery of tables, which ends the worker where it gives up, and loses nothing that was taken meanwhile."""

from typing import Any

from faust.tables import TableManager as FaustTableManager
from faust.tables.recovery import Recovery as FaustRecovery
from faust.tables.recovery import ServiceStopped
from mode.utils.queues import FlowControlEvent, FlowControlQueue
from mode.utils.times import Seconds, want_seconds

from streams.errors import Outage


class FlowControl(FlowControlEvent):  # type: ignore[misc]
    """Faust's flow of messages to its queues, which empties them only where it was suspended before it goes on.

    A recovery lets the flow go on up to three times, the last time after the partitions were sought. What has been
    taken of them by then is not fetched again, and no more are the records that a standby is to apply.
    """

    def resume(self) -> None:
        """Let messages through. What was queued before they were held back belongs to another assignment: drop it."""
        if not self.is_active():
            super().resume()

    def drop(self, keep: FlowControlQueue) -> None:
        """Empty the queues of streams, which are about to be fetched again, and not ``keep``."""
        for queue in self._queues:
            if queue is not keep:
                queue.clear()


class Recovery(FaustRecovery):  # type: ignore[misc]
    """Raises :class:`Outage` for a step that took too long, which Faust takes for an order to stop."""

    async def _wait(self, coro: Any, timeout: Seconds | None = None) -> None:  # noqa: ASYNC109 - Faust's signature
        try:
            await super()._wait(coro, timeout)
        except ServiceStopped:
            if self.should_stop or timeout is None:
                raise
            raise Outage(
                f"the broker did not answer: a step of the rebalance took more than {want_seconds(timeout):g} s; "
                "start again, to go on from the last commit"
            ) from None


class TableManager(FaustTableManager):  # type: ignore[misc]
    """Faust's table manager with the recovery above."""

    _recovery: Recovery | None

    @property
    def recovery(self) -> Recovery:
        """The recovery service, made when first asked for."""
        if not isinstance(self._recovery, Recovery):
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
