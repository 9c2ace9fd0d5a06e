"""A venue's own settings are read where the program's are."""

from pathlib import Path

import pytest
from pydantic import Field

from streams.errors import BadSetting
from streams.settings import Settings, VenueSettings, load_settings, read_settings
from streams.venues.registry import make_feeds
from tests.venues.acme.venue import AcmeSettings

NOTHING_ELSE = {"feed": "live", "venues": "tests.venues.acme.venue", "spot_symbols": (), "futures_symbols": ()}


def test_they_are_lines_of_dotenv_and_the_environment_has_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among lines of the program and of nobody."""
    (tmp_path / ".env").write_text("ACME_URL=ws://127.0.0.1:1\nACME_SYMBOLS=PF_BTC\nWINDOW_SECONDS=60\n")
    monkeypatch.chdir(tmp_path)
    for one in (Settings, AcmeSettings):
        monkeypatch.setitem(one.model_config, "env_file", ".env")
    monkeypatch.setenv("ACME_URL", "ws://127.0.0.1:2")
    (feed,) = make_feeds(load_settings(**NOTHING_ELSE))
    found = feed.connection()
    assert found is not None
    assert (found.venue, found.address, found.symbols) == ("acme", "ws://127.0.0.1:2", 1)


class Limited(VenueSettings):
    """A setting with a bound."""

    limited_depth: int = Field(10, ge=1)


def test_a_wrong_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, as the program's own."""
    monkeypatch.setenv("LIMITED_DEPTH", "0")
    with pytest.raises(BadSetting, match="LIMITED_DEPTH: must be a whole number of at least 1, not '0'"):
        read_settings(Limited)
