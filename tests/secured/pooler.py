"""Debian's pgbouncer in front of the tests' Postgres."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from streams.local.embedded.process import Child
from streams.local.embedded.valkey import free_port

HOST: Final = "127.0.0.1"
ACCOUNT: Final = "nobody"
START_SECONDS: Final = 20
# Few servers for many clients: a client meets all of them.
SERVERS: Final = 3


def pgbouncer() -> str | None:
    """Return the program's path; None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def pooled(settings: Mapping[str, Any], directory: Path, mode: str = "transaction") -> Iterator[dict[str, Any]]:
    """Give the settings by which a Postgres is reached through pgbouncer; it has the user's password in its own file.

    ``directory`` must be one that other accounts can enter: pgbouncer does not run as root.
    """
    program = pgbouncer()
    if program is None:
        pytest.skip("not covered: pgbouncer (apt-get install pgbouncer)")
    port, log = free_port(), directory / "pgbouncer.log"
    users, configuration = directory / "users.txt", directory / "pgbouncer.ini"
    users.write_text(f'"{settings["postgres_user"]}" "{settings["postgres_password"]}"\n')
    configuration.write_text(
        "[databases]\n"
        f"{settings['postgres_db']} = host={settings['postgres_host']} port={settings['postgres_port']}\n"
        "[pgbouncer]\n"
        f"listen_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\npool_mode = {mode}\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\ndefault_pool_size = {SERVERS}\nmax_client_conn = 100\n"
    )
    child = Child("pgbouncer", [program, str(configuration)], log=log, user=ACCOUNT if os.geteuid() == 0 else "")
    try:
        child.wait_until(lambda: _listens(port), START_SECONDS)
        yield {**settings, "postgres_host": HOST, "postgres_port": port}
    finally:
        child.stop()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
