"""The members of ``liqmon worker --processes N``: each with a name, a port and a directory of its own."""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from streams.backoff import Delays, doubling
from streams.data_directory import hold_directory, lock_directory
from streams.errors import BadSetting
from streams.local.embedded.process import Child
from streams.local.plan import command
from streams.local.probing import get_page, reachable_host
from streams.preflight import all_of, check_port
from streams.settings import Settings
from streams.tls import check_client_files

# Ports between are those of producers, which docs/operation.md numbers in the same steps.
PORT_STEP: Final = 10
LAST_PORT: Final = 65_535
# The group waits 10 s for a member that was killed, so the first delay costs nothing. The last one is as long as
# orchestrators let a container be unhealthy.
RESTART_DELAYS: Final = doubling(1.0, 16.0)
# What five starts in half a minute do not cure, one more does not either. Whoever watches the program is to know.
MOST_RESTARTS: Final = 5
# A member that lived for so long has started well: what ends it now is another fault.
STEADY_SECONDS: Final = 60.0

_writing: Final = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where a member is: ``name`` is the one in logs, ``address`` its web view's."""

    name: str
    host: str
    port: int
    scheme: str
    directory: Path

    @property
    def address(self) -> str:
        """The web view, as a browser on this machine reaches it."""
        return f"{self.scheme}://{reachable_host(self.host)}:{self.port}/"

    @property
    def environment(self) -> dict[str, str]:
        """Settings in which members differ, by environment variable."""
        return {"WEB_PORT": str(self.port), "DATA_DIR": str(self.directory)}


def claim_places(settings: Settings, count: int) -> list[Place]:
    """Hold the data directory until this process ends, and return a place for each member.

    Raises one :class:`Fatal` that names all ports and directories that others have, and files that cannot be used.
    """
    last = settings.web_port + (count - 1) * PORT_STEP
    if settings.web_port and last > LAST_PORT:
        raise BadSetting(f"WEB_PORT {settings.web_port} leaves no ports for {count} processes: the last is {last}")
    data = settings.data_dir.resolve()
    directories = [data / f"worker-{number}" for number in range(1, count + 1)]
    ports: list[int] = []
    checks: list[Callable[[], object]] = []
    for step in range(count):
        wanted = settings.web_port and settings.web_port + step * PORT_STEP
        checks.append(partial(_take_port, settings.web_host, wanted, ports))
    if settings.table_store.startswith("rocksdb:"):
        checks.append(partial(_hold, data, directories))
    checks.append(partial(check_client_files, settings))
    all_of(*checks)
    return [
        Place(directory.name, settings.web_host, port, settings.web_scheme, directory)
        for directory, port in zip(directories, ports, strict=True)
    ]


def _take_port(host: str, port: int, taken: list[int]) -> None:
    found = check_port(host, port, "WEB_PORT")
    while port == 0 and found in taken:
        found = check_port(host, port, "WEB_PORT")
    taken.append(found)


def _hold(data: Path, directories: Sequence[Path]) -> None:
    hold_directory(data)
    for directory in directories:
        # A worker that was started by itself may be there.
        with lock_directory(directory, "worker"):
            pass


class Restarts:
    """How often a member may be started again, and when. ``clock`` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delays = Delays(RESTART_DELAYS)
        self._started = clock()

    def began(self) -> None:
        """Note that it was started now."""
        self._started = self._clock()

    @property
    def taken(self) -> int:
        """Restarts since it last lived for long."""
        return self._delays.taken

    def next_seconds(self) -> float | None:
        """Return how long to wait before it is started again; None where that has not helped often enough."""
        if self._clock() - self._started >= STEADY_SECONDS:
            self._delays.reset()
        return self._delays.next_seconds() if self._delays.taken < MOST_RESTARTS else None


class Member:
    """One member and its restarts. Start it from the main thread: it dies with the thread that started it."""

    def __init__(self, place: Place, environment: Mapping[str, str]) -> None:
        self.place = place
        self.has_been_ready = False
        self._environment = {**environment, **place.environment, "PYTHONUNBUFFERED": "1"}
        self.restarts = Restarts()
        self._child: Child | None = None

    def start(self) -> None:
        """Start its process. Raises :class:`OSError` where the system has none to give."""
        name = self.place.name
        self.restarts.began()
        self._child = Child(
            name, command("worker"), environment=self._environment, hear=lambda line: write_line(f"{name} | {line}")
        )

    @property
    def exit_code(self) -> int | None:
        """How its process ended, negative for a signal; None while it runs, 0 before its first start."""
        return 0 if self._child is None else self._child.exit_code

    async def look(self) -> None:
        """Note whether it is ready."""
        if not self.has_been_ready:
            place = self.place
            self.has_been_ready = await get_page(place.host, place.port, "/readyz", place.scheme) is not None

    def terminate(self) -> None:
        """Ask it to flush, commit and end."""
        if self._child is not None and self.exit_code is None:
            self._child.process.terminate()

    def kill(self) -> None:
        """Kill what is left of it, and hand on its last lines."""
        if self._child is not None:
            self._child.kill()

    def obituary(self) -> str:
        """Return one line that says how it ended and what it said last."""
        return self._child.obituary() if self._child is not None else f"{self.place.name} was not started"


def write_line(line: str) -> None:
    """Write a line to standard error, whole. One that nobody reads ends nothing."""
    with _writing, suppress(OSError, ValueError):
        sys.stderr.buffer.write(f"{line}\n".encode())
        sys.stderr.buffer.flush()


def addresses(members: Sequence[Member]) -> str:
    """Return the members with the addresses of their web views, in a line."""
    return ", ".join(f"{member.place.name} {member.place.address}" for member in members)
