"""Every process of the program on secured servers only, its secrets in files; and how each ends that is refused."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from streams import tls
from streams.secured import Files
from streams.settings import Settings
from tests.kafka import RealKafka
from tests.secured.certificates import Authority, Issued
from tests.secured.front import server_context, tls_front
from tests.secured.kafka import PASSWORD, USER
from tests.secured.postgres import PASSWORD as POSTGRES_PASSWORD
from tests.secured.postgres import TlsPostgres

RUN_SECONDS = 90
REDIS_PASSWORD = "s3cr3t-of-redis"


async def liqmon(directory: Path, environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command away from the developer's settings; return its exit code and what it wrote."""
    names = {name.upper() for name in Settings.model_fields}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", *arguments),
        env={
            **clean,
            "DATA_DIR": str(directory / "data"),
            "WEB_PORT": "0",
            "PRODUCER_METRICS_PORT": "0",
            **environment,
        },
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode()


def in_file(directory: Path, name: str, secret: str) -> dict[str, str]:
    """Put a secret into a file; return the setting that names it."""
    file = directory / name
    file.write_text(f"{secret}\n")
    return {f"{name}_FILE": str(file)}


def of_kafka(directory: Path, kafka: RealKafka, authority: Authority, *, password: str = PASSWORD) -> dict[str, str]:
    """Return the settings that reach Kafka by SCRAM and TLS."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.door("LOGIN"),
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SSL_CAFILE": str(authority.certificate),
        "TOPIC_PARTITIONS": "2",
        **in_file(directory, "KAFKA_SASL_PASSWORD", password),
    }


async def test_the_whole_chain_on_secured_servers(
    tmp_path: Path, kafka: RealKafka, postgres: TlsPostgres, redis_url: str, authority: Authority, client: Issued
) -> None:
    """Run, producer, worker and topic: Kafka by SCRAM, Redis as a user, Postgres by a certificate too, all by TLS."""
    server = redis.Redis.from_url(redis_url)
    server.acl_setuser("liqmon", enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys=["*"], commands=["+@all"])
    server.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all"])
    context = server_context(authority.issue("redis"), clients=authority)
    async with tls_front(urlsplit(redis_url).port or 0, context) as port:
        environment = {
            **of_kafka(tmp_path, kafka, authority),
            **in_file(tmp_path, "REDIS_URL", f"rediss://liqmon:{REDIS_PASSWORD}@localhost:{port}/0"),
            "REDIS_SSL_CAFILE": str(authority.certificate),
            "REDIS_SSL_CERTFILE": str(client.both),
            "POSTGRES_HOST": "localhost",
            "POSTGRES_PORT": str(postgres.port),
            "POSTGRES_USER": "liqmon",
            "POSTGRES_DB": "mutual",
            "POSTGRES_SSLMODE": "verify-full",
            "POSTGRES_SSL_CAFILE": str(authority.certificate),
            "POSTGRES_SSL_CERTFILE": str(client.certificate),
            "POSTGRES_SSL_KEYFILE": str(client.key),
            **in_file(tmp_path, "POSTGRES_PASSWORD", POSTGRES_PASSWORD),
            "LIQUIDATION_THRESHOLD_USD": "1000",
        }
        code, output = await liqmon(tmp_path, environment, "run", "--duration", "2", "--seed", "1")
        assert code == 0, output
        assert "ready: web view at" in output
        assert re.search(r"[1-9]\d* trades in ", output), output
        assert server.keys("liqmon:published:*"), "published ids reach Redis"
        assert server.keys("liqmon:window:*"), "live windows reach Redis"

        code, output = await liqmon(tmp_path, environment, "topic", "trades", "--limit", "50")
        assert code == 0, output
        assert '"venue":"sim_' in output
    logs = "".join(file.read_text() for file in (tmp_path / "data/logs").glob("*.log"))
    for secret in (PASSWORD, POSTGRES_PASSWORD, REDIS_PASSWORD):
        assert secret not in logs + output
    connection = await asyncpg.connect(
        host="localhost", port=postgres.port, user="liqmon", password=POSTGRES_PASSWORD, database="mutual",
        ssl=tls.context(Files("POSTGRES_SSL", authority.certificate, client.certificate, client.key)),
    )  # fmt: skip
    assert await connection.fetchval("SELECT count(*) FROM liquidation_alerts") > 0
    await connection.close()


@pytest.mark.parametrize(
    ("command", "code"), [(["run"], 1), (["produce"], 1), (["worker"], 70), (["topic", "trades"], 1)]
)
async def test_a_wrong_password_ends_every_command_with_one_line(
    tmp_path: Path, kafka: RealKafka, authority: Authority, command: list[str], code: int
) -> None:
    """It says what to check, and is never a traceback."""
    environment = of_kafka(tmp_path, kafka, authority, password="wrong")
    if command == ["run"]:
        environment |= {"REDIS_URL": "redis://127.0.0.1:1/0", "POSTGRES_HOST": "127.0.0.1"}
    if command == ["produce"]:
        (tmp_path / "trades.csv").write_text("1616663618,52000.1,0.5\n")
        command = ["produce", "--file", "trades.csv", "--symbol", "BTC/USD", "--speed", "1"]
    found, output = await liqmon(tmp_path, environment, *command)
    assert found == code, output
    said = [line for line in output.splitlines() if f"Kafka at {kafka.door('LOGIN')} cannot be used:" in line]
    assert len(said) == 1, output
    assert said[0].endswith("check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
    assert "Traceback" not in output
    assert not re.search(r"ERROR|WARNING", output), output
