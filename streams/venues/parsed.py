"""What one message of a venue's socket held."""

import msgspec

from streams.model.trade import Reject, Trade


class Ack(msgspec.Struct, frozen=True):
    """An answer to a subscription. ``symbol`` is empty where the venue did not say which one it means.

    ``is_definite`` says of one that is not accepted that the venue has no such symbol. Any other error may pass, such
    as a rate that was exceeded. The symbol is then asked for again within half a minute.
    """

    symbol: str
    accepted: bool
    error: str = ""
    is_definite: bool = False


class Parsed(msgspec.Struct, frozen=True):
    """What one socket message held; a heartbeat or an answer to a ping holds nothing.

    ``acks`` are answers to subscriptions, ``warnings`` what the venue remarks in them. ``system`` is the exchange's
    state where the message tells it: ``online``, ``cancel_only``, ``maintenance`` or ``post_only``. ``notice`` is the
    text of a venue's alert.
    """

    trades: list[Trade] = []
    rejects: list[Reject] = []
    is_snapshot: bool = False
    acks: list[Ack] = []
    system: str = ""
    notice: str = ""
    warnings: list[str] = []
