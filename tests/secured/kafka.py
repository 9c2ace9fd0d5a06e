"""One Kafka behind several doors: with a login and TLS, with client certificates, and with an expired certificate."""

from pathlib import Path
from typing import Any, Final

from tests.kafka.server import RealKafka
from tests.secured.certificates import Authority, Issued

USER: Final = "liqmon"
PASSWORD: Final = "s3cr3t-of-kafka"
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SCRAM: Final = MECHANISMS[1:]

# Each door's name and protocol. Those without a name of their own are for Kafka itself.
DOORS: Final = {"LOGIN": "SASL_SSL", "CLEAR": "SASL_PLAINTEXT", "MUTUAL": "SSL", "EXPIRED": "SSL"}
_LOGINS: Final = "org.apache.kafka.common.security"


def secured_kafka(directory: Path, authority: Authority) -> RealKafka:
    """Return a node that is not started yet; :meth:`RealKafka.door` tells its addresses."""
    good, expired = authority.issue("kafka"), authority.issue("old-kafka", expired=True)
    overrides: dict[str, str] = {}
    for door, protocol in DOORS.items():
        prefix = f"listener.name.{door.lower()}"
        if protocol.endswith("SSL"):
            overrides |= _keystore(prefix, expired if door == "EXPIRED" else good)
        if protocol.startswith("SASL_"):
            overrides[f"{prefix}.sasl.enabled.mechanisms"] = ",".join(MECHANISMS if door == "LOGIN" else SCRAM)
            overrides[f"{prefix}.plain.sasl.jaas.config"] = (
                f'{_LOGINS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            )
            for mechanism in SCRAM:
                overrides[f"{prefix}.{mechanism.lower()}.sasl.jaas.config"] = (
                    f"{_LOGINS}.scram.ScramLoginModule required;"
                )
    overrides |= {
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.truststore.type": "PEM",
        "listener.name.mutual.ssl.truststore.location": str(authority.certificate),
    }
    users = [f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]" for mechanism in SCRAM]
    return RealKafka(directory, overrides=overrides, doors=DOORS, format_options=users)


def _keystore(prefix: str, issued: Issued) -> dict[str, str]:
    return {f"{prefix}.ssl.keystore.type": "PEM", f"{prefix}.ssl.keystore.location": str(issued.both)}


def login(kafka: RealKafka, authority: Authority, mechanism: str, *, door: str = "LOGIN") -> dict[str, Any]:
    """Return the settings of a client that logs in."""
    return {
        "kafka_bootstrap_servers": kafka.door(door),
        "kafka_security_protocol": DOORS[door],
        "kafka_sasl_mechanism": mechanism,
        "kafka_sasl_username": USER,
        "kafka_sasl_password": PASSWORD,
        "kafka_ssl_cafile": authority.certificate if DOORS[door].endswith("SSL") else None,
        "topic_partitions": 2,
    }


def mutual(kafka: RealKafka, authority: Authority, client: Issued, *, door: str = "MUTUAL") -> dict[str, Any]:
    """Return the settings of a client with a certificate of its own."""
    return {
        "kafka_bootstrap_servers": kafka.door(door),
        "kafka_security_protocol": "SSL",
        "kafka_ssl_cafile": authority.certificate,
        "kafka_ssl_certfile": client.certificate,
        "kafka_ssl_keyfile": client.key,
        "topic_partitions": 2,
    }
