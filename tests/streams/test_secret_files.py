"""Secrets from files, as containers mount them."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.errors import BadSetting
from streams.secret_files import MAX_BYTES, file_names, without_files
from streams.settings import Settings, VenueSettings, load_settings, read_settings

SECRET = "redis://:s3cr3t-in-a-file@localhost:6379/0"
WEBHOOK = "https://discord.com/api/webhooks/1/s3cr3t-in-a-file"


class AcmeSettings(VenueSettings):
    """A venue's own settings."""

    acme_key: SecretStr = SecretStr("")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file with a secret, as an editor leaves it."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.mark.parametrize("name", sorted(file_names(Settings)))
def test_every_secret_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, file: Path, name: str) -> None:
    """Those of a login need the rest of it."""
    setting = name.removesuffix("_file")
    if setting == "kafka_sasl_password":
        for other, needed in (("SECURITY_PROTOCOL", "SASL_SSL"), ("SASL_MECHANISM", "PLAIN"), ("SASL_USERNAME", "x")):
            monkeypatch.setenv(f"KAFKA_{other}", needed)
    secret = WEBHOOK if setting.startswith("discord_webhook") else SECRET
    file.write_text(f"{secret}\n")
    monkeypatch.setenv(name.upper(), str(file))
    settings = load_settings()
    value = getattr(settings, setting)
    value = value[0] if isinstance(value, tuple) else value
    assert (value.get_secret_value() if isinstance(value, SecretStr) else value) == secret
    assert setting in settings.model_fields_set


def test_secrets_are_those_whose_values_are_never_shown() -> None:
    """The address of a store may hold a password too."""
    assert file_names(Settings) >= {
        f"{name}_file"
        for name in (
            *("postgres_password", "redis_url", "table_store", "kafka_sasl_password"),
            *("web_token", "discord_webhook_url", "discord_webhook_url_2"),
        )
    }
    assert "kafka_ssl_ca_file" not in file_names(Settings)


def test_a_venues_own_secret_too(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Venues from outside read their settings as the program does."""
    monkeypatch.setenv("ACME_KEY_FILE", str(file))
    assert read_settings(AcmeSettings).acme_key.get_secret_value() == SECRET


def test_files_that_dotenv_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path) -> None:
    """The environment has precedence, whichever of the two names the file."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"REDIS_URL_FILE={file}\nWEB_TOKEN=a-token-of-the-file\n")
    (tmp_path / "token").write_text("a-token-of-a-file-of-its-own")
    monkeypatch.setitem(Settings.model_config, "env_file", dotenv)
    monkeypatch.setenv("WEB_TOKEN_FILE", str(tmp_path / "token"))
    settings = load_settings()
    assert settings.web_token == SecretStr("a-token-of-a-file-of-its-own")
    assert settings.redis_url == SecretStr(SECRET)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/0")
    assert load_settings().redis_url == SecretStr("redis://elsewhere:1/0")


def test_an_empty_value_beside_a_file_says_nothing(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """As a compose file leaves it."""
    monkeypatch.setenv("POSTGRES_PASSWORD", "")
    monkeypatch.setenv("POSTGRES_PASSWORD_FILE", str(file))
    assert load_settings().postgres_password.get_secret_value() == SECRET


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Nobody could say which one is meant."""
    monkeypatch.setenv("POSTGRES_PASSWORD", "s3cr3t")
    monkeypatch.setenv("POSTGRES_PASSWORD_FILE", str(file))
    with pytest.raises(BadSetting, match=r"^POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set: take "):
        load_settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"\n", "must hold the secret as text, and nothing else"),
        (b"\xff\xfe\xfd", "must hold the secret as text, and nothing else"),
        (b"x" * (MAX_BYTES + 1), "must hold the secret as text, and nothing else"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """By its setting, in one line."""
    file = tmp_path / "broken"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("WEB_TOKEN_FILE", str(file))
    with pytest.raises(BadSetting) as refused:
        load_settings()
    assert str(refused.value) == f"WEB_TOKEN_FILE: {file} {said}"


def test_servers_that_a_run_starts_itself_have_their_own_secrets() -> None:
    """What is given to their clients is not given twice."""
    environment = {"POSTGRES_PASSWORD_FILE": "mine", "WEB_TOKEN_FILE": "token"}
    assert without_files(environment, {"POSTGRES_PASSWORD": "made"}) == {
        "WEB_TOKEN_FILE": "token",
        "POSTGRES_PASSWORD": "made",
    }
