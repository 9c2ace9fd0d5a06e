"""Why a broker that is there does not let this client in: its clients only say that they found none."""

import asyncio
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams import tls
from streams.errors import Fatal, Outage
from streams.kafka.security import login_options, servers
from streams.settings import Settings

# A handshake takes milliseconds. Who takes longer is away, and says nothing about this client.
ANSWER_SECONDS: Final = 5.0


async def refusal(settings: Settings) -> Fatal | None:
    """Return what an operator must mend where a broker refuses this client; None where none does.

    One that is away does not refuse. Raises :class:`streams.errors.BadSetting` where a certificate cannot be read.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    options = login_options(settings)
    for server in servers(settings):
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await create_conn(host, int(port), request_timeout_ms=int(ANSWER_SECONDS * 1000), **options)
                try:
                    # Only what follows the handshake meets a refusal of this client's certificate.
                    await client.send(MetadataRequest([]))
                finally:
                    client.close()
        except Exception as error:  # noqa: BLE001 - whatever else it is, the caller tries again and says so
            if reason := _reason(error, settings):
                return Fatal(f"Kafka at {server} cannot be used: {reason}")
    return None


def unanswered(error: BaseException, settings: Settings) -> Outage:
    """Return what an operator should read where no broker answers a command."""
    # Where nobody listens the client names its own attempts, and not what is to be done.
    words = str(error) or type(error).__name__
    why = "" if isinstance(error, KafkaConnectionError) and "bootstrap" in words else f" ({words})"
    where = settings.kafka_bootstrap_servers
    return Outage(f"Kafka at {where} does not answer{why}: start it, or set KAFKA_BOOTSTRAP_SERVERS")


def _said(error: KafkaError) -> str:
    """Return the broker's own words, without the client's name and number for the error."""
    return str(error.args[0]) if error.args else type(error).__name__


def _reason(error: Exception, settings: Settings) -> str | None:
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it has no login by {mechanism}: check KAFKA_SASL_MECHANISM"
    if isinstance(error, IllegalSaslStateError):
        return f"it has no login there: check KAFKA_SECURITY_PROTOCOL ({protocol}) and the port"
    if isinstance(error, AuthenticationFailedError | SaslAuthenticationFailed):
        return f"it refuses the login ({_said(error)}): check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
    found = tls.certificate_fault(error, "KAFKA_SSL")
    if found == tls.NO_TLS:
        return f"{found}: check KAFKA_SECURITY_PROTOCOL ({protocol}) and the port"
    return found
