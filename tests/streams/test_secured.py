"""What is said of secured servers fits together, or the start ends: nobody believes in TLS that is not there."""

from typing import Any

import pytest

from streams.errors import BadSetting
from streams.settings import load_settings

LOGIN = {"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_username": "me", "kafka_sasl_password": "s3cr3t"}


@pytest.mark.parametrize(
    "settings",
    [
        {"kafka_security_protocol": "SSL"},
        {"kafka_security_protocol": "SSL", "kafka_ssl_certfile": "both.pem"},
        {"kafka_security_protocol": "SASL_SSL", **LOGIN, "kafka_ssl_cafile": "ca.pem"},
        {"kafka_security_protocol": "SASL_PLAINTEXT", **LOGIN},
        {"postgres_sslmode": "require", "postgres_ssl_certfile": "c.pem", "postgres_ssl_keyfile": "k.pem"},
        {"postgres_sslmode": "verify-full", "postgres_ssl_cafile": "ca.pem"},
        {"redis_url": "rediss://me:s3cr3t@host:1/0", "redis_ssl_cafile": "ca.pem"},
        {"table_store": "rediss://me:s3cr3t@host:1/0", "redis_ssl_cafile": "ca.pem"},
    ],
)
def test_what_fits_together_is_taken(settings: dict[str, Any]) -> None:
    """Whether the files are there is found when they are used."""
    load_settings(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"kafka_security_protocol": "SASL_SSL"},
            "=SASL_SSL needs KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_",
        ),
        (
            {"kafka_security_protocol": "SASL_SSL", **LOGIN, "kafka_sasl_password": ""},
            "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_PASSWORD",
        ),
        (LOGIN, "KAFKA_SASL_PASSWORD would not be used: KAFKA_SECURITY_PROTOCOL=PLAINTEXT has no login"),
        (
            {"kafka_ssl_cafile": "ca.pem"},
            "KAFKA_SSL_CAFILE would not be used: KAFKA_SECURITY_PROTOCOL=PLAINTEXT has no T",
        ),
        (
            {"kafka_security_protocol": "SSL", "kafka_ssl_keyfile": "key.pem"},
            "KAFKA_SSL_KEYFILE needs KAFKA_SSL_CERTFILE",
        ),
        (
            {"postgres_ssl_cafile": "ca.pem"},
            "POSTGRES_SSL_CAFILE would not be used: POSTGRES_SSLMODE=prefer checks no ce",
        ),
        (
            {"postgres_sslmode": "require", "postgres_ssl_cafile": "ca.pem"},
            "POSTGRES_SSL_CAFILE would not be used: POSTGRES_SSLMODE=require checks no certificate, verify-full does",
        ),
        (
            {"postgres_ssl_certfile": "c.pem"},
            "POSTGRES_SSL_CERTFILE needs POSTGRES_SSLMODE to be require, verify-ca or ve",
        ),
        (
            {"redis_url": "redis://host:1/0", "redis_ssl_cafile": "ca.pem"},
            "REDIS_SSL_CAFILE would not be used: neither REDIS_URL nor TABLE_STORE begins with rediss://",
        ),
    ],
)
def test_what_would_have_no_effect_stops_the_start(settings: dict[str, Any], said: str) -> None:
    """In a line that names the setting, what it contradicts, and no secret."""
    with pytest.raises(BadSetting) as refused:
        load_settings(**settings)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
