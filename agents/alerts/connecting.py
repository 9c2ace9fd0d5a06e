"""One connection to Postgres: with TLS as the settings say, and through a pooler where one stands between."""

import io
import ssl
from typing import Any, Final

import asyncpg

from streams import tls
from streams.secured import CHECKING, ENCRYPTING, postgres_files
from streams.settings import Settings

# A wrong user, password or database, and a client certificate that is missing: waiting does not mend it.
REFUSALS: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
# What pgbouncer says of the same. It has one code for these and for what passes, such as a server that starts.
POOLERS_REFUSALS: Final = ("authentication failed", "no such user", "no such database")
# And of a mode in which no statement can be part of a transaction.
STATEMENT_POOLING: Final = "not allowed in statement pooling"
# asyncpg has no error of its own for a server that has TLS turned off.
NO_TLS: Final = "rejected SSL upgrade"


def tls_of(settings: Settings) -> ssl.SSLContext | str | None:
    """Return asyncpg's option ``ssl``. Raises :class:`streams.errors.BadSetting` where a file cannot be used."""
    mode = settings.postgres_sslmode
    if mode not in ENCRYPTING:
        return mode
    checks: tls.Checks = "nothing" if mode not in CHECKING else "name" if mode == "verify-full" else "chain"
    return tls.context(postgres_files(settings), checks)


async def connect(*arguments: Any, **options: Any) -> asyncpg.Connection:
    """Open a connection, as a pool does. One through a pooler prepares no statement that is used twice.

    A pooler in transaction mode, such as pgbouncer, gives every transaction another server. Those do not know what this
    client prepared before, or know another statement of that name.
    """
    connection = await asyncpg.connect(*arguments, **options)
    try:
        if not await _is_pooled(connection, options.get("timeout")):
            return connection
    except BaseException:
        connection.terminate()
        raise
    await connection.close(timeout=options.get("timeout"))
    return await asyncpg.connect(*arguments, **options, statement_cache_size=0)


async def _is_pooled(connection: asyncpg.Connection, timeout_seconds: float | None) -> bool:
    """Whether another process answers than the one that the connection was opened to."""
    answer = io.BytesIO()
    # The one statement with an answer that asyncpg does not prepare first.
    await connection.copy_from_query("SELECT pg_backend_pid()", output=answer, timeout=timeout_seconds)
    opened_to: int = connection.get_server_pid()
    return int(answer.getvalue()) != opened_to


def refusal(error: BaseException, settings: Settings) -> str | None:
    """Return why Postgres does not let this program in, and what to check; None where waiting may help."""
    text = str(error)
    if STATEMENT_POOLING in text:
        return f"{text}; set the pooler's pool_mode to transaction or session"
    is_poolers = isinstance(error, asyncpg.ProtocolViolationError) and any(words in text for words in POOLERS_REFUSALS)
    if is_poolers or isinstance(error, REFUSALS):
        if "certificate" in text:
            return f"{text}; check POSTGRES_SSL_CERTFILE"
        if "encryption" in text:
            return f"{text}; check POSTGRES_SSLMODE, POSTGRES_USER and POSTGRES_DB"
        return f"{text}; check POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB"
    if settings.postgres_sslmode in ENCRYPTING and NO_TLS in text:
        return "it has TLS turned off; check POSTGRES_SSLMODE"
    return tls.certificate_fault(error, "POSTGRES_SSL")
