"""What one message of a venue's socket held."""

import msgspec

from streams.model.trade import Reject, Trade


class Ack(msgspec.Struct, frozen=True):
    """An answer to a subscription. ``symbol`` is empty where the venue did not say which one it means."""

    symbol: str
    accepted: bool
    error: str = ""


class Parsed(msgspec.Struct, frozen=True):
    """What one socket message held; a heartbeat or an answer to a ping holds nothing.

    ``acks`` are answers to subscriptions. ``system`` is the exchange's state where the message tells it: ``online``,
    ``cancel_only``, ``maintenance`` or ``post_only``. ``notice`` is the text of a venue's alert.
    """

    trades: list[Trade] = []
    rejects: list[Reject] = []
    is_snapshot: bool = False
    acks: list[Ack] = []
    system: str = ""
    notice: str = ""
