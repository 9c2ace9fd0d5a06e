"""Which venues there are: Kraken's, and those of the modules that VENUES names."""

from pathlib import Path

import pytest

from streams.errors import BadSetting, Fatal
from streams.settings import load_settings
from streams.venues.registry import listed_markets, make_feeds, make_venues

MODULE = """
from streams.venues.base import Venue

class Other(Venue):
    def product_of(self, symbol):
        return None

    def feed(self):
        return None

    def read_message(self, data):
        return None

def venues(settings):
    yield Other(settings.spot_venue + "{suffix}")
"""


def written(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """Put a module where it can be imported; return its name."""
    name = f"venue_{directory.name}"
    (directory / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(directory)
    return name


def test_krakens_venues_are_always_there() -> None:
    """Under the names of the settings."""
    names = [venue.name for venue in make_venues(load_settings(spot_venue="sim_spot", futures_venue="sim_futures"))]
    assert names == ["sim_spot", "sim_futures"]
    assert [venue.display_name for venue in make_venues(load_settings())] == ["kraken spot", "kraken futures"]


def test_without_a_feed_a_producer_watches_kraken() -> None:
    """As the description of FEED says."""
    for settings in (load_settings(), load_settings(feed="live")):
        assert [feed.connection().venue for feed in make_feeds(settings)] == ["kraken_spot", "kraken_futures"]  # type: ignore[union-attr]


def test_a_simulated_market_is_never_the_real_one() -> None:
    """Whoever asks for it by name must say where it is; `liqmon run` does."""
    with pytest.raises(BadSetting, match=r"FEED=simulator .* SPOT_WS_URL and FUTURES_WS_URL .* set FEED=live "):
        make_feeds(load_settings(feed="simulator"))
    with pytest.raises(BadSetting, match="and SPOT_WS_URL would be"):
        make_feeds(load_settings(feed="simulator", futures_symbols=""))
    urls = {"spot_ws_url": "ws://127.0.0.1:1/v2", "futures_ws_url": "ws://127.0.0.1:1/ws/v1"}
    assert len(make_feeds(load_settings(feed="simulator", **urls))) == 2


def test_a_module_that_the_settings_name_adds_its_venues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Kraken's."""
    name = written(tmp_path, monkeypatch, MODULE.replace("{suffix}", "_2"))
    names = [venue.name for venue in make_venues(load_settings(venues=name))]
    assert names == ["kraken_spot", "kraken_futures", "kraken_spot_2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "cannot be imported"),
        ("x = 1", "no function venues"),
        ("def venues(settings): return ['acme']", "must return"),
        (MODULE.replace("{suffix}", ""), "two venues are called 'kraken_spot'"),
        (MODULE.replace("{suffix}", "|"), r"is called 'kraken_spot\|': its name must be 1 to 64"),
        (MODULE.replace("{suffix}", "x" * 64), "its name must be 1 to 64"),
        (MODULE.replace('settings.spot_venue + "{suffix}"', "5"), "is called 5"),
        (
            MODULE.replace("    def product_of", "    def __init__(self, _): pass\n    def product_of"),
            "__init__ must pass",
        ),
        ("def broken(:", "whose import raised SyntaxError"),
        ("1 / 0", "whose import raised ZeroDivisionError.* line 1"),
        ("def venues(settings): return 1 / 0", "raised ZeroDivisionError.* line 1"),
        ("def venues(settings): return None", "raised TypeError"),
        ("def venues(): return []", "raised TypeError"),
    ],
)
def test_a_module_that_gives_no_venue_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """One line that says what to do, for the producer and the worker alike."""
    name = written(tmp_path, monkeypatch, text)
    with pytest.raises(BadSetting, match=said):
        make_venues(load_settings(venues=name))


def test_a_module_that_is_nowhere_is_a_wrong_setting() -> None:
    """It says where it is looked for."""
    with pytest.raises(BadSetting, match=r"VENUES names 'acme\.nowhere', which cannot be imported.*PYTHONPATH"):
        make_venues(load_settings(venues="acme.nowhere"))


def test_nothing_to_watch_is_said() -> None:
    """Also where a further venue has no feed."""
    nothing = {"spot_symbols": (), "futures_symbols": ()}
    with pytest.raises(Fatal, match=r"SPOT_SYMBOLS and FUTURES_SYMBOLS are both empty$"):
        make_feeds(load_settings(feed="live", **nothing))


def test_feeds_are_those_of_the_symbols_asked_for() -> None:
    """A venue without symbols has none."""
    (feed,) = make_feeds(load_settings(feed="live", spot_symbols=()))
    found = feed.connection()
    assert found is not None
    assert (found.venue, found.symbols) == ("kraken_futures", 3)


def test_a_relative_module_is_a_wrong_setting() -> None:
    """Python says TypeError of it."""
    with pytest.raises(BadSetting, match=r"'\.\.x', whose import raised"):
        make_venues(load_settings(venues="..x"))


def test_listed_markets_are_those_of_every_venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that lists none adds none; one whose code fails is named."""
    name = written(tmp_path, monkeypatch, MODULE.format(suffix="_2"))
    settings = load_settings(spot_symbols="BTC/USD", futures_symbols="PI_XBTUSD", venues=name)
    venues = make_venues(settings)
    assert listed_markets(venues) == {("kraken_spot", "BTC/USD"), ("kraken_futures", "PI_XBTUSD")}
    monkeypatch.setattr(venues[2], "symbols", lambda: 1 // 0, raising=False)
    with pytest.raises(BadSetting, match=r"symbols\(\) of venue 'kraken_spot_2' raised ZeroDivisionError.*mend"):
        listed_markets(venues)
