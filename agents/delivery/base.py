"""What the notifier needs of a message service: a channel that posts and edits, and says what each failure means."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import msgspec

from streams.errors import MonitorError, Outage
from streams.model.alert import Alert


class NotDelivered(Outage):
    """The service certainly does not have the message. ``retry_after_seconds`` is what it asked for, 0 if nothing."""

    def __init__(self, text: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class ChannelShut(NotDelivered):
    """The address exists and takes no message until somebody mends it. ``remedy`` says what to change."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"{text}; {remedy}")
        self.remedy = remedy


class Ambiguous(Outage):
    """Nobody knows whether the service has the message: the request was written, and no usable answer came."""


class ChannelGone(MonitorError):
    """The address of the channel will never work again."""


class MessageRefused(MonitorError):
    """The service refuses this message as it is; the same bytes will be refused again."""


class MessageGone(MonitorError):
    """The message to edit was deleted."""


class Notice(msgspec.Struct, frozen=True):
    """What a message is to say.

    ``alert`` has the severity to show. ``escalated_to`` is the severity that a later alert of the same episode reached.
    ``possible_duplicate``: the service may have a message of this alert already. ``raised_at`` is when its row was
    made, unix seconds; None if unknown.
    """

    alert: Alert
    escalated_to: str | None = None
    possible_duplicate: bool = False
    raised_at: int | None = None


class Backlog(NamedTuple):
    """How it stands when a message is posted: ``waiting`` more alerts wait; its oldest has waited so long."""

    waiting: int
    oldest_seconds: float


class Channel(ABC):
    """One address of a message service. It belongs to one event loop, and is closed when it is done.

    ``name`` is the service's name in lines of the log; in lower case it labels metrics. ``address`` is what the
    service calls its addresses, such as webhook. ``remedy`` tells operators what to do when the address is gone. No
    error text and no representation may show a secret of the address.

    ``most_notices`` is how many alerts one message can hold. Alerts share messages where more wait than
    ``posts_a_minute``.
    """

    name: ClassVar[str]
    address: ClassVar[str]
    remedy: ClassVar[str]
    most_notices: ClassVar[int] = 1
    posts_a_minute: ClassVar[int | None] = None

    @property
    def label(self) -> str:
        """The service's name in metrics."""
        return self.name.lower()

    @abstractmethod
    async def post(self, *notices: Notice, backlog: Backlog | None = None) -> str:
        """Post a message, and return the id by which :meth:`edit` finds it.

        There are at most ``most_notices`` of ``notices``, the highest severity first. Raises :class:`NotDelivered`,
        :class:`Ambiguous`, :class:`ChannelGone` or :class:`MessageRefused`. A call ends within 20 s, or another worker
        takes the message over (``ORPHANED_AFTER_SECONDS`` of the notifier).
        """

    @abstractmethod
    async def edit(self, message_id: str, *notices: Notice) -> None:
        """Bring a posted message up to date, with all that it is to say. Doing it twice does no harm.

        A service that cannot edit says there what has changed, or nothing. Raises as :meth:`post`, and
        :class:`MessageGone` where somebody deleted the message.
        """

    def wait_seconds(self) -> float:
        """Return how long the service asks to wait before the next request; 0 if it does not."""
        return 0.0

    @abstractmethod
    async def close(self) -> None:
        """Close what is open. A channel may be closed twice."""
