"""Redis with TLS and users: every part gets in, and who is not let in reads one line that says what to check."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from streams.errors import BadSetting, Fatal
from streams.publish.published_ids import published_ids
from streams.redis_link import connect
from streams.redis_start import check_redis
from streams.secured import redis_files
from streams.settings import Settings, load_settings
from tables.live import live_link
from tests.secured.certificates import Authority, Issued
from tests.secured.front import server_context, tls_front
from tests.waiting import until

USER, PASSWORD = "liqmon", "s3cr3t-of-redis"


@pytest.fixture
async def port(redis_url: str, authority: Authority) -> AsyncIterator[int]:
    """Give the port of a Redis with TLS that knows a user."""
    server = redis.Redis.from_url(redis_url)
    server.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all"])
    async with tls_front(urlsplit(redis_url).port or 0, server_context(authority.issue("redis"))) as port:
        yield port


def asked(port: int, authority: Authority, **more: Any) -> Settings:
    """Return the settings of a client."""
    url = f"rediss://{USER}:{PASSWORD}@127.0.0.1:{port}/0"
    return load_settings(**{"redis_url": url, "redis_ssl_cafile": authority.certificate, **more})


async def test_every_part_gets_in(port: int, authority: Authority) -> None:
    """Published ids, live windows, the table store's client, and the check at the start."""
    settings = asked(port, authority)
    await check_redis(settings, has_tables=True)
    ids, live = published_ids(settings), live_link(settings)
    assert ids is not None
    assert live is not None
    await ids._link.open()
    await live.open()
    try:
        await until(lambda: live.available and ids._link.available)
    finally:
        await live.close()
        await ids._link.close()
    assert settings.redis_url is not None
    client = connect(settings.redis_url.get_secret_value(), redis_files(settings))
    assert await client.acl_whoami() == USER
    await client.aclose()


@pytest.mark.parametrize(
    ("password", "ca", "said"),
    [
        ("wrong", "OURS", r"it refuses the login \(.*\): check user and password in (REDIS_URL|TABLE_STORE)"),
        (PASSWORD, "STRANGER", r"its certificate is not accepted \(.*\): check REDIS_SSL_CAFILE"),
        (PASSWORD, None, r"its certificate is not accepted \(.*\): check REDIS_SSL_CAFILE"),
    ],
)
@pytest.mark.parametrize("setting", ["redis_url", "table_store"])
async def test_who_is_refused_reads_one_line(
    port: int, authority: Authority, stranger: Authority, setting: str, password: str, ca: str | None, said: str
) -> None:
    """It names the setting and no secret."""
    files = {"OURS": authority.certificate, "STRANGER": stranger.certificate}
    url = f"rediss://{USER}:{password}@127.0.0.1:{port}/0"
    settings = load_settings(**{setting: url, "redis_ssl_cafile": files[ca] if ca else None})
    with pytest.raises(Fatal, match=f"^Redis at 127.0.0.1:{port} cannot be used: {said}") as refused:
        await check_redis(settings, has_tables=True)
    assert "\n" not in str(refused.value)
    assert password not in str(refused.value)


async def test_an_expired_certificate_is_said(redis_url: str, authority: Authority) -> None:
    """It is the server's to renew."""
    context = server_context(authority.issue("old-redis", expired=True))
    async with tls_front(urlsplit(redis_url).port or 0, context) as port:
        with pytest.raises(Fatal, match=r"not accepted \(certificate has expired\): renew it on the server"):
            await check_redis(asked(port, authority), has_tables=True)


async def test_a_client_shows_its_certificate(redis_url: str, authority: Authority, client: Issued) -> None:
    """Where the server asks for one."""
    context = server_context(authority.issue("strict-redis"), clients=authority)
    async with tls_front(urlsplit(redis_url).port or 0, context) as port:
        url = f"rediss://127.0.0.1:{port}/0"
        await check_redis(
            asked(port, authority, redis_url=url, redis_ssl_certfile=client.certificate, redis_ssl_keyfile=client.key),
            has_tables=True,
        )


async def test_one_that_is_away_is_waited_for_elsewhere(authority: Authority) -> None:
    """The start goes on, as it does without TLS."""
    await check_redis(asked(1, authority), has_tables=True)


async def test_certificates_that_cannot_be_read_are_a_wrong_setting(port: int, authority: Authority) -> None:
    """Before anybody is asked."""
    with pytest.raises(BadSetting, match=r"^REDIS_SSL_CAFILE: /nowhere/ca.pem cannot be read: no such file"):
        await check_redis(asked(port, authority, redis_ssl_cafile="/nowhere/ca.pem"), has_tables=True)
