"""The group's agreement: who leads it gives each member its partitions, and all of them one secret.

Faust's members find each other's addresses in the same place.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from faust.assignor.partition_assignor import PartitionAssignor

from streams.errors import UNREADABLE

FIELD: Final = "peer_secret"
# Members learn of a new secret at nearly the same moment, and a request that was under way is over after a second.
FORMER_SECONDS: Final = 30.0
LONGEST: Final = 200
SECRET_BYTES: Final = 32


class _Agreed(msgspec.Struct):
    peer_secret: str = ""


class AgreedSecrets:
    """The secret that the group agreed on last, and for half a minute the one before. ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now = ""
        self._former = ""
        self._since = 0.0

    def agree(self, secret: str) -> None:
        """Take over what the group agreed on: empty where an earlier release leads it."""
        secret = secret if len(secret) <= LONGEST else ""
        if secret != self._now:
            self._former, self._now, self._since = self._now, secret, self._clock()

    def all(self) -> list[str]:
        """Return what other members may know, the newest first; none where there is none."""
        former = self._former if self._clock() - self._since < FORMER_SECONDS else ""
        return [secret for secret in (self._now, former) if secret]


class Assignor(PartitionAssignor):  # type: ignore[misc]
    """Faust's, with a new secret at each agreement. Members of an earlier release pass over it."""

    def __init__(self, *args: Any, **options: Any) -> None:  # Faust's
        super().__init__(*args, **options)
        self.agreed = AgreedSecrets()

    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> dict[str, ConsumerProtocolMemberAssignment]:
        found = super()._perform_assignment(cluster, member_metadata)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        return {member: self._with_secret(assignment, secret) for member, assignment in found.items()}

    def _with_secret(self, assignment: Any, secret: str) -> ConsumerProtocolMemberAssignment:
        facts = msgspec.json.decode(self._decompress(assignment.user_data), type=dict[str, Any])
        return ConsumerProtocolMemberAssignment(
            assignment.version,
            assignment.assignment,
            self._compress(msgspec.json.encode(facts | {FIELD: secret})),
        )

    def on_assignment(self, assignment: Any) -> None:
        """Take over what the leader said."""
        super().on_assignment(assignment)
        try:
            agreed = msgspec.json.decode(self._decompress(assignment.user_data), type=_Agreed)
        except UNREADABLE:
            agreed = _Agreed()
        self.agreed.agree(agreed.peer_secret)
