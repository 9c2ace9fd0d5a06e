"""Whether the Redis servers of the settings let this program in, asked once at the start."""

import asyncio
from typing import Final

from redis.exceptions import AuthenticationError

from streams import tls
from streams.errors import Fatal
from streams.redis_link import CONNECT_SECONDS, REDIS, address_of, connect
from streams.secured import REDIS_TLS, redis_files
from streams.settings import Settings

SCHEMES: Final = ("redis://", REDIS_TLS)


async def check_redis(settings: Settings, *, has_tables: bool) -> None:
    """Raise :class:`Fatal` where a Redis is there and refuses this program; one that is away is waited for elsewhere.

    With ``has_tables`` that of TABLE_STORE is asked too. Raises :class:`streams.errors.BadSetting` where a certificate
    cannot be read.
    """
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    for name, address in (("REDIS_URL", url), ("TABLE_STORE", settings.table_store if has_tables else "")):
        if address.startswith(SCHEMES):
            await _check(settings, name, address)


async def _check(settings: Settings, name: str, address: str) -> None:
    files = redis_files(settings)
    if address.startswith(REDIS_TLS):
        tls.context(files)
    client = connect(address, files, timeout_seconds=CONNECT_SECONDS, connections=1)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.ping()
    except Exception as error:  # noqa: BLE001 - whatever else it is, those who use it say that it is away
        if reason := _reason(error, name):
            raise Fatal(f"Redis at {address_of(client)} cannot be used: {reason}") from None
        REDIS.notice(error)
    finally:
        try:
            await client.aclose()
        except Exception as error:  # noqa: BLE001 - as above
            REDIS.notice(error)


def _reason(error: Exception, name: str) -> str | None:
    if isinstance(error, AuthenticationError):
        return f"it refuses the login ({error}): check user and password in {name}"
    return tls.certificate_fault(error, "REDIS_SSL")
