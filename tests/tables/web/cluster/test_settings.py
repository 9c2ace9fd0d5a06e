"""Which settings workers should share, and where they differ."""

from streams.settings import load_settings
from tables.web.cluster.settings import Difference, differences, shown_settings

SECRET = "a-secret-that-nobody-may-see"


def test_settings_are_told_as_they_are_written() -> None:
    """By their names in the environment."""
    told = shown_settings(load_settings(windows=(60, 300), price_move_pct=2.5))
    assert told["WINDOWS"] == "60,300"
    assert told["PRICE_MOVE_PCT"] == "2.5"
    assert told["LIQUIDATION_THRESHOLD_USD"] == "1000000"
    assert told["SEVERITY_MULTIPLES"] == "1,2,5,10"
    assert shown_settings(load_settings())["PRICE_MOVE_PCT"] == ""


def test_no_secret_is_among_them() -> None:
    """Nor an address that may hold one."""
    settings = load_settings(
        web_token=SECRET,
        redis_url=f"redis://:{SECRET}@localhost:6379/0",
        table_store=f"redis://:{SECRET}@localhost:6379/0",
        postgres_password=SECRET,
        discord_webhook_url=f"https://discord.com/api/webhooks/1/{SECRET}",
    )
    assert SECRET not in str(shown_settings(settings))


def test_what_differs_is_named_with_each_workers_value() -> None:
    """What is the same is not, nor what a worker of an earlier release does not say."""
    told = {
        "http://a": {"WINDOWS": "60,300", "WINDOW_SECONDS": "300"},
        "http://b": {"WINDOWS": "60", "WINDOW_SECONDS": "300", "NEW": "1"},
        "http://c": {},
    }
    assert differences(told) == [Difference("WINDOWS", {"http://a": "60,300", "http://b": "60"})]
    assert differences({"http://a": {"WINDOWS": "60"}}) == []
