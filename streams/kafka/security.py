"""How every client of Kafka reaches the brokers: their addresses, TLS and the login, made in one place."""

import ssl
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from streams import tls
from streams.secured import KafkaProtocol, Mechanism, kafka_files
from streams.settings import Settings


@dataclass(frozen=True)
class Security:
    """What a client shows and asks of a broker. ``context`` is there where the protocol has TLS."""

    protocol: KafkaProtocol
    mechanism: Mechanism | None
    username: str
    password: SecretStr | None
    context: ssl.SSLContext | None

    @property
    def has_login(self) -> bool:
        """Whether the client says who it is by a name and a password."""
        return self.protocol.startswith("SASL_")


def servers(settings: Settings) -> list[str]:
    """Return the brokers, host:port each."""
    return [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]


def security(settings: Settings) -> Security:
    """Return what the settings say. Raises :class:`streams.errors.BadSetting` where a file cannot be used."""
    has_tls = settings.kafka_security_protocol.endswith("SSL")
    return Security(
        settings.kafka_security_protocol,
        settings.kafka_sasl_mechanism,
        settings.kafka_sasl_username,
        settings.kafka_sasl_password,
        tls.context(kafka_files(settings)) if has_tls else None,
    )


def login_options(settings: Settings) -> dict[str, Any]:
    """Return aiokafka's options for TLS and the login. Raises as :func:`security`."""
    found = security(settings)
    options: dict[str, Any] = {"security_protocol": found.protocol}
    if found.context is not None:
        options["ssl_context"] = found.context
    if found.has_login:
        options["sasl_mechanism"] = found.mechanism
        options["sasl_plain_username"] = found.username
        options["sasl_plain_password"] = found.password.get_secret_value() if found.password else ""
    return options


def connection(settings: Settings) -> dict[str, Any]:
    """Return the options by which each of aiokafka's clients connects. Raises as :func:`security`."""
    return {"bootstrap_servers": servers(settings), **login_options(settings)}
