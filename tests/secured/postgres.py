"""Debian's Postgres with TLS: the embedded one is built without it."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import pytest

from streams.local.embedded.process import Child
from streams.local.embedded.valkey import free_port
from tests.secured.certificates import Authority, Issued

HOST: Final = "127.0.0.1"
USER: Final = "liqmon"
PASSWORD: Final = "s3cr3t-of-postgres"
ACCOUNT: Final = "nobody"
START_SECONDS: Final = 30
# Nobody gets in without TLS; the database `mutual` wants a client certificate too.
ACCESS: Final = f"""\
hostssl mutual all {HOST}/32 scram-sha-256 clientcert=verify-ca
hostssl all all {HOST}/32 scram-sha-256
"""


def debian_binaries() -> Path | None:
    """Return the directory of the newest Postgres of Debian's; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class TlsPostgres:
    """A Postgres that lets nobody in without TLS. It runs as another account where the tests run as root."""

    def __init__(self, authority: Authority, issued: Issued) -> None:
        binaries = debian_binaries()
        if binaries is None:
            pytest.skip("not covered: Postgres with TLS (apt-get install postgresql)")
        self._binaries = binaries
        self._account = ACCOUNT if os.geteuid() == 0 else ""
        # Below the tests' own directory no other account may look.
        self._directory = Path(tempfile.mkdtemp(prefix="liqmon-tls-postgres-"))
        self._data = self._directory / "data"
        self._log = self._directory / "log"
        self._log.touch()
        self._clients = self._directory / "clients.pem"
        shutil.copyfile(authority.certificate, self._clients)
        password = self._directory / "password"
        password.write_text(PASSWORD)
        self._give()
        self._run("initdb", "-D", self._data, "-U", USER, "--pwfile", password, "-A", "scram-sha-256", "--no-sync")
        (self._data / "pg_hba.conf").write_text(ACCESS)
        self.port = free_port()
        self.start(issued)
        self._create("mutual")

    def start(self, issued: Issued) -> None:
        """Start with this certificate."""
        for source, name in ((issued.certificate, "server.crt"), (issued.key, "server.key")):
            shutil.copyfile(source, self._data / name)
            (self._data / name).chmod(0o600)
        self._give()
        options = {
            "listen_addresses": HOST, "port": self.port, "unix_socket_directories": "", "fsync": "off",
            "ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": self._clients,
        }  # fmt: skip
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._data), *arguments]
        self._child = Child(
            "Debian's Postgres", command, log=self._log, user=self._account, death_signal=signal.SIGQUIT,
            directory=self._directory,
        )  # fmt: skip
        self._child.wait_until(self._is_ready, START_SECONDS)

    def stop(self) -> None:
        """End it; its data stay."""
        self._child.stop(signal_number=signal.SIGINT, grace_seconds=START_SECONDS)

    def settings(self, authority: Authority, **more: Any) -> dict[str, Any]:
        """Return the settings of a client that looks at the certificate and its name."""
        return {
            "postgres_host": HOST,
            "postgres_port": self.port,
            "postgres_user": USER,
            "postgres_password": PASSWORD,
            "postgres_db": "postgres",
            "postgres_sslmode": "verify-full",
            "postgres_ssl_cafile": authority.certificate,
            **more,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _give(self) -> None:
        if self._account:
            entry = pwd.getpwnam(self._account)
            for path in (self._directory, *self._directory.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        child = Child(program, command, log=self._log, user=self._account, directory=self._directory)
        child.process.wait(START_SECONDS)
        assert child.exit_code == 0, self._log.read_text()

    def _create(self, database: str) -> None:
        command = [str(self._binaries / "createdb"), "-h", HOST, "-p", str(self.port), "-U", USER, database]
        environment = os.environ | {"PGPASSWORD": PASSWORD, "PGSSLMODE": "require"}
        subprocess.run(command, env=environment, check=True, timeout=START_SECONDS)

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[0] == str(self._child.pid) and lines[7].strip() == "ready"
        return False
