"""Watches the processes of a run: readiness, alerts as they fire, the end, the summary."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiokafka.errors import KafkaError

from agents.alerts.postgres import open_pool
from agents.alerts.recorder import alert_rows
from streams.errors import Fatal, Outage
from streams.kafka.refusal import refusal, unanswered
from streams.local import report
from streams.local.alert_lines import AlertLines
from streams.local.embedded.process import Child
from streams.local.following import AlertFollower, GroupProgress, answer, lag_of
from streams.local.log_files import keep_short
from streams.local.plan import Plan
from streams.local.probing import get_page, listens, reachable_host
from streams.local.terminal import TERMINAL, say
from streams.logs import without_stamp
from streams.model.alert import AlertId
from streams.topics import ALERTS
from streams.words import counted

# A person takes a tenth of a second for at once.
POLL_SECONDS: Final = 0.1
# A worker is ready within seconds. After a kill its group waits 10 s for the dead member (broker_session_timeout), and
# from a real Kafka it restores tables too.
READY_SECONDS: Final = 90.0
# How long the worker may take for what was read, after the producer has ended by itself. A paced producer is ahead by
# 3 MB per partition at most (streams/publish/pacer.py), which a worker counts in a few seconds.
DRAIN_SECONDS: Final = 30.0
# The same when a person waits. At the pace of a live market a worker lacks only its last commit, a second's work. Of a
# recording it may lack more, which is then said.
HURRIED_DRAIN_SECONDS: Final = 5.0
# The alerts are on the topic already: this is for reading them.
CATCH_UP_SECONDS: Final = 5.0
# The producer tries for 30 s to deliver what it has (streams/publish/producer.py).
PRODUCER_GRACE_SECONDS: Final = 35.0
# The simulator has nothing to save.
SIMULATOR_GRACE_SECONDS: Final = 5.0
# A worker flushes and commits. What it cannot finish is read again at the next start.
WORKER_GRACE_SECONDS: Final = 20.0
# For opening connections and one SELECT by identity. The summary is worth printing without the rows too.
POSTGRES_SECONDS: Final = 10.0
# How often a recording's progress is printed: lines stay on the terminal.
NOTE_SECONDS: Final = 10.0
# The same on a terminal, where it is one line that is written over.
STATUS_SECONDS: Final = 1.0
# What a shell says of a process that SIGINT ended: 128 + 2.
ABANDONED: Final = 130


class _Health(msgspec.Struct):
    recordings: list[str] = []


class Abandoned(Exception):
    """The user asked to stop twice, or before anything was ready. The run ends at once and without a summary."""


class Supervisor:
    """One run. Every child it starts is killed at the latest when ``exits`` closes."""

    def __init__(self, plan: Plan, exits: ExitStack) -> None:
        self._plan = plan
        self._exits = exits
        self._children: dict[str, Child] = {}
        self._told_to_stop = asyncio.Event()
        self._abandoned = False
        self._ready = False

    async def run(self) -> int:
        """Run to the end and return the exit code. Raises :class:`Fatal` when a child dies or does not get ready."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        settings = self._plan.settings
        shortening = asyncio.create_task(keep_short(self._plan.logs))
        try:
            async with GroupProgress(settings) as progress:
                await self._watch(progress)
        except KafkaError as error:
            raise (await refusal(settings) or unanswered(error, settings)) from None
        except Abandoned:
            say("stopped without waiting" if self._ready else "stopped before it was ready")
            return ABANDONED
        finally:
            shortening.cancel()
        return 0

    async def _watch(self, progress: GroupProgress) -> None:
        letters_before, alerts = await progress.dead_letters(), await progress.ends(ALERTS)
        self._spawn("worker", self._plan.worker)
        await self._until_ready(lambda: self._is_ready(self._plan.settings.web_port), "the worker")
        where = str(self._plan.report or f"{self._address} while it runs, or give --report FILE")
        lines = AlertLines(say, where, colour=TERMINAL.is_live and not os.environ.get("NO_COLOR"))
        async with AlertFollower(self._plan.settings, lines.show, alerts) as follower:
            following = asyncio.create_task(follower.follow())
            try:
                began = await self._start_feed()
                await self._until_end(progress, following, lines)
                await self._drain(progress)
                seconds = time.monotonic() - began
                metrics = await self._get(self._plan.settings.web_port, "/metrics")
                with contextlib.suppress(TimeoutError):
                    await self._until(follower.has_read_all, CATCH_UP_SECONDS)
                lines.fold(at_once=True)
                TERMINAL.show("")
                letters = await answer(progress.dead_letters)
                refused = None if letters is None else letters - letters_before
                summary = await self._conclude(metrics, refused, seconds, follower.identities)
                await self._end("worker", WORKER_GRACE_SECONDS)
                self._check_counted(summary)
            finally:
                # What is said next, on whichever stream, begins a line of its own.
                TERMINAL.show("")
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    @property
    def _address(self) -> str:
        settings = self._plan.settings
        host = reachable_host(settings.web_host)
        return settings.web_public_url or f"{settings.web_scheme}://{host}:{settings.web_port}/"

    async def _start_feed(self) -> float:
        """Say that the worker is there, start the feed, and return when that began (monotonic seconds)."""
        plan = self._plan
        self._ready = True
        say(f"ready: web view at {self._address}, feed {plan.settings.feed}, Ctrl-C stops")
        if plan.simulator is not None:
            url = urlsplit(plan.settings.spot_ws_url)
            self._spawn("simulator", plan.simulator)
            await self._until_ready(lambda: listens(url.hostname or "", url.port or 0), "the simulator")
        began = time.monotonic()
        producer = self._spawn("producer", plan.producer)
        await self._until_ready(
            lambda: self._is_ready_or_done(producer, plan.settings.producer_metrics_port), "the producer"
        )
        return began

    async def _until_end(self, progress: GroupProgress, following: asyncio.Task[None], lines: AlertLines) -> None:
        """Return when someone asks, the duration is over, or a recording is processed."""
        deadline = time.monotonic() + (self._plan.duration_seconds or float("inf"))
        note_due = time.monotonic() + (STATUS_SECONDS if TERMINAL.is_live else NOTE_SECONDS)
        while time.monotonic() < deadline and not self._told_to_stop.is_set():
            self._check_children()
            if following.done():
                following.result()
            if self._plan.is_recording:
                if self._children["producer"].exit_code == 0 and await lag_of(progress) == 0:
                    return
                if time.monotonic() > note_due:
                    note_due += STATUS_SECONDS if TERMINAL.is_live else NOTE_SECONDS
                    await (self._status() if TERMINAL.is_live else self._note())
            lines.fold()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_stop.wait(), POLL_SECONDS)

    async def _drain(self, progress: GroupProgress) -> None:
        """Stop reading the feed, and let the worker finish what was read."""
        code = await self._end("producer", PRODUCER_GRACE_SECONDS)
        if code != 0:
            say(self._children["producer"].obituary())
        await self._end("simulator", SIMULATOR_GRACE_SECONDS)

        async def is_done() -> bool:
            return await lag_of(progress) == 0

        try:
            await self._until(is_done, HURRIED_DRAIN_SECONDS if self._told_to_stop.is_set() else DRAIN_SECONDS)
        except TimeoutError:
            lag = await answer(progress.lag)
            left = "how many messages are not processed is unknown" if lag is None else _unprocessed(lag)
            say(f"the worker did not finish in time: {left}")

    async def _conclude(
        self, metrics: str | None, letters: int | None, seconds: float, identities: list[AlertId]
    ) -> report.Summary:
        settings = self._plan.settings
        rows: list[dict[str, Any]] | None = None
        try:
            async with asyncio.timeout(POSTGRES_SECONDS):
                pool = await open_pool(settings)
                try:
                    rows = await alert_rows(pool, identities)
                finally:
                    await pool.close()
        except (Outage, TimeoutError) as error:
            say(f"the alerts cannot be read: {error or 'Postgres does not answer'}")
        totals = report.totals(metrics)
        markets = totals["markets"]
        lengths = {*settings.windows, settings.window_seconds}
        summary = report.Summary(
            **totals,
            dead_letters=letters,
            windows=None if markets is None else markets * len(lengths),
            seconds=round(seconds, 3),
            alerts=None if rows is None else report.count_severities(rows),
        )
        say(str(summary))
        if self._plan.is_recording and letters:
            # Its last line says what it published, what it refused, and why.
            _, said, words = self._children["producer"].last_words().partition("published ")
            say(f"the producer published {words}" if said else f"why rows were refused: {self._plan.logs}")
        if self._plan.report is not None:
            try:
                report.write_report(self._plan.report, summary, rows)
            except OSError as error:
                raise Fatal(f"--report {self._plan.report} cannot be written: {error.strerror}") from None
        return summary

    def _check_counted(self, summary: report.Summary) -> None:
        """Raise :class:`Fatal` where a recording was played and the worker counted nothing of it."""
        letters, is_played = summary.dead_letters, self._plan.is_recording and not self._told_to_stop.is_set()
        if is_played and letters and summary.trades == 0 == summary.duplicates == summary.late:
            rows = counted(letters, "record")
            raise Fatal(f"nothing of the recording was counted: {rows} refused, for reasons in {self._plan.logs}")

    async def _status(self) -> None:
        """Show on a terminal how far the recording is."""
        if self._children["producer"].exit_code is None:
            page = await self._get(self._plan.settings.producer_metrics_port, "/healthz")
            said = msgspec.json.decode(page or "{}", type=_Health).recordings
            TERMINAL.show(said[0] if said else "")
        else:
            TERMINAL.show("the recording is read; the worker counts the last of it")

    async def _note(self) -> None:
        trades = report.totals(await self._get(self._plan.settings.web_port, "/metrics"))["trades"]
        reading = self._children["producer"].exit_code is None
        words = without_stamp(self._children["producer"].last_words()) if reading else "the recording is read"
        done = "the worker does not answer" if trades is None else f"{counted(trades, 'trade')} processed"
        say(f"{done}; {words}")

    def _on_signal(self) -> None:
        self._abandoned = self._told_to_stop.is_set() or not self._ready
        if not self._abandoned:
            say("stopping (Ctrl-C again: at once)")
        self._told_to_stop.set()

    def _spawn(self, name: str, command: Sequence[str]) -> Child:
        child = Child(f"the {name}", command, environment=self._plan.environment, log=self._plan.logs / f"{name}.log")
        self._exits.callback(child.kill)
        self._children[name] = child
        return child

    def _check_children(self) -> None:
        for name, child in self._children.items():
            code = child.exit_code
            if code is not None and not (code == 0 and name == "producer" and self._plan.is_recording):
                raise Fatal(child.obituary())

    async def _end(self, name: str, grace_seconds: float) -> int:
        """Ask the child to end, kill it after its grace; return its exit code."""
        child = self._children.get(name)
        if child is None:
            return 0
        if child.exit_code is None:
            child.process.terminate()
            try:
                await self._until(lambda: _true(child.exit_code is not None), grace_seconds)
            except TimeoutError:
                say(f"{child.name} did not end within {grace_seconds:g} s and is killed")
        return child.kill()

    async def _until_ready(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        async def is_ready() -> bool:
            self._check_children()
            return await condition()

        try:
            await self._until(is_ready, READY_SECONDS)
        except TimeoutError:
            raise Fatal(f"{what} was not ready within {READY_SECONDS:g} s (logs: {self._plan.logs})") from None

    async def _until(self, condition: Callable[[], Awaitable[bool]], timeout_seconds: float) -> None:
        """Wait for a condition. Raises :class:`TimeoutError`, or :class:`Abandoned` when nobody wants to wait."""
        deadline = time.monotonic() + timeout_seconds
        while not await condition():
            if self._abandoned:
                raise Abandoned
            if time.monotonic() > deadline:
                raise TimeoutError
            await asyncio.sleep(POLL_SECONDS)

    async def _is_ready(self, port: int) -> bool:
        return await self._get(port, "/readyz") is not None

    async def _is_ready_or_done(self, producer: Child, port: int) -> bool:
        return producer.exit_code == 0 or await self._is_ready(port)

    async def _get(self, port: int, path: str) -> str | None:
        return await get_page(self._plan.settings.web_host, port, path, self._plan.settings.web_scheme)


def _unprocessed(lag: int) -> str:
    return f"{counted(lag, 'message')} {'is' if lag == 1 else 'are'} not processed"


async def _true(value: bool) -> bool:  # noqa: FBT001 - it is the value
    return value
