"""Faust's recovery of tables, without its three ways of losing trades, and by fetches instead of records.

It gave up at a step that took too long, went on after another rebalance had overtaken it, and emptied queues again.
"""

from time import monotonic
from typing import Any, Final

from faust.tables import TableManager as FaustTableManager
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.tables.recovery import Recovery as FaustRecovery
from faust.types import TP
from mode import Service
from mode.utils.queues import FlowControlEvent, FlowControlQueue
from mode.utils.times import Seconds, want_seconds

from streams.errors import Outage
from streams.worker.changelog import Fetched

# Of so many fetches the time is known by which a recovery says how long it will take.
SAMPLES: Final = 100


class FlowControl(FlowControlEvent):  # type: ignore[misc]
    """Faust's flow of messages to its queues. Resuming empties the queues only where the flow was suspended.

    A recovery lets the flow go on up to three times, the last time after the partitions were sought. What was taken of
    them by then is not fetched again.
    """

    def resume(self) -> None:
        """Let messages through. What was queued before the suspension belongs to another assignment and is dropped."""
        if not self.is_active():
            super().resume()

    def drop(self, keep: FlowControlQueue) -> None:
        """Empty every queue but ``keep``: the streams' partitions are about to be fetched again."""
        for queue in self._queues:
            if queue is not keep:
                queue.clear()


class Recovery(FaustRecovery):  # type: ignore[misc]
    """Faust's recovery, which is given changelogs fetch by fetch (:meth:`take`).

    It ends when partitions move again and raises :class:`Outage` when a step takes too long.

    Faust takes a step that took too long for an order to stop. It notices a move only once the partitions have moved.
    Until then it would call tables ready that the next recovery has yet to restore.
    """

    # Set in the client's thread.
    are_partitions_moving = False

    num_samples_required_for_estimate = 10

    _last_active_event_processed_at: float | None

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Do nothing: Faust's task takes records from a queue, into which nobody puts any (:meth:`take`)."""

    def take(self, tp: TP, fetched: Fetched) -> None:
        """Have the store apply what was fetched of a changelog, and end the restore where that was the last of it.

        Raises what the store raises: the process must not go on without these records.
        """
        if tp in self.active_tps:
            offsets, received = self.active_offsets, self._active_events_received_at
        elif tp in self.standby_tps:
            offsets, received = self.standby_offsets, self._standby_events_received_at
        else:
            # It was assigned, and is neither served nor kept here any more.
            return
        # Faust seeks the last record that the store has, not the one behind it.
        seen = offsets.get(tp)
        records = [record for record in fetched.records if seen is None or record.offset > seen]
        if records:
            self.tp_to_table[tp].apply_changelog_batch(records)
            offsets[tp] = fetched.offset
            if tp in self.active_tps:
                self._note_pace(len(records))
            received[tp] = self._last_flush_at = monotonic()
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()
        if not self.tables.standbys_ready and not self.standby_remaining_total():
            self.tables.on_standbys_ready()

    def _note_pace(self, records: int) -> None:
        now, before = monotonic(), self._last_active_event_processed_at
        if before is not None:
            self._processing_times.append((now - before) / records)
            if len(self._processing_times) > SAMPLES:
                self._processing_times.popleft()
        self._last_active_event_processed_at = now

    def _set_recovery_started(self) -> None:
        # What ended the recovery before must not end this one.
        self.signal_recovery_end.clear()
        super()._set_recovery_started()

    async def on_rebalance(self, *args: Any, **kwargs: Any) -> None:
        """Allow the next recovery to begin, since partitions have moved."""
        self.are_partitions_moving = False
        # The client's thread may have said that they move between a last check and what it was for.
        self.tables.actives_ready = False
        await super().on_rebalance(*args, **kwargs)

    def check_overtaken(self) -> None:
        """Raise :class:`RebalanceAgain` where partitions move, or have moved, since this recovery began."""
        if self.are_partitions_moving or self.signal_recovery_start.is_set():
            raise RebalanceAgain

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
        self.check_overtaken()


class TableManager(FaustTableManager):  # type: ignore[misc]
    """Faust's table manager with the recovery above."""

    _recovery: Recovery | None

    def on_rebalance_start(self) -> None:
        """Mark the recovery under way as overtaken: it ends at its next check."""
        self.recovery.are_partitions_moving = True
        super().on_rebalance_start()

    def on_actives_ready(self) -> None:
        """Tell Faust that active tables are restored. Raises :class:`RebalanceAgain` where partitions move again."""
        self.recovery.check_overtaken()
        super().on_actives_ready()

    @property
    def recovery(self) -> Recovery:
        if not isinstance(self._recovery, Recovery):
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
