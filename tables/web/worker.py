"""All that the web view sees of its worker: facts and questions, without Faust."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from tables.market.state import Market
from tables.serving import ServingWorker, ShownRule


class AlertRecord(Protocol):
    """The fields of an alert's row that the view reads; it passes the others on."""

    @property
    def rule(self) -> str:
        """The rule that was crossed."""
        ...

    @property
    def venue(self) -> str:
        """The market's venue."""
        ...

    @property
    def symbol(self) -> str:
        """The market's symbol."""
        ...

    @property
    def pane(self) -> int:
        """Start of the pane that crossed, unix seconds."""
        ...

    @property
    def alert_severity(self) -> str:
        """How severe it is by now."""
        ...

    @property
    def revision(self) -> int:
        """How often its row was written."""
        ...

    @property
    def delivery(self) -> str | None:
        """The state of its message; None where it has none."""
        ...


class AlertSource(Protocol):
    """Where alerts' rows come from. All raise :class:`streams.errors.Outage` when Postgres does not answer."""

    @property
    def row_type(self) -> type[msgspec.Struct]:
        """The record of an alert."""
        ...

    async def find(
        self,
        *,
        venue: str | None,
        symbol: str | None,
        market: str | None,
        rules: Sequence[str],
        severities: Sequence[str],
        since: int | None,
        until: int | None,
        limit: int,
    ) -> Sequence[AlertRecord]:
        """Return alerts, newest first; what is None or empty takes all. ``market`` is words of a venue or symbol."""
        ...

    async def latest(self, limit: int) -> Sequence[AlertRecord]:
        """Return the latest alerts, newest first."""
        ...

    async def changed_since(self, moment: datetime) -> Sequence[AlertRecord]:
        """Return alerts recorded, brought up to date or delivered since ``moment``, oldest change first."""
        ...


class Worker(ServingWorker, Protocol):
    """The worker that answers."""

    @property
    def rules(self) -> tuple[ShownRule, ...]:
        """Every rule in force."""
        ...

    @property
    def rule_labels(self) -> Mapping[str, str]:
        """Every rule that this release has, in force or not: what it measures, for people, by its name."""
        ...

    @property
    def venue_names(self) -> Mapping[str, str]:
        """Names for people of the venues that it knows, by their own names."""
        ...

    @property
    def alerts(self) -> AlertSource:
        """The alerts of all workers."""
        ...

    @property
    def is_unassigned(self) -> bool:
        """Whether no partition was left for it."""
        ...

    @property
    def store_answers(self) -> bool:
        """Whether the table store answered the last time."""
        ...

    def clock_fault(self) -> str:
        """Return what is wrong with its machine's clock, for people; empty while that is right."""
        ...

    async def postgres_answers(self) -> bool:
        """Ask Postgres."""
        ...

    def standby_partitions(self) -> list[int]:
        """Return the partitions whose tables it keeps for a take-over, ascending."""
        ...

    def standby_offsets(self, partition: int) -> tuple[int | None, int | None]:
        """Return the next changelog record that a standby applies, and where its changelog ends; None until known."""
        ...

    def next_offset(self, partition: int) -> int | None:
        """Return the next message to be counted; None until that is known."""
        ...

    def end_offset(self, partition: int) -> int | None:
        """Return where a partition ended when last heard of; None before that."""
        ...

    def committed_offset(self, partition: int) -> int | None:
        """Return the next message after a restart; None where nothing was committed."""
        ...

    def assignment(self) -> Mapping[str, Sequence[int]]:
        """Return every worker's partitions of ``trades``, by its address, as the group last agreed."""
        ...

    def peer_secrets(self) -> Sequence[str]:
        """Return the secrets by which workers know each other, that to sign with first; none where there is none."""
        ...

    async def member_hosts(self) -> Collection[str]:
        """Return the addresses that the group's members reach the broker from.

        Raises :class:`streams.errors.Outage` where the broker does not say.
        """
        ...

    def home(self, symbol: str) -> int:
        """Return the partition of a symbol."""
        ...

    async def stored(self, partition: int, venue: str, symbol: str) -> Market | None:
        """Return a market that another worker serves, as that worker last stored it.

        Return None if the market is unknown, if each worker has a store of its own, or if a newer release wrote it.
        Raises :class:`streams.errors.Outage` where the store does not answer.
        """
        ...
