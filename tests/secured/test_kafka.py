"""Kafka with TLS and logins: every client gets in, and who is not let in reads one line that says what to check."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.errors import BadSetting, Fatal
from streams.kafka import admin
from streams.kafka.clients import connect, discard
from streams.kafka.refusal import refusal
from streams.local.following import GroupProgress
from streams.publish.publisher import Publisher
from streams.settings import load_settings
from streams.topics import TRADES
from streams.worker.options import faust_options
from tests.kafka import RealKafka
from tests.secured.certificates import Authority, Issued
from tests.secured.kafka import MECHANISMS, PASSWORD, login, mutual
from tests.waiting import until


@pytest.mark.parametrize("mechanism", [*MECHANISMS, "certificate", "clear"])
async def test_clients_get_in(
    kafka: RealKafka, authority: Authority, client: Issued, mechanism: str, tmp_path: Path
) -> None:
    """By each mechanism, by a certificate, and by a login without TLS: topics, a producer, and what a run follows."""
    given = (
        mutual(kafka, authority, client)
        if mechanism == "certificate"
        else login(kafka, authority, "SCRAM-SHA-512", door="CLEAR")
        if mechanism == "clear"
        else login(kafka, authority, mechanism)
    )
    settings = load_settings(**given, data_dir=tmp_path, web_port=0)
    await admin.until_served(settings, lambda: admin.ensure_topics(settings))
    producer = await connect(settings)
    try:
        await producer.send_and_wait(TRADES, b"x", partition=0)
    finally:
        await discard(producer)
    async with GroupProgress(settings) as progress:
        assert sum((await progress.ends(TRADES)).values()) > 0
    assert await refusal(settings) is None
    # Faust's own clients take the same; the run of everything below uses them.
    assert faust_options(settings)["broker_credentials"] is not None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kafka_sasl_password": "wrong"}, r"it refuses the login \(.*SCRAM-SHA-512.*\): check KAFKA_SASL_USERNAME and"),
    ({"kafka_sasl_username": "nobody"}, "it refuses the login .*: check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    ({"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_password": "wrong"}, "it refuses the login .* KAFKA_SASL_PASSWORD"),
    ({"kafka_ssl_cafile": "STRANGER"}, r"its certificate is not accepted \(.*\): check KAFKA_SSL_CAFILE"),
    ({"kafka_ssl_cafile": None}, r"its certificate is not accepted \(.*\): check KAFKA_SSL_CAFILE"),
    ({"door": "EXPIRED"}, r"its certificate is not accepted \(certificate has expired\): renew it on the server"),
    ({"door": "NO LOGIN"}, "it has no login there: check KAFKA_SECURITY_PROTOCOL .* and the port"),
    ({"door": "SCRAM ONLY"}, "it has no login by PLAIN: check KAFKA_SASL_MECHANISM"),
    ({"door": "MUTUAL"}, r"it does not accept this client's certificate \(.*\): check KAFKA_SSL_CERTFILE"),
]


@pytest.mark.parametrize(("wrong", "said"), REFUSED, ids=[str(wrong) for wrong, _ in REFUSED])
async def test_who_is_refused_reads_one_line(
    kafka: RealKafka, authority: Authority, stranger: Authority, wrong: dict[str, Any], said: str
) -> None:
    """At the start it is final, for worker and producer alike, and it names the setting and no secret."""
    door = wrong.get("door")
    clear = {"kafka_ssl_cafile": None, "kafka_security_protocol": "SASL_PLAINTEXT"}
    none = {"kafka_sasl_mechanism": None, "kafka_sasl_username": "", "kafka_sasl_password": None}
    doors: dict[str | None, dict[str, Any]] = {
        None: wrong,
        "EXPIRED": {**none, "kafka_security_protocol": "SSL", "kafka_bootstrap_servers": kafka.door("EXPIRED")},
        "NO LOGIN": {**clear, "kafka_bootstrap_servers": kafka.address},
        "SCRAM ONLY": {**clear, "kafka_bootstrap_servers": kafka.door("CLEAR"), "kafka_sasl_mechanism": "PLAIN"},
        "MUTUAL": {**none, "kafka_security_protocol": "SSL", "kafka_bootstrap_servers": kafka.door("MUTUAL")},
    }
    changed = {name: stranger.certificate if value == "STRANGER" else value for name, value in doors[door].items()}
    settings = load_settings(**login(kafka, authority, "SCRAM-SHA-512") | changed)
    with pytest.raises(Fatal, match=rf"^Kafka at {settings.kafka_bootstrap_servers} cannot be used: {said}") as refused:
        async with asyncio.timeout(20):
            await admin.wait_for_broker(settings)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)

    publisher = Publisher(settings)
    publisher.start()
    try:
        with pytest.raises(Fatal, match=said):
            async with asyncio.timeout(20):
                await publisher.failure
    finally:
        await publisher.close()


async def test_a_refusal_during_the_run_is_an_outage(kafka: RealKafka, authority: Authority) -> None:
    """A login that worked and does no more is asked for again: somebody is about to mend it."""
    settings = load_settings(**login(kafka, authority, "SCRAM-SHA-256"))
    publisher = Publisher(settings)
    publisher.start()
    try:
        link = await publisher._connected(None)
        publisher._settings = settings.model_copy(update={"kafka_ssl_cafile": None})
        again = asyncio.create_task(publisher._connected(link))
        await until(lambda: not publisher.available)
        assert not publisher.failure.done()
        publisher._settings = settings
        async with asyncio.timeout(20):
            await again
    finally:
        await publisher.close()


async def test_certificates_that_cannot_be_read_are_a_wrong_setting(kafka: RealKafka, authority: Authority) -> None:
    """Before anybody is asked."""
    settings = load_settings(**login(kafka, authority, "PLAIN") | {"kafka_ssl_cafile": "/nowhere/ca.pem"})
    with pytest.raises(BadSetting, match=r"^KAFKA_SSL_CAFILE: /nowhere/ca.pem cannot be read: no such file"):
        await admin.wait_for_broker(settings)
