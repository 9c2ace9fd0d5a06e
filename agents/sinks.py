"""What the worker writes to: Postgres and Discord, opened in the background, and waited for where they are needed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import asyncpg
from pydantic import SecretStr

from agents.alerts.columns import instant
from agents.alerts.postgres import POSTGRES, answering, leave_read_only, open_pool
from agents.alerts.recorder import Recorder, RecordOutcome
from agents.alerts.words import identity, sentence
from agents.counting.monitor import SourceMessage
from agents.delivery.base import Channel
from agents.delivery.discord import Discord
from agents.delivery.message import web_address
from agents.delivery.notifier import Notifier
from agents.retry import retry_outage, stopped_within
from agents.rules.book import completed
from agents.stats.pruning import Pruner, kept
from agents.stats.window_stats import WindowSample, WindowStats
from streams import metrics
from streams.errors import BadRecord, Fatal, Outage
from streams.model.alert import Alert, decode_alert
from streams.settings import Settings
from streams.tasks import cancelled, first_of
from streams.words import counted

log = logging.getLogger(__name__)

SINK: Final = "postgres"
metrics.start_at_zero(metrics.sink_retries, [SINK])

# A fault of the program may recur at once. It must neither fill the log nor keep the worker from its windows.
RESTART_SECONDS: Final = 5.0


class Sinks:
    """Recorder, notifier and statistics over one pool of connections.

    Until Postgres answers, :meth:`record` waits, so that alerts are neither acknowledged nor lost.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_fatal: Callable[[Fatal], None],
        refuse: Callable[[SourceMessage, BadRecord], Awaitable[None]],
        venue_names: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._venue_names = venue_names
        self._now = now
        self._on_fatal = on_fatal
        self._refuse = refuse
        self._stop = asyncio.Event()
        # Once this is set, nobody waits for Postgres with a message in hand.
        self._let_go = asyncio.Event()
        self._is_closing = False
        self._opened = asyncio.Event()
        self._wake = asyncio.Event()
        self._pool: asyncpg.Pool | None = None
        self._recorder: Recorder | None = None
        self._stats: WindowStats | None = None
        self._lost_samples = 0
        self._pruning: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open Postgres in the background, then run the notifier."""
        self._spawn(self._run_or_die())

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_or_die(self) -> None:
        try:
            await self._run()
        except Fatal as error:
            self._on_fatal(error)
        except Outage:
            raise
        except Exception as error:
            # Without this, alerts would wait forever, and no line would say for what.
            log.exception("Postgres cannot be opened")
            self._on_fatal(Fatal(f"Postgres cannot be opened ({type(error).__name__}: {error}); the log says more"))

    async def _run(self) -> None:
        self._pool = await retry_outage(lambda: open_pool(self._settings), sink=SINK, stop=self._stop)
        pool = self._pool
        self._recorder = Recorder(pool, deliver=self._settings.webhook is not None, wake=self._wake, now=self._now)
        self._stats = WindowStats(pool)
        self._pruning = asyncio.create_task(Pruner(pool, kept(self._settings)).run(self._stop))
        self._opened.set()
        webhook = self._settings.webhook
        if webhook is None:
            log.info("no Discord webhook is set: alerts go to Postgres and to this log (LOG_LEVEL=info)")
        while webhook is not None and not self._stop.is_set():
            try:
                await Notifier(pool, self._discord(webhook), wake=self._wake).run(self._stop)
            except Fatal:
                raise
            except Exception:
                log.exception("delivery to Discord failed; it begins again in %g s", RESTART_SECONDS)
                await stopped_within(self._stop, RESTART_SECONDS)

    def _discord(self, webhook: SecretStr) -> Channel:
        return Discord(
            webhook,
            api_base=self._settings.discord_api_base,
            web_url=web_address(self._settings),
            venue_names=self._venue_names,
        )

    def close(self) -> None:
        """Stop waiting for a Postgres that is away: the process ends, and the next one goes on from the last commit."""
        self._is_closing = True
        self._let_go.set()

    @contextlib.contextmanager
    def letting_go(self) -> Iterator[None]:
        """Wait for no Postgres inside the block: partitions move, and their next owner records what waits."""
        self._let_go.set()
        try:
            yield
        finally:
            if not self._is_closing:
                self._let_go.clear()

    async def stop(self) -> None:
        """Finish what is being sent and close."""
        self._stop.set()
        if self._pruning is not None:
            await cancelled(self._pruning)
        for task in list(self._tasks):
            try:
                async with asyncio.timeout(10):
                    await task
            except (TimeoutError, Outage):
                task.cancel()
        if self._pool is not None:
            with contextlib.suppress(Outage), POSTGRES.asked("Postgres"):
                await self._pool.close()

    async def record(self, message: SourceMessage) -> bool:
        """Write the alert of a message, and log it when its row is new. Waits for Postgres as long as it takes.

        The log has each alert at most once: none where Postgres made the row and its answer was lost.

        Return false where :meth:`letting_go` ended the waiting: the message must not be acknowledged then. Raises
        :class:`Outage` after :meth:`close`.
        """
        (is_done,) = await self.record_all([message])
        return is_done

    async def record_all(self, messages: Sequence[SourceMessage]) -> list[bool]:
        """Do what :meth:`record` does for messages that came together, with one commit; return it of each."""
        known: list[tuple[int, SourceMessage, Alert]] = []
        for at, message in enumerate(messages):
            try:
                known.append((at, message, _alert_in(message)))
            except BadRecord as error:
                await self._refuse(message, error)
        is_done = [True] * len(messages)
        try:
            await self._record_known([(message, alert) for _, message, alert in known])
        except Outage:
            if self._is_closing:
                raise
            for at, _, _ in known:
                is_done[at] = False
        return is_done

    async def _record_known(self, known: Sequence[tuple[SourceMessage, Alert]]) -> None:
        if not known:
            return
        recorder, alerts = await self._opened_recorder(), [alert for _, alert in known]
        try:
            outcomes = await retry_outage(lambda: self._recorded(recorder, alerts), sink=SINK, stop=self._let_go)
        except BadRecord as error:
            if len(known) == 1:
                await self._refuse(known[0][0], error)
                return
            # Postgres does not say whose figures no row can hold.
            for one in known:
                await self._record_known([one])
            return
        for alert, outcome in zip(alerts, outcomes, strict=True):
            if outcome is RecordOutcome.INSERTED:
                _log_alert(alert)

    async def _recorded(self, recorder: Recorder, alerts: Sequence[Alert]) -> list[RecordOutcome]:
        try:
            return await recorder.record_all(alerts)
        except Outage as error:
            await self._leave_read_only(error)
            raise

    async def _leave_read_only(self, error: Outage) -> None:
        if self._pool is not None:
            await leave_read_only(self._pool, error)

    async def _opened_recorder(self) -> Recorder:
        if self._recorder is None:
            await first_of(self._opened.wait(), self._let_go.wait())
        if self._recorder is None:
            raise Outage("stopping while Postgres does not answer; alerts are recorded after the next start")
        return self._recorder

    async def sample(self, samples: list[WindowSample]) -> None:
        """Write samples of windows for dashboards; dropped while Postgres is away."""
        if self._stats is not None and samples:
            try:
                await self._stats.write(samples)
            except Outage as error:
                await self._leave_read_only(error)
                if not self._lost_samples:
                    log.warning("a sample of %s was not written: %s", counted(len(samples), "window"), error)
                self._lost_samples += 1
            else:
                if self._lost_samples > 1:
                    log.info("samples of windows are written again; %d were not", self._lost_samples)
                self._lost_samples = 0

    @property
    def pool(self) -> asyncpg.Pool | None:
        """The connections to Postgres; None until it was reached."""
        return self._pool if self._opened.is_set() else None

    async def reachable(self) -> bool:
        """Whether Postgres answers now, and takes writes."""
        if self._pool is None or not self._opened.is_set():
            return False
        try:
            with answering("asking whether it takes writes"):
                async with asyncio.timeout(2):
                    is_writable = bool(await self._pool.fetchval("SHOW transaction_read_only") == "off")
        except (Outage, BadRecord):
            return False
        if not is_writable:
            await self._pool.expire_connections()
        return is_writable


def _alert_in(message: SourceMessage) -> Alert:
    if message.refused:
        raise BadRecord("too_large", message.refused)
    return completed(decode_alert(message.value or b""))


def _log_alert(alert: Alert) -> None:
    """Say what happened, and where and when, under the identity that the log of deliveries uses too."""
    log.info(
        "alert %s: %s at %s UTC, %s",
        identity(alert),
        alert.severity,
        f"{instant(alert.pane):%Y-%m-%d %H:%M:%S}",
        sentence(alert),
    )
