"""The program's own processes, as an operator runs them: started, killed, frozen, resumed, ended, always cleaned up."""

import contextlib
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from streams.local.embedded.process import Child
from tests.kafka.server import HOST, free_ports
from tests.machine import until_stopped

POLL_SECONDS = 0.02
HTTP_SECONDS = 2.0

# The developer's own settings must not reach a process under test.
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


class Process:
    """A program that is started and ended many times under one name, with one log and one directory of its own.

    ``port`` is where it serves /metrics and /readyz, 0 for none. ``wanted`` says that nobody has ended it since it was
    started: should it not run, it has ended by itself. Start it from the main thread: it dies with the
    thread that started it. Methods that wait block; run those in a thread where a proxy lives in the same loop.
    """

    def __init__(
        self, name: str, command: list[str], directory: Path, *, environment: Mapping[str, str], port: int = 0
    ) -> None:
        self.name = name
        self.directory = directory
        self.log = directory / f"{name}.log"
        self.port = port
        self.starts = 0
        self.wanted = False
        self._command = command
        self.environment = environment
        self._child: Child | None = None
        self._frozen = False
        directory.mkdir(parents=True, exist_ok=True)

    def start(self) -> Self:
        """Start it, with what it wrote added to its log."""
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        base = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        environment = {**base, "PYTHONUNBUFFERED": "1", **self.environment}
        self._child = Child(self.name, self._command, environment=environment, directory=self.directory, log=self.log)
        self.starts += 1
        self.wanted = True
        self._frozen = False
        return self

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        assert self._child is not None, "start it first"
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it lives; a frozen one does."""
        return self._child is not None and self._child.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """The last exit code, negative for a signal; None while it runs or before its first start."""
        return None if self._child is None else self._child.exit_code

    def kill(self) -> None:
        """Kill it and all it started (SIGKILL), without a chance to clean up."""
        self.wanted = False
        if self._child is not None:
            self._child.kill()

    def freeze(self) -> None:
        """Stop it and all it started from running (SIGSTOP)."""
        if self.running:
            os.killpg(self.pid, signal.SIGSTOP)
            until_stopped(self.pid)
            self._frozen = True

    def resume(self) -> None:
        """Let it run on (SIGCONT)."""
        if self._frozen and self.running:
            os.killpg(self.pid, signal.SIGCONT)
        self._frozen = False

    def terminate(self) -> None:
        """Ask it to end (SIGTERM) and return at once."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)

    def stop(self, grace_seconds: float = 20) -> int:
        """End it as an operator would and return its exit code, -9 if it had to be killed."""
        assert self._child is not None, "start it first"
        self.wanted = False
        self.resume()
        return self._child.stop(grace_seconds=grace_seconds)

    def stop_well(self) -> None:
        """End it as an operator would. Raises :class:`AssertionError`, with its last lines, where that is a fault."""
        if (code := self.stop()) != 0:
            raise AssertionError(f"{self.name} ended with code {code} when it was told to end:\n{self.tail(100)}")

    def wait(self, timeout_seconds: float) -> int:
        """Wait for its end and return its exit code. Raises :class:`TimeoutError`."""
        wait_until(lambda: not self.running, timeout_seconds, f"{self.name} to end")
        code = self.exit_code
        assert code is not None
        return code

    def log_text(self) -> str:
        """Return what all its starts wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for_log(self, text: str, timeout_seconds: float = 30) -> None:
        """Wait until its log holds ``text``. Raises :class:`TimeoutError`, also when it ended without."""
        wait_until(lambda: text in self.log_text() or not self.running, timeout_seconds, f"{self.name} to log {text!r}")
        if text not in self.log_text():
            raise TimeoutError(f"{self.name} ended with code {self.exit_code} without logging {text!r}:\n{self.tail()}")

    def ready(self) -> bool:
        """Whether /readyz says so now."""
        try:
            status, _ = http_get(self.port, "/readyz")
        except OSError:
            return False
        return status == 200

    def wait_ready(self, timeout_seconds: float = 60) -> None:
        """Wait until it is ready. Raises :class:`TimeoutError`, also when it ended before."""
        wait_until(lambda: self.ready() or not self.running, timeout_seconds, f"{self.name} to be ready")
        if not self.running:
            raise TimeoutError(f"{self.name} ended with code {self.exit_code} before it was ready:\n{self.tail()}")

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum over the samples of a metric that carry these labels. Raises OSError when it is not served."""
        _, text = http_get(self.port, "/metrics")
        return sum_of_samples(text, name, labels)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log, for messages."""
        return "\n".join(self.log_text().splitlines()[-lines:])


class Processes(contextlib.ExitStack):
    """Processes of one run, below one directory; none of them outlives the ``with`` block."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.directory = directory
        self.environment = dict(environment or {})

    def add(
        self, name: str, command: list[str], *, environment: Mapping[str, str] | None = None, port: int = 0
    ) -> Process:
        """Prepare a process; it is not started yet."""
        merged = self.environment | dict(environment or {})
        process = Process(name, command, self.directory / name, environment=merged, port=port)
        self.callback(process.kill)
        return process

    def worker(self, name: str, environment: Mapping[str, str] | None = None) -> Process:
        """Prepare a ``liqmon worker`` with its own tables and port."""
        (port,) = free_ports(1)
        own = {"WEB_HOST": HOST, "WEB_PORT": str(port), "DATA_DIR": str(self.directory / name / "data")}
        return self.add(name, liqmon("worker"), environment=own | dict(environment or {}), port=port)

    def producer(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        """Prepare a ``liqmon produce`` with its own port."""
        (port,) = free_ports(1)
        own = {"WEB_HOST": HOST, "PRODUCER_METRICS_PORT": str(port)}
        return self.add(name, liqmon("produce", *arguments), environment=own | dict(environment or {}), port=port)


def liqmon(*arguments: str) -> list[str]:
    """Return the command that runs ``liqmon`` in this interpreter."""
    return [sys.executable, "-m", "streams.cli", *arguments]


def wait_until(
    condition: Callable[[], bool], timeout_seconds: float, what: str, *, poll_seconds: float = POLL_SECONDS
) -> None:
    """Poll ``condition`` until it holds. Raises :class:`TimeoutError` that says what was waited for."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s for {what}")
        time.sleep(poll_seconds)


def http_get(port: int, path: str, timeout_seconds: float = HTTP_SECONDS) -> tuple[int, str]:
    """Return status and body of a GET on loopback. Raises OSError when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=timeout_seconds) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def sum_of_samples(text: str, name: str, labels: Mapping[str, str]) -> float:
    """Return the sum over the samples called ``name`` that carry at least these labels; 0 where there are none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
