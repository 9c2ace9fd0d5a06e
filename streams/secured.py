"""What settings may say of secured servers, and where they contradict each other. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from pydantic import SecretStr

KafkaProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
"""As libpq has them. Only the last two look at the server's certificate."""

CHECKING: Final = ("verify-ca", "verify-full")
ENCRYPTING: Final = ("require", *CHECKING)
REDIS_TLS: Final = "rediss://"


class Files(NamedTuple):
    """The PEM files by which one server is known and this client is known to it.

    ``prefix`` is how the names of their settings begin, such as ``KAFKA_SSL``.
    """

    prefix: str
    ca: Path | None
    certificate: Path | None
    key: Path | None

    def named(self) -> list[str]:
        """Return the names of the settings that are set."""
        found = {"CAFILE": self.ca, "CERTFILE": self.certificate, "KEYFILE": self.key}
        return [f"{self.prefix}_{name}" for name, path in found.items() if path is not None]


class Servers(Protocol):
    """The settings that this module looks at."""

    kafka_security_protocol: KafkaProtocol
    kafka_sasl_mechanism: Mechanism | None
    kafka_sasl_username: str
    kafka_sasl_password: SecretStr | None
    kafka_ssl_cafile: Path | None
    kafka_ssl_certfile: Path | None
    kafka_ssl_keyfile: Path | None
    postgres_sslmode: SslMode | None
    postgres_ssl_cafile: Path | None
    postgres_ssl_certfile: Path | None
    postgres_ssl_keyfile: Path | None
    redis_url: SecretStr | None
    redis_ssl_cafile: Path | None
    redis_ssl_certfile: Path | None
    redis_ssl_keyfile: Path | None
    table_store: str
    web_tls_certfile: Path | None
    web_tls_keyfile: Path | None
    web_tls_cafile: Path | None


def kafka_files(settings: Servers) -> Files:
    """Return the files for Kafka."""
    return Files("KAFKA_SSL", settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)


def postgres_files(settings: Servers) -> Files:
    """Return the files for Postgres."""
    return Files(
        "POSTGRES_SSL", settings.postgres_ssl_cafile, settings.postgres_ssl_certfile, settings.postgres_ssl_keyfile
    )


def redis_files(settings: Servers) -> Files:
    """Return the files for every Redis: that of REDIS_URL and that of TABLE_STORE."""
    return Files("REDIS_SSL", settings.redis_ssl_cafile, settings.redis_ssl_certfile, settings.redis_ssl_keyfile)


def web_files(settings: Servers) -> Files:
    """Return the files of the web servers of workers and producers, and the CA of those that are asked."""
    return Files("WEB_TLS", settings.web_tls_cafile, settings.web_tls_certfile, settings.web_tls_keyfile)


def contradictions(settings: Servers) -> list[str]:
    """Return what is set and would have no effect, and what is missing: whoever sets it believes it is used."""
    found = [*_kafka(settings), *_postgres(settings), *_redis(settings)]
    every = (kafka_files(settings), postgres_files(settings), redis_files(settings), web_files(settings))
    keys = [files for files in every if files.key]
    return found + [f"{each.prefix}_KEYFILE needs {each.prefix}_CERTFILE" for each in keys if not each.certificate]


def _kafka(settings: Servers) -> Iterator[str]:
    protocol = settings.kafka_security_protocol
    password = settings.kafka_sasl_password
    login = {
        "KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "KAFKA_SASL_USERNAME": settings.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": password.get_secret_value() if password is not None else "",
    }
    if protocol.startswith("SASL_"):
        if missing := [name for name, value in login.items() if not value]:
            yield f"KAFKA_SECURITY_PROTOCOL={protocol} needs {_listed(missing)}"
    elif given := [name for name, value in login.items() if value]:
        yield f"{_listed(given)} would not be used: KAFKA_SECURITY_PROTOCOL={protocol} has no login, SASL_SSL has"
    if not protocol.endswith("SSL") and (given := kafka_files(settings).named()):
        yield f"{_listed(given)} would not be used: KAFKA_SECURITY_PROTOCOL={protocol} has no TLS, SASL_SSL and SSL do"


def _postgres(settings: Servers) -> Iterator[str]:
    mode, files = settings.postgres_sslmode or "prefer", postgres_files(settings)
    if files.ca is not None and mode not in CHECKING:
        yield f"POSTGRES_SSL_CAFILE would not be used: POSTGRES_SSLMODE={mode} checks no certificate, verify-full does"
    if files.certificate is not None and mode not in ENCRYPTING:
        yield f"POSTGRES_SSL_CERTFILE needs POSTGRES_SSLMODE to be {_listed(ENCRYPTING, 'or')}, not {mode}"


def _redis(settings: Servers) -> Iterator[str]:
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    given = redis_files(settings).named()
    if given and not any(address.startswith(REDIS_TLS) for address in (url, settings.table_store)):
        yield f"{_listed(given)} would not be used: neither REDIS_URL nor TABLE_STORE begins with {REDIS_TLS}"


def _listed(names: list[str] | tuple[str, ...], word: str = "and") -> str:
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
