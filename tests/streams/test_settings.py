"""Settings: checked at start, explained by the variable's name, and no secret in what is said."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from streams.errors import BadSetting
from streams.model.frames import MAX_FRAME_TRADES
from streams.model.kinds import MAX_NAME
from streams.settings import Settings, load_settings
from streams.settings_texts import types_of

SECRET = "s3cr3t-hook"
WEBHOOK = "https://discord.com/api/webhooks/1/"


def test_names_that_users_know_have_their_defaults() -> None:
    """Window, threshold and cooldown as the original project had them."""
    settings = load_settings()
    assert (settings.window_seconds, settings.liquidation_threshold_usd) == (300, 1_000_000)
    assert settings.alert_cooldown_sec == 300
    assert settings.severity_multiples == (1, 2, 5, 10)
    assert settings.webhook is None


def test_bounds_are_those_of_trades_and_frames() -> None:
    """Settings import nothing of the model, so they repeat its numbers."""
    assert load_settings(frame_max_trades=MAX_FRAME_TRADES).frame_max_trades == MAX_FRAME_TRADES
    with pytest.raises(BadSetting, match="FRAME_MAX_TRADES"):
        load_settings(frame_max_trades=MAX_FRAME_TRADES + 1)
    for name in ("spot_venue", "futures_venue"):
        load_settings(**{name: "x" * MAX_NAME})
        with pytest.raises(BadSetting, match=name.upper()):
            load_settings(**{name: "x" * (MAX_NAME + 1)})


def test_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``.env`` says what the environment does not."""
    file = tmp_path / ".env"
    file.write_text("WINDOW_SECONDS=60\nALERT_COOLDOWN_SEC=30\n# POSTGRES_DB=none\n\n")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    monkeypatch.setenv("WINDOW_SECONDS", "120")
    settings = load_settings()
    assert (settings.window_seconds, settings.alert_cooldown_sec, settings.postgres_db) == (120, 30, "liqmon")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SPOT_SYMBOLS", "BTC/USD, ETH/USDT ,", ("BTC/USD", "ETH/USDT")),
        ("SPOT_SYMBOLS", "", ()),
        ("FUTURES_SYMBOLS", "PF_XBTUSD", ("PF_XBTUSD",)),
        ("WINDOWS", "3600,60,60,300", (60, 300, 3600)),
        ("SEVERITY_MULTIPLES", "1,1.5,2,3", (1.0, 1.5, 2.0, 3.0)),
        ("PRODUCER_URLS", "http://a:1, http://b:2", ("http://a:1", "http://b:2")),
        ("REDIS_URL", "", None),
        ("DISCORD_WEBHOOK_URL", "", None),
        ("WEB_TOKEN", "", None),
        ("FEED", "", None),
        ("WINDOW_SECONDS", "10m", 600),
        ("WINDOW_SECONDS", "1.5h", 5400),
        ("ALERT_COOLDOWN_SEC", "5 min", 300),
        ("ALERT_COOLDOWN_SEC", "300s", 300),
        ("STATS_INTERVAL_SECONDS", "250ms", 0.25),
        ("STATS_RETENTION_DAYS", "30d", 30),
        ("FRAME_LINGER_MS", "1s", 1000),
        ("WINDOWS", "1m,5m,900,1h", (60, 300, 900, 3600)),
        ("LIQUIDATION_THRESHOLD_USD", "1_000_000", 1_000_000),
        ("LIQUIDATION_THRESHOLD_USD", "1,000,000", 1_000_000),
        ("LIQUIDATION_THRESHOLD_USD", "1,234.5", 1234.5),
        ("LIQUIDATION_THRESHOLD_USD", "1M", 1_000_000),
        ("LIQUIDATION_THRESHOLD_USD", "2.5M", 2_500_000),
        ("LIQUIDATION_RULE_THRESHOLD_USD", "250k", 250_000),
        ("PRODUCER_MAX_BUFFERED_TRADES", "500K", 500_000),
        ("SPOT_SYMBOLS", "AAPLx/USD,1INCH/USD", ("AAPLx/USD", "1INCH/USD")),
    ],
)
def test_forms_of_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: Any) -> None:
    """Lists are separated by commas, an empty secret is none."""
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WINDOW_SECONDS", "0"),
        ("WINDOW_SECONDS", "5M"),
        ("WINDOW_SECONDS", "1.5s"),
        ("WINDOW_SECONDS", "1,5"),
        ("LIQUIDATION_THRESHOLD_USD", "10m"),
        ("LIQUIDATION_THRESHOLD_USD", "1,00,000"),
        ("WINDOWS", "1,000"),
        ("WINDOW_SECONDS", "86401"),
        ("WINDOWS", ""),
        ("WINDOWS", "60,0"),
        ("WINDOWS", "60,abc"),
        ("WINDOWS", ",".join(map(str, range(1, 18)))),
        ("ALLOWED_LATENESS_SECONDS", "-1"),
        ("LIQUIDATION_THRESHOLD_USD", "0"),
        ("LIQUIDATION_THRESHOLD_USD", "-5"),
        ("LIQUIDATION_THRESHOLD_USD", "nan"),
        ("LIQUIDATION_THRESHOLD_USD", "inf"),
        ("LIQUIDATION_RULE_THRESHOLD_USD", "a lot"),
        ("ALERT_COOLDOWN_SEC", "0"),
        ("SEVERITY_MULTIPLES", "1,2,5"),
        ("SEVERITY_MULTIPLES", "1,2,2,10"),
        ("SEVERITY_MULTIPLES", "0.5,1,2,3"),
        ("SEVERITY_MULTIPLES", "10,5,2,1"),
        ("SEVERITY_MULTIPLES", "1,2,5,nan"),
        ("SEVERITY_MULTIPLES", "1,2,5,inf"),
        ("FEED", "binance"),
        ("SPOT_VENUE", "Kraken Spot"),
        ("SPOT_SYMBOLS", "BTCUSD"),
        ("SPOT_SYMBOLS", "BTC"),
        ("SPOT_SYMBOLS", "BTC/USD/T"),
        ("SPOT_SYMBOLS", "/USD"),
        ("FRAME_MAX_TRADES", "5001"),
        ("TOPIC_PARTITIONS", "0"),
        ("COMMIT_INTERVAL_SECONDS", "0"),
        ("STATS_INTERVAL_SECONDS", "inf"),
        ("TABLE_STORE", "leveldb://"),
        ("TABLE_STORE", "rocksdb"),
        ("TABLE_STORE", "redis://"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://localhost:many/0"),
        ("POSTGRES_PORT", "70000"),
        ("WEB_PORT", "-1"),
        ("WEB_TOKEN", "short"),
        ("CREATE_TOPICS", "perhaps"),
        ("LOG_LEVEL", "loud"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI"),
        ("POSTGRES_SSLMODE", "always"),
    ],
)
def test_a_wrong_value_stops_the_start_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """In one line that says what the value must be."""
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as refused:
        load_settings()
    text = str(refused.value)
    assert text.startswith(f"wrong setting: {name}: ")
    assert len(text) > len(f"wrong setting: {name}: ") + 10
    assert "\n" not in text


@pytest.mark.parametrize("symbol", ["BTC/EUR", "ETH/BTC", "BTC/GBP"])
def test_other_quotes_need_a_conversion_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, symbol: str) -> None:
    """No rate is ever taken for 1."""
    monkeypatch.setenv("SPOT_SYMBOLS", f"BTC/USD,{symbol}")
    with pytest.raises(BadSetting, match=f"SPOT_SYMBOLS holds {symbol}.*USD_QUOTES"):
        load_settings()


def test_quotes_that_count_as_usd_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """At par, and only those that are named."""
    monkeypatch.setenv("SPOT_SYMBOLS", "BTC/USDT")
    monkeypatch.setenv("USD_QUOTES", "USD")
    with pytest.raises(BadSetting, match="BTC/USDT"):
        load_settings()


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator mends them together."""
    monkeypatch.setenv("WINDOW_SECONDS", "0")
    monkeypatch.setenv("WEB_PORT", "http")
    with pytest.raises(BadSetting, match=r"WINDOW_SECONDS: .*; WEB_PORT: "):
        load_settings()


SECRETS = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def test_secrets_are_known() -> None:
    """What follows tries all of them."""
    assert set(SECRETS) >= {
        "postgres_password",
        "discord_webhook_url",
        "discord_webhook_url_2",
        "web_token",
        "redis_url",
        "kafka_sasl_password",
    }


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Neither in the settings when they are printed nor in what is said of other values."""
    value = f"redis://:{SECRET}@localhost/0" if name == "redis_url" else SECRET * 3
    if "webhook" in name:
        value = f"{WEBHOOK}{SECRET}"
    if name == "kafka_sasl_password":
        for other, needed in (("SECURITY_PROTOCOL", "SASL_SSL"), ("SASL_MECHANISM", "PLAIN"), ("SASL_USERNAME", "x")):
            monkeypatch.setenv(f"KAFKA_{other}", needed)
    monkeypatch.setenv(name.upper(), value)
    settings = load_settings()
    assert getattr(settings, name).get_secret_value() == value
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump_json()}"
    monkeypatch.setenv("WINDOW_SECONDS", "0")
    with pytest.raises(BadSetting) as refused:
        load_settings()
    assert SECRET not in f"{refused.value}{refused.value.__cause__}"


def test_a_secret_that_is_wrong_does_not_show() -> None:
    """Not in a traceback either: one is printed here."""
    program = "from streams.settings import load_settings; load_settings()"
    environment = os.environ | {"WEB_TOKEN": SECRET}
    shown = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert "WEB_TOKEN" in shown.stderr
    assert SECRET not in shown.stderr


@pytest.mark.parametrize("name", ["REDIS_URL", "TABLE_STORE"])
def test_a_password_in_an_address_does_not_show(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whether the address is right or wrong."""
    monkeypatch.setenv(name, f"redis://user:{SECRET}@localhost:6379/0")
    settings = load_settings()
    assert SECRET not in f"{settings} {settings!r}"
    monkeypatch.setenv(name, f"redis://user:{SECRET}@localhost:port/0")
    with pytest.raises(BadSetting) as refused:
        load_settings()
    assert SECRET not in f"{refused.value}{refused.value.__cause__}"


def test_settings_do_not_change() -> None:
    """What was checked at start holds until the end."""
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.window_seconds = 1


@given(window=st.integers(1, 86_400), windows=st.lists(st.integers(1, 86_400), min_size=1), late=st.integers(0, 86_400))
def test_panes_outlive_every_window(window: int, windows: list[int], late: int) -> None:
    """By the lateness that is allowed."""
    settings = load_settings(window_seconds=window, windows=tuple(windows[:16]), allowed_lateness_seconds=late)
    assert settings.retention_seconds == max(window, *windows[:16]) + late


@pytest.mark.parametrize(("first", "second", "used"), [("a", "b", "b"), ("a", "", "a"), ("", "b", "b"), ("", "", None)])
def test_the_second_webhook_goes_before_the_first(first: str, second: str, used: str | None) -> None:
    """As users of the original have it."""
    addresses = [token and f"{WEBHOOK}{token}" for token in (first, second)]
    webhook = load_settings(discord_webhook_url=addresses[0], discord_webhook_url_2=addresses[1]).webhook
    assert (webhook and webhook.get_secret_value()) == (used and f"{WEBHOOK}{used}")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "WINDOW_SECONDS",
            "soon",
            "must be a whole number of seconds from 1 to 86400, not 'soon'; for example 300 or 5m",
        ),
        (
            "MAX_FUTURE_SECONDS",
            "-1",
            "must be a whole number of seconds of at least 0, not '-1'; for example 60 or 1m",
        ),
        ("STATS_INTERVAL_SECONDS", "0", "must be a number of seconds above 0, not '0'; for example 10 or 10s"),
        (
            "LIQUIDATION_THRESHOLD_USD",
            "10m",
            "must be a number of USD from 0.000001 to 1,000,000,000,000,000, not '10m'; for example 1_000_000",
        ),
        (
            "PRICE_MOVE_PCT",
            "five",
            "must be a number of percent from 0.000000001 to 1000, not 'five'; for example 2.5",
        ),
        ("POSTGRES_PORT", "pg", "must be a port from 1 to 65535, not 'pg'; for example 5432"),
        (
            "WINDOWS",
            "60,soon",
            "must be whole numbers of seconds (comma separated), not 'soon'; for example 60,300,900,3600",
        ),
        ("FEED", "binance", "must be one of simulator, live, recording, not 'binance'"),
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error, not 'loud'; for example info"),
        ("CREATE_TOPICS", "perhaps", "must be true or false, not 'perhaps'"),
        ("WEB_TOKEN", "short", "must have at least 16 characters"),
        (
            "FRAME_LINGER_MS",
            "9" * 99,
            f"must be a whole number of milliseconds from 0 to 10000, not '{'9' * 59}…'; for example 5 or 5ms",
        ),
        ("SPOT_SYMBOLS", "btc/usd", "write BTC/USD, not 'btc/usd'"),
        ("SPOT_SYMBOLS", "XBT/USD", "write BTC/USD, not 'XBT/USD'"),
        ("SPOT_SYMBOLS", "xdg/usdt", "write DOGE/USDT, not 'xdg/usdt'"),
        ("SPOT_SYMBOLS", "BTC-USD", "write BTC/USD, not 'BTC-USD'"),
        ("SPOT_SYMBOLS", "ethusdt", "write ETH/USDT, not 'ethusdt'"),
        ("SPOT_SYMBOLS", "PF_XBTUSD", "must be BASE/QUOTE pairs such as BTC/USD, not 'PF_XBTUSD'"),
        ("FUTURES_SYMBOLS", "pf_xbtusd", "write PF_XBTUSD, not 'pf_xbtusd'"),
        ("USD_QUOTES", "usd", "write USD, not 'usd'"),
    ],
)
def test_what_a_setting_must_be_is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """What it must be, what it is, and an example."""
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as refused:
        load_settings()
    assert str(refused.value) == f"wrong setting: {name}: {said}"


TAKES_ONLY_SOME = [
    name for name, field in Settings.model_fields.items() if not {str, Path, tuple} & set(types_of(field.annotation))
]


@pytest.mark.parametrize("name", [*TAKES_ONLY_SOME, "windows", "severity_multiples", "spot_venue", "spot_symbols"])
def test_no_setting_is_refused_in_a_librarys_words(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever its type. Secrets take any text, if it is long enough."""
    monkeypatch.setenv(name.upper(), "?")
    try:
        load_settings()
    except BadSetting as error:
        said = str(error)
    else:
        assert SecretStr in set(types_of(Settings.model_fields[name].annotation))
        return
    # A login's parts are only used together.
    assert ": must " in said or name == "kafka_sasl_password"
    assert not re.search(r"parse|Input|should|\bvalid", said)


@pytest.mark.parametrize("url", ["", "http://10.0.0.5:6066", "https://ops.example.com/liqmon/"])
def test_the_public_address_may_have_a_path(url: str) -> None:
    """A proxy may serve the view below it."""
    assert load_settings(web_public_url=url).web_public_url == url


@pytest.mark.parametrize(
    "url",
    ["ops.example.com/liqmon", "/liqmon", "ftp://x/", "https://u:p@x/", "https://x/?a=b", "https://x/#a", "https://["],
)
def test_a_public_address_that_cannot_work_is_refused(url: str) -> None:
    """It would be sent in every message."""
    with pytest.raises(BadSetting, match="WEB_PUBLIC_URL"):
        load_settings(web_public_url=url)
