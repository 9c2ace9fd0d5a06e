"""Postgres with TLS: who asks for it gets it, who checks certificates does, and a refusal is one line."""

from typing import Any

import pytest

from agents.alerts.postgres import open_pool
from streams.errors import Fatal
from streams.settings import load_settings
from tests.secured.certificates import Authority, Issued
from tests.secured.postgres import PASSWORD, TlsPostgres


async def is_encrypted(given: dict[str, Any]) -> bool:
    """Open the database as a worker does, and ask whether the connection has TLS."""
    pool = await open_pool(load_settings(**given))
    try:
        return bool(await pool.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    finally:
        await pool.close()


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full", None])
async def test_the_connection_is_encrypted(postgres: TlsPostgres, authority: Authority, mode: str | None) -> None:
    """As libpq's modes say; without one as before."""
    checks = mode in ("verify-ca", "verify-full")
    more = {"postgres_sslmode": mode, "postgres_ssl_cafile": authority.certificate if checks else None}
    assert await is_encrypted(postgres.settings(authority, **more))


async def test_a_client_shows_its_certificate(postgres: TlsPostgres, authority: Authority, client: Issued) -> None:
    """Where the server asks for one."""
    more = {"postgres_ssl_certfile": client.certificate, "postgres_ssl_keyfile": client.key}
    assert await is_encrypted(postgres.settings(authority, postgres_db="mutual", **more))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"postgres_ssl_cafile": "STRANGER"}, r"its certificate is not accepted \(.*\): check POSTGRES_SSL_CAFILE"),
        ({"postgres_ssl_cafile": None}, r"its certificate is not accepted \(.*\): check POSTGRES_SSL_CAFILE"),
        ({"postgres_password": "wrong"}, "password authentication failed .*; check POSTGRES_USER, POSTGRES_PASSWORD"),
        ({"postgres_db": "mutual"}, "certificate.*; check POSTGRES_SSL_CERTFILE"),
        ({"postgres_sslmode": "disable", "postgres_ssl_cafile": None}, "no encryption; check POSTGRES_SSLMODE"),
    ],
)
async def test_who_is_refused_reads_one_line(
    postgres: TlsPostgres, authority: Authority, stranger: Authority, wrong: dict[str, Any], said: str
) -> None:
    """It names the setting and no secret."""
    changed = {name: stranger.certificate if value == "STRANGER" else value for name, value in wrong.items()}
    address = f"127.0.0.1:{postgres.port}"
    with pytest.raises(Fatal, match=f"^Postgres at {address} refuses the connection: .*{said}") as refused:
        await open_pool(load_settings(**postgres.settings(authority, **changed)))
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


async def test_an_expired_certificate_is_said(postgres: TlsPostgres, authority: Authority) -> None:
    """It is the server's to renew."""
    postgres.stop()
    postgres.start(authority.issue("old-postgres", expired=True))
    try:
        with pytest.raises(Fatal, match=r"not accepted \(certificate has expired\): renew it on the server"):
            await open_pool(load_settings(**postgres.settings(authority)))
    finally:
        postgres.stop()
        postgres.start(authority.issue("new-postgres"))


async def test_a_server_without_tls_is_said(postgres_settings: dict[str, Any]) -> None:
    """Who asks for TLS does not go on without."""
    with pytest.raises(Fatal, match="it has TLS turned off; check POSTGRES_SSLMODE"):
        await open_pool(load_settings(**postgres_settings, postgres_sslmode="require"))
