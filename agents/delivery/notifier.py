"""Tells a channel what the outbox holds: every message at least once, duplicates bounded, marked and counted."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

import asyncpg

from agents.alerts.words import identity
from agents.delivery.base import Ambiguous, Channel, ChannelGone, ChannelShut, MessageGone, MessageRefused, NotDelivered
from agents.delivery.outbox import Delivery, Outbox
from agents.delivery.pace import Pace
from agents.retry import JITTER, retry_outage, stopped_within
from streams import metrics, stages
from streams.backoff import Delays, doubling
from streams.errors import Outage
from streams.tasks import first_of

log = logging.getLogger(__name__)

# New alerts of this worker wake it at once. The poll finds those of other workers and what is due again. One statement
# per second costs Postgres nothing that matters.
POLL_SECONDS: Final = 1.0
# Orphans are found with this delay, which is small beside ORPHANED_AFTER_SECONDS.
UPKEEP_SECONDS: Final = 5.0
# A claim older than this belongs to a worker that is gone. A claim is at most CLAIM_FRESH_SECONDS old when its request
# begins, and a request ends within 20 s (:class:`Channel`). That leaves 5 s for a busy worker to end its claim.
ORPHANED_AFTER_SECONDS: Final = 30.0
# A worker that was frozen between claim and request must not send: another may have done so meanwhile. A claim takes
# milliseconds.
CLAIM_FRESH_SECONDS: Final = 5.0
# Somebody else runs the service. After a minute of failures it is asked once a minute; alerts wait in the outbox.
FIRST_DELAY_SECONDS: Final = 1.0
MAX_DELAY_SECONDS: Final = 60.0

OUTCOMES: Final = ("sent", "edited", "not_delivered", "ambiguous", "unknown", "dead", "claim_lost")
"""What becomes of a message, as ``liqmon_deliveries`` counts it."""

metrics.start_at_zero(metrics.deliveries, OUTCOMES)
_discord: Final = stages.Stage(stages.DISCORD)
metrics.start_at_zero(metrics.digests, ["sent", "edited"])


class Notifier:
    """Delivers the outbox to a channel, in any number of workers at once, and closes the channel at the end.

    ``wake`` is set by this process's recorder.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        channel: Channel,
        *,
        wake: asyncio.Event | None = None,
        poll_seconds: float = POLL_SECONDS,
        upkeep_seconds: float = UPKEEP_SECONDS,
        orphaned_after_seconds: float = ORPHANED_AFTER_SECONDS,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
    ) -> None:
        metrics.start_at_zero(metrics.sink_retries, [channel.label])
        self._channel = channel
        self._outbox = Outbox(pool, f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}")
        self._wake = wake or asyncio.Event()
        self._poll_seconds = poll_seconds
        self._upkeep_seconds = upkeep_seconds
        self._orphaned_after_seconds = orphaned_after_seconds
        self._delays = Delays(doubling(first_delay_seconds, MAX_DELAY_SECONDS), jitter=JITTER)
        self._said = ""
        self._pace = Pace(channel.posts_a_minute)
        # So many posts hold one alert each, since a message of several was refused.
        self._singly = 0
        self._resume_at = 0.0
        self._upkeep_at = 0.0
        self.channel_gone: str | None = None
        """Why the channel is not tried any more, once it is not."""

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set; the request under way is finished first. Outages are waited out."""
        try:
            while not stop.is_set():
                await self._step(stop)
        except Outage as error:
            log.warning("stopped while Postgres did not answer; what was being sent counts as ambiguous: %s", error)
        finally:
            await self._channel.close()

    async def _step(self, stop: asyncio.Event) -> None:
        if time.monotonic() >= self._upkeep_at:
            await retry_outage(self._upkeep, sink="postgres", stop=stop)
            self._upkeep_at = time.monotonic() + self._upkeep_seconds
        if self.channel_gone is not None:
            await self._give_up_waiting(stop)
            await self._idle(stop, self._poll_seconds)
            return
        wait_seconds = max(self._channel.wait_seconds(), self._resume_at - time.monotonic())
        if wait_seconds > 0:
            await stopped_within(stop, min(wait_seconds, self._upkeep_seconds))
            return
        self._wake.clear()
        asked_at = time.monotonic()
        delivery = await retry_outage(self._claim, sink="postgres", stop=stop)
        if delivery is None:
            await self._idle(stop, self._poll_seconds)
        elif time.monotonic() - asked_at > CLAIM_FRESH_SECONDS:
            await self._end(self._outbox.release, delivery, "claimed too long ago", stop)
        else:
            await self._deliver(delivery, stop)

    async def _claim(self) -> Delivery | None:
        left = self._pace.left(time.monotonic())
        if left is None or self._singly:
            return await self._outbox.claim()
        return await self._outbox.claim(singles=left, together=self._channel.most_notices)

    async def _deliver(self, delivery: Delivery, stop: asyncio.Event) -> None:
        names, alerts, began = _named(delivery), len(delivery.parts), time.perf_counter()
        try:
            if delivery.message_id is None:
                self._pace.posted(time.monotonic())
                self._singly = max(0, self._singly - 1)
                message_id = await self._channel.post(*delivery.notices, backlog=delivery.backlog)
                outcome = "sent"
                _posted(delivery, time.perf_counter() - began)
            else:
                message_id = delivery.message_id
                await self._channel.edit(message_id, *delivery.notices)
                outcome = "edited"
        except NotDelivered as error:
            metrics.deliveries.labels("not_delivered").inc(alerts)
            self._back_off(error)
            await self._end(self._outbox.release, delivery, str(error), stop)
        except Ambiguous as error:
            metrics.deliveries.labels("ambiguous").inc(alerts)
            self._back_off(error)
            states = await self._end(self._outbox.unconfirmed, delivery, str(error), stop)
            if unknown := states.count("unknown"):
                metrics.deliveries.labels("unknown").inc(unknown)
                log.warning("%s may or may not be on %s: %s", names, self._channel.name, error)
        except MessageGone:
            self._recover()
            await self._end(self._outbox.sent, delivery, str(delivery.message_id), stop)
            log.info("%s: the message was deleted on %s, nothing to edit", names, self._channel.name)
        except MessageRefused as error:
            self._recover()
            await self._refused(delivery, error, stop)
        except ChannelGone as error:
            await self._disable(delivery, str(error), stop)
        else:
            self._recover()
            metrics.deliveries.labels(outcome).inc(alerts)
            if len(delivery.notices) > 1:
                metrics.digests.labels(outcome).inc()
            states = await self._end(self._outbox.sent, delivery, message_id, stop)
            if lost := alerts - len(states):
                metrics.deliveries.labels("claim_lost").inc(lost)
                log.warning("%s: another worker took over while it was sent, it may be there twice", names)
            else:
                log.info("%s %s on %s", names, outcome, self._channel.name)

    async def _refused(self, delivery: Delivery, error: MessageRefused, stop: asyncio.Event) -> None:
        """Give up what is refused. Of a digest nobody knows which alert it was: each is tried alone."""
        alerts = len(delivery.parts)
        if delivery.message_id is None and alerts > 1:
            self._singly = alerts
            metrics.deliveries.labels("not_delivered").inc(alerts)
            log.warning("%s refuses a message of %d alerts, trying each alone: %s", self._channel.name, alerts, error)
            await self._end(self._outbox.release, delivery, str(error), stop)
            return
        metrics.deliveries.labels("dead").inc(alerts)
        text = "%s cannot be shown on %s, the rows are in Postgres: %s"
        log.error(text, _named(delivery), self._channel.name, error)
        await self._end(self._outbox.give_up, delivery, str(error), stop)

    async def _disable(self, delivery: Delivery, error: str, stop: asyncio.Event) -> None:
        self.channel_gone = error
        metrics.deliveries.labels("dead").inc(len(delivery.parts))
        log.error(
            "the %s %s is gone and is not tried again: %s; "
            "alerts go to Postgres and to this log (LOG_LEVEL=info) only. %s",
            self._channel.name,
            self._channel.address,
            error,
            self._channel.remedy,
        )
        await self._end(self._outbox.give_up, delivery, error, stop)
        await self._give_up_waiting(stop)

    async def _give_up_waiting(self, stop: asyncio.Event) -> None:
        self._wake.clear()
        error = f"{self._channel.address} disabled: {self.channel_gone}"
        given_up = await retry_outage(lambda: self._outbox.give_up_waiting(error), sink="postgres", stop=stop)
        metrics.deliveries.labels("dead").inc(given_up)

    async def _end(
        self,
        step: Callable[[Delivery, str], Awaitable[list[str]]],
        delivery: Delivery,
        text: str,
        stop: asyncio.Event,
    ) -> list[str]:
        return await retry_outage(lambda: step(delivery, text), sink="postgres", stop=stop)

    async def _upkeep(self) -> None:
        for state in await self._outbox.take_orphans(self._orphaned_after_seconds):
            metrics.deliveries.labels("ambiguous").inc()
            if state == "unknown":
                metrics.deliveries.labels("unknown").inc()
            log.warning("a worker went away while it was sending an alert; the message is %s now", state)
        metrics.outbox_age_seconds.set(await self._outbox.age_seconds())

    def _back_off(self, error: Outage) -> None:
        metrics.sink_retries.labels(self._channel.label).inc()
        if isinstance(error, NotDelivered) and error.retry_after_seconds:
            self._pace.limited(time.monotonic())
            return  # the channel waits for as long as the service asked
        if not self._delays.taken or (isinstance(error, ChannelShut) and str(error) != self._said):
            log.warning("%s does not take messages, trying again until it does: %s", self._channel.name, error)
            self._said = str(error)
        self._resume_at = time.monotonic() + self._delays.next_seconds()

    def _recover(self) -> None:
        if self._delays.taken:
            log.info("%s takes messages again", self._channel.name)
        self._delays.reset()

    async def _idle(self, stop: asyncio.Event, seconds: float) -> None:
        await first_of(stop.wait(), self._wake.wait(), within_seconds=seconds)


def _posted(delivery: Delivery, seconds: float) -> None:
    """Take note that a message is there, so long after its claim: until that by the clock of the database."""
    if delivery.backlog is not None:
        _discord.took(delivery.backlog.oldest_seconds + seconds)


def _named(delivery: Delivery) -> str:
    """Return which alerts a message is about, for a line of the log."""
    names = [identity(part.notice.alert) for part in delivery.parts]
    return f"alert {names[0]}" if len(names) == 1 else f"{len(names)} alerts in one message ({'; '.join(names)})"
