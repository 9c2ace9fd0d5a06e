"""Two CAs of the session, one of them unknown to the servers, and servers that show certificates."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import RealKafka
from tests.secured.certificates import OPENSSL, Authority, Issued
from tests.secured.kafka import secured_kafka
from tests.secured.postgres import TlsPostgres


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of all certificates; without openssl these tests say so and skip."""
    if OPENSSL is None:
        pytest.skip("not covered: servers with TLS (apt-get install openssl)")
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="session")
def authority(certificates: Path) -> Authority:
    """Give the CA of all servers and clients."""
    return Authority(certificates / "ours", "ours")


@pytest.fixture(scope="session")
def stranger(certificates: Path) -> Authority:
    """Give a CA that has signed nothing here."""
    return Authority(certificates / "other", "other")


@pytest.fixture(scope="session")
def client(authority: Authority) -> Issued:
    """Give a client's certificate."""
    return authority.issue("client")


@pytest.fixture(scope="session")
def kafka(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """Give the session's secured Kafka."""
    if reason := RealKafka.available():
        pytest.skip(f"not covered: a Kafka with TLS and logins ({reason}); the embedded broker knows neither")
    with secured_kafka(tmp_path_factory.mktemp("kafka"), authority) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def postgres(authority: Authority) -> Iterator[TlsPostgres]:
    """Give the session's Postgres with TLS."""
    with TlsPostgres(authority, authority.issue("postgres")) as server:
        yield server
