"""Tells Discord what the outbox holds: every message at least once, duplicates bounded, marked and counted."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import uuid4

import asyncpg
from pydantic import SecretStr

from agents.alerts.words import identity
from agents.delivery.discord import Ambiguous, Discord, MessageGone, MessageRefused, NotDelivered, WebhookDead
from agents.delivery.message import message as message_of
from agents.delivery.message import web_address
from agents.delivery.outbox import Delivery, Outbox
from agents.retry import JITTER, retry_outage, stopped_within
from streams import metrics
from streams.backoff import Delays, doubling
from streams.errors import Outage
from streams.settings import Settings

log = logging.getLogger(__name__)

# New alerts of this worker wake it at once; the poll finds those of others and what is due again.
POLL_SECONDS: Final = 1.0
UPKEEP_SECONDS: Final = 5.0
# A claim older than this belongs to a worker that is gone. Longer than a request may take, with its claim's age.
ORPHANED_AFTER_SECONDS: Final = 30.0
# A worker that was frozen between claim and request must not send: another may have done so meanwhile.
CLAIM_FRESH_SECONDS: Final = 5.0
# Discord is a stranger's service: after a minute of failures it is asked once a minute, and alerts wait in the outbox.
FIRST_DELAY_SECONDS: Final = 1.0
MAX_DELAY_SECONDS: Final = 60.0


class Notifier:
    """Delivers the outbox to a webhook, in any number of workers at once.

    ``wake`` is set by this process's recorder. ``venue_names`` are venues' names for people. Raises
    :class:`BadSetting` where the webhook's address is none.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        settings: Settings,
        webhook: SecretStr,
        *,
        wake: asyncio.Event | None = None,
        venue_names: Mapping[str, str] | None = None,
        poll_seconds: float = POLL_SECONDS,
        upkeep_seconds: float = UPKEEP_SECONDS,
        orphaned_after_seconds: float = ORPHANED_AFTER_SECONDS,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
    ) -> None:
        self._discord = Discord(webhook, api_base=settings.discord_api_base)
        self._outbox = Outbox(pool, f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}")
        self._web_url = web_address(settings)
        self._venue_names = venue_names or {}
        self._wake = wake or asyncio.Event()
        self._poll_seconds = poll_seconds
        self._upkeep_seconds = upkeep_seconds
        self._orphaned_after_seconds = orphaned_after_seconds
        self._delays = Delays(doubling(first_delay_seconds, MAX_DELAY_SECONDS), jitter=JITTER)
        self._resume_at = 0.0
        self._upkeep_at = 0.0
        self.webhook_dead: str | None = None
        """Why the webhook is not tried any more, once it is not."""

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set; the request under way is finished first. Outages are waited out."""
        try:
            while not stop.is_set():
                await self._step(stop)
        except Outage as error:
            log.warning("stopped while Postgres did not answer; what was being sent counts as ambiguous: %s", error)
        finally:
            await self._discord.close()

    async def _step(self, stop: asyncio.Event) -> None:
        if time.monotonic() >= self._upkeep_at:
            await retry_outage(self._upkeep, sink="postgres", stop=stop)
            self._upkeep_at = time.monotonic() + self._upkeep_seconds
        if self.webhook_dead is not None:
            await self._bury(stop)
            await self._idle(stop, self._poll_seconds)
            return
        wait_seconds = max(self._discord.wait_seconds(), self._resume_at - time.monotonic())
        if wait_seconds > 0:
            await stopped_within(stop, min(wait_seconds, self._upkeep_seconds))
            return
        self._wake.clear()
        asked_at = time.monotonic()
        delivery = await retry_outage(self._outbox.claim, sink="postgres", stop=stop)
        if delivery is None:
            await self._idle(stop, self._poll_seconds)
        elif time.monotonic() - asked_at > CLAIM_FRESH_SECONDS:
            await self._end(self._outbox.release, delivery, "claimed too long ago", stop)
        else:
            await self._deliver(delivery, stop)

    async def _deliver(self, delivery: Delivery, stop: asyncio.Event) -> None:
        name = identity(delivery.alert)
        message = message_of(
            delivery.alert,
            web_url=self._web_url,
            venue_names=self._venue_names,
            possible_duplicate=delivery.possible_duplicate,
            escalated_to=delivery.escalated_to,
        )
        try:
            if delivery.message_id is None:
                message_id = await self._discord.post(message)
                outcome = "sent"
            else:
                message_id = delivery.message_id
                await self._discord.edit(message_id, message)
                outcome = "edited"
        except NotDelivered as error:
            metrics.deliveries.labels("not_delivered").inc()
            self._back_off(error)
            await self._end(self._outbox.release, delivery, str(error), stop)
        except Ambiguous as error:
            metrics.deliveries.labels("ambiguous").inc()
            self._back_off(error)
            state = await self._end(self._outbox.doubt, delivery, str(error), stop)
            if state == "unknown":
                metrics.deliveries.labels("unknown").inc()
                log.warning("alert %s may or may not be on Discord: %s", name, error)
        except MessageGone:
            self._recover()
            await self._end(self._outbox.sent, delivery, str(delivery.message_id), stop)
            log.info("alert %s: its message was deleted on Discord, nothing to edit", name)
        except MessageRefused as error:
            self._recover()
            metrics.deliveries.labels("dead").inc()
            log.error("alert %s cannot be shown on Discord, its row is in Postgres: %s", name, error)  # noqa: TRY400 - no bug
            await self._end(self._outbox.fail, delivery, str(error), stop)
        except WebhookDead as error:
            await self._disable(delivery, str(error), stop)
        else:
            self._recover()
            metrics.deliveries.labels(outcome).inc()
            state = await retry_outage(lambda: self._outbox.sent(delivery, message_id), sink="postgres", stop=stop)
            if state is None:
                metrics.deliveries.labels("claim_lost").inc()
                log.warning("alert %s: another worker took it over while it was sent, it may be there twice", name)
            else:
                log.info("alert %s %s on Discord", name, outcome)

    async def _disable(self, delivery: Delivery, error: str, stop: asyncio.Event) -> None:
        self.webhook_dead = error
        metrics.deliveries.labels("dead").inc()
        log.error(
            "the Discord webhook is gone and is not tried again: %s; alerts go to Postgres and to this log only. "
            "Put a working address into DISCORD_WEBHOOK_URL_2 or DISCORD_WEBHOOK_URL and restart",
            error,
        )
        await self._end(self._outbox.fail, delivery, error, stop)
        await self._bury(stop)

    async def _bury(self, stop: asyncio.Event) -> None:
        self._wake.clear()
        error = f"webhook disabled: {self.webhook_dead}"
        buried = await retry_outage(lambda: self._outbox.bury(error), sink="postgres", stop=stop)
        metrics.deliveries.labels("dead").inc(buried)

    async def _end(
        self,
        step: Callable[[Delivery, str], Awaitable[str | None]],
        delivery: Delivery,
        text: str,
        stop: asyncio.Event,
    ) -> str | None:
        return await retry_outage(lambda: step(delivery, text), sink="postgres", stop=stop)

    async def _upkeep(self) -> None:
        for state in await self._outbox.take_orphans(self._orphaned_after_seconds):
            metrics.deliveries.labels("ambiguous").inc()
            if state == "unknown":
                metrics.deliveries.labels("unknown").inc()
            log.warning("a worker went away while it was sending an alert to Discord; the message is %s now", state)
        metrics.outbox_age_seconds.set(await self._outbox.age_seconds())

    def _back_off(self, error: Outage) -> None:
        metrics.sink_retries.labels("discord").inc()
        if isinstance(error, NotDelivered) and error.retry_after_seconds:
            return  # the client keeps to what Discord asked for
        if not self._delays.taken:
            log.warning("Discord does not take messages, trying again until it does: %s", error)
        self._resume_at = time.monotonic() + self._delays.next_seconds()

    def _recover(self) -> None:
        if self._delays.taken:
            log.info("Discord takes messages again")
        self._delays.reset()

    async def _idle(self, stop: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._wake)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
