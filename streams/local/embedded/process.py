"""Child processes that are always stopped again."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from streams.errors import Fatal
from streams.logs import without_stamp

GUARD: Final = Path(__file__).with_name("guard.py")
# Servers start in tens of milliseconds, and a run starts three.
POLL_SECONDS: Final = 0.02
# The last line of a log is shorter than this.
TAIL_BYTES: Final = 8192
# What is longer is handed on in pieces.
MOST_LINE_BYTES: Final = 65_536
# Its pipe is at its end when it is, unless it left a process behind that holds it.
HEARD_SECONDS: Final = 2.0


class Child:
    """One program as a child process in its own process group.

    ``log`` receives what it writes; without one, that is dropped. ``death_signal`` is what the kernel sends it when
    this process dies first (Linux). ``user`` is the account to run as, for children of root only. With
    ``first_line=True`` its first line of output can be awaited by :meth:`read_first_line`. It reads
    ``standard_input``, then the end of file. ``descriptors`` stay open in it, by the same numbers.

    In place of ``log``, ``hear`` is called with each line that it writes, without its end, from a thread of its own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        log: Path | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        user: str = "",
        descriptors: Sequence[int] = (),
        first_line: bool = False,
        standard_input: bytes = b"",
        hear: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._heard = ""
        guard = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(int(death_signal)), user]
        with contextlib.ExitStack() as files:
            output: IO[bytes] | int = subprocess.DEVNULL
            self._log_start = 0
            if log is not None:
                output = files.enter_context(log.open("ab"))
                # Its own words begin here: the file may hold those of earlier runs.
                self._log_start = log.stat().st_size
            source: IO[bytes] = files.enter_context(tempfile.TemporaryFile())
            source.write(standard_input)
            source.seek(0)
            self.process = subprocess.Popen(  # noqa: S603  the commands are this program's own
                [*guard, *command],
                stdin=source,
                stdout=subprocess.PIPE if first_line or hear else output,
                stderr=subprocess.STDOUT if hear else output,
                env=None if environment is None else dict(environment),
                cwd=directory,
                pass_fds=descriptors,
                start_new_session=True,
            )
        self._hearing: threading.Thread | None = None
        if hear is not None and self.process.stdout is not None:
            self._hearing = threading.Thread(target=self._listen, args=(self.process.stdout, hear), daemon=True)
            self._hearing.start()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.process.poll()

    def read_first_line(self, timeout_seconds: float) -> str:
        """Return the first line it prints. Raises :class:`Fatal` when none comes in time or it ends before."""
        stream = self.process.stdout
        if stream is None:
            raise ValueError("the child was not started with first_line=True")
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=timeout_seconds).decode(errors="replace").strip()
        except queue.Empty:
            raise Fatal(f"{self.name} did not start within {timeout_seconds:g} s") from None
        if not line:
            self.process.wait(timeout=timeout_seconds)
            raise Fatal(self.obituary())
        return line

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait for a condition. Raises :class:`Fatal` when it is not met in time or the child ends before."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if self.exit_code is not None:
                raise Fatal(self.obituary())
            if time.monotonic() > deadline:
                raise Fatal(f"{self.name} was not ready within {timeout_seconds:g} s{self._where()}")
            time.sleep(POLL_SECONDS)

    def stop(self, *, signal_number: signal.Signals = signal.SIGTERM, grace_seconds: float = 10) -> int:
        """Ask it to end, kill its whole group after ``grace_seconds``, and return the exit code."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=grace_seconds)
        return self.kill()

    def kill(self) -> int:
        """Kill whatever is left of its process group and return the exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self.process.wait()
        if self._hearing is not None:
            self._hearing.join(HEARD_SECONDS)
        elif self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def last_words(self) -> str:
        """Return the last non-empty line that it wrote to its log, or that was heard of it, or nothing."""
        if self.log is None:
            return self._heard
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = self._log_start if size >= self._log_start else 0
                file.seek(max(start, size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def obituary(self) -> str:
        """Return one line that says how it ended, what it said last, and where its log is."""
        code = self.exit_code
        # One that ended by itself has said why.
        how, said = f"with code {code}", ": "
        if code is not None and code < 0:
            how, said = f"by {signal.Signals(-code).name}", "; the last line that it wrote: "
        words = without_stamp(self.last_words())
        return f"{self.name} ended {how}{said + words if words else ''}{self._where()}"

    def _listen(self, stream: IO[bytes], hear: Callable[[str], None]) -> None:
        with stream:
            while line := stream.readline(MOST_LINE_BYTES):
                text = line.decode(errors="replace").rstrip("\r\n")
                self._heard = text.strip() or self._heard
                hear(text)

    def _where(self) -> str:
        return f" (log: {self.log})" if self.log is not None else ""
