"""What Faust knows of this worker's place in the group: its untyped attributes, read here and typed from here on."""

from collections.abc import Collection

import faust
from faust.types import TP

from streams.topics import TRADES
from streams.worker.assignor import AgreedSecrets


class GroupFacts:
    """Reads them from the application whenever it is asked."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    @property
    def address(self) -> str:
        """The address under which this worker is announced to the group."""
        return str(self._app.conf.canonical_url).rstrip("/")

    @property
    def is_rebalancing(self) -> bool:
        """Whether partitions move between workers."""
        return bool(self._app.rebalancing)

    @property
    def has_recovered(self) -> bool:
        """Whether the tables of its partitions are restored."""
        return bool(self._app.tables.actives_ready)

    @property
    def is_unassigned(self) -> bool:
        """Whether no partition was left for it."""
        return bool(self._app.unassigned)

    def partitions(self) -> list[int]:
        """Return the partitions of ``trades`` that are assigned to it, ascending."""
        return sorted(tp.partition for tp in self._app.assignor.assigned_actives() if tp.topic == TRADES)

    def standby_partitions(self) -> list[int]:
        """Return the partitions whose tables it keeps for a take-over, ascending."""
        return sorted(tp.partition for tp in self._standby_changelogs())

    def standby_offsets(self, partition: int) -> tuple[int | None, int | None]:
        """Return the next changelog record that a standby applies, and where its changelog ends; None until known."""
        seen = self._app.tables.recovery.standby_offsets
        tp = next((tp for tp in self._standby_changelogs() if tp.partition == partition), None)
        if tp is None:
            return None, None
        last: int | None = seen.get(tp)
        end: int | None = self._app.consumer.log_end(tp)
        return None if last is None else last + 1, end

    def _standby_changelogs(self) -> list[TP]:
        # Faust names the topics that share partitions with a changelog too; a standby reads none of them.
        changelogs = self._app.tables.changelog_topics
        return [tp for tp in self._app.assignor.assigned_standbys() if tp.topic in changelogs]

    def assignment(self) -> dict[str, list[int]]:
        """Return every worker's partitions of ``trades``, by its address, as the group last agreed."""
        known = self._app.router.external_topics_metadata()
        return {str(url).rstrip("/"): sorted(topics.get(TRADES, ())) for url, topics in known.items()}

    def agreed_secrets(self) -> list[str]:
        """Return the secrets that the group agreed on, the newest first; none before that."""
        agreed: AgreedSecrets = self._app.assignor.agreed
        return agreed.all()

    def next_offset(self, partition: int) -> int | None:
        """Return the next message to be counted; None until that is known."""
        offset: int | None = self._app.consumer.next_offset(TP(TRADES, partition))
        return offset

    def end_offset(self, partition: int) -> int | None:
        """Return where a partition ended when last heard of; None before that."""
        offset: int | None = self._app.consumer.log_end(TP(TRADES, partition))
        return offset

    def committed_offset(self, partition: int) -> int | None:
        """Return the next message after a restart; None where nothing was committed."""
        return self._committed(TP(TRADES, partition))

    def progress(self) -> object:
        """Return what differs whenever the worker gets on: commits, records restored, partitions that come and go.

        What its standbys read is not among it: that is others' work, which goes on while its own stands still.
        """
        partitions = self.partitions()
        restored = {**self._app.tables.recovery.active_offsets}
        return [*map(self.committed_offset, partitions)], partitions, restored

    def _committed(self, tp: TP) -> int | None:
        offset: int | None = self._app.consumer._committed_offset.get(tp)  # Faust keeps it nowhere public
        return offset

    def has_caught_up(self, partition: int) -> bool:
        """Whether a partition was counted up to its end once since it came here."""
        return bool(self._app.consumer.has_caught_up(TP(TRADES, partition)))

    async def lags(self, topics: Collection[str], within_seconds: float) -> dict[tuple[str, int], int]:
        """Return the messages between what is committed and the end, by (topic, partition), of what is assigned here.

        Raises :class:`TimeoutError`, and what Kafka's client raises.
        """
        consumer = self._app.consumer
        assigned = [tp for tp in consumer.assignment() if tp.topic in topics]
        ends = await consumer.log_ends(assigned, within_seconds) if assigned else {}
        return {(tp.topic, tp.partition): max(0, end - (self._committed(tp) or 0)) for tp, end in ends.items()}
