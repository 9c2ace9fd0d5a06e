"""What an answer of Discord that is no success means for a message. Pure: status, headers and JSON in, an error out.

Only Discord itself can say that a webhook is gone or that a message is refused, and it does so by a code in JSON. A
page of a proxy in between says nothing of either: it is an outage, and the message waits.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from agents.delivery.base import Ambiguous, ChannelGone, ChannelShut, MessageGone, MessageRefused, NotDelivered
from streams.errors import MonitorError

# A longer time is taken for a mistake. Messages must not wait for days because of one answer.
MAX_RETRY_SECONDS: Final = 3600.0

# Discord's codes, each with the status that it comes with.
UNKNOWN_CHANNEL: Final = (404, 10003)
UNKNOWN_MESSAGE: Final = (404, 10008)
GONE: Final = ((404, 10015), (401, 50027))
NEEDS_THREAD: Final = 220001
ARCHIVED: Final = 50083
LOCKED: Final = 160005

_SETTING: Final = "DISCORD_WEBHOOK_URL_2 or DISCORD_WEBHOOK_URL"
# Statuses by which Discord refuses what is in a message: a bad request, too large, not to be processed.
_REFUSALS: Final = (400, 413, 422)


def refusal(status: int, answer: Mapping[str, Any], headers: Mapping[str, str], thread_id: str | None) -> MonitorError:
    """Return what an answer means. ``answer`` is its JSON object, empty where it has none."""
    if status >= 500:
        return Ambiguous(f"Discord answered {status}")
    if status == 429:
        return _slow_down(answer, headers)
    code = answer.get("code")
    if not isinstance(code, int):
        return NotDelivered(_of_a_proxy(status))
    return _named(status, code, str(answer.get("message", "")), thread_id)


def _named(status: int, code: int, said: str, thread_id: str | None) -> MonitorError:
    text = f"Discord answered {status} (code {code}): {said[:200]}"
    if (status, code) == UNKNOWN_MESSAGE:
        return MessageGone(text)
    if (status, code) in GONE:
        return ChannelGone(text)
    if (remedy := _remedy(status, code, thread_id)) is not None:
        return ChannelShut(text, remedy)
    if status in _REFUSALS:
        return MessageRefused(text)
    return NotDelivered(text)


def _of_a_proxy(status: int) -> str:
    if 300 <= status < 400:
        return f"a redirect ({status}) instead of Discord's answer: check the webhook's address in {_SETTING}"
    return f"an answer with status {status} that is not Discord's, as proxies give; check the way to it if this lasts"


def _remedy(status: int, code: int, thread_id: str | None) -> str | None:
    """Return what mends a webhook that exists and takes no message; None where that is not the matter."""
    thread = f"the thread {thread_id} that the address in {_SETTING} names"
    if (status, code) == UNKNOWN_CHANNEL:
        if thread_id is None:
            return f"the webhook's channel was deleted: put another webhook into {_SETTING} and restart"
        return f"{thread} was deleted: name another as ?thread_id=, or none, and restart"
    if code == NEEDS_THREAD:
        return f"the webhook's channel is a forum: add ?thread_id=<id of a post> to {_SETTING} and restart"
    if code in {ARCHIVED, LOCKED}:
        which = thread if thread_id is not None else "the webhook's thread"
        return f"{which} is archived or locked: open it again on Discord, or name another and restart"
    if status == 403:
        return f"allow the webhook to post in its channel, or put another into {_SETTING} and restart"
    return None


def _slow_down(answer: Mapping[str, Any], headers: Mapping[str, str]) -> NotDelivered:
    """Return for how long to wait. A proxy in front of Discord may not say it: then the notifier's delays grow."""
    wait = seconds(answer.get("retry_after"))
    if wait is None:
        wait = seconds(headers.get("Retry-After"))
    if not wait:
        return NotDelivered("Discord asks to slow down and does not say for how long")
    return NotDelivered("Discord asks to slow down", wait)


def seconds(value: object) -> float | None:
    """Return a time that Discord names, at most an hour; None for anything else."""
    try:
        named = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return min(max(named, 0.0), MAX_RETRY_SECONDS) if math.isfinite(named) else None
