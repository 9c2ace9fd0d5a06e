"""Which market a file name or a REST key means, and which venue a recording becomes."""

import re
from pathlib import Path

import pytest

from streams.venues.recording.names import symbol_of_file, symbol_of_pair, venue_of_file


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("XBTUSD", "BTC/USD"),
        ("XXBTZUSD", "BTC/USD"),
        ("XBTUSDT", "BTC/USDT"),
        ("XDGUSD", "DOGE/USD"),
        ("XXDGZUSD", "DOGE/USD"),
        ("XETHZEUR", "ETH/EUR"),
        ("XETHXXBT", "ETH/BTC"),
        ("XTZUSD", "XTZ/USD"),
        ("solusdc", "SOL/USDC"),
        ("1INCHUSD", "1INCH/USD"),
        ("BTC/USD", "BTC/USD"),
        ("XBT/USD", "BTC/USD"),
        ("USD", None),
        ("KRAKEN", None),
        ("", None),
    ],
)
def test_pair_names_become_v2_symbols(pair: str, symbol: str | None) -> None:
    """Old names with X and Z, plain names, and v2 names; XBT is BTC and XDG is DOGE."""
    assert symbol_of_pair(pair) == symbol


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("XBTUSD.csv", "BTC/USD"),
        ("kraken_spot_btcusd_2019-07-01T0000_40min.csv", "BTC/USD"),
        ("XDGUSD_2023.csv", "DOGE/USD"),
        ("PF_XBTUSD.csv", "PF_XBTUSD"),
        ("PF_XBTUSD_20231117.csv", "PF_XBTUSD"),
        ("fi_xbtusd_231124_trades.csv", "FI_XBTUSD_231124"),
        ("fi_ethusd_211231-part1.csv", "FI_ETHUSD_211231"),
        ("trades of today.csv", None),
    ],
)
def test_file_names_tell_the_market(name: str, symbol: str | None) -> None:
    """Kraken's own names, names of several words, futures products; what tells nothing gives none."""
    assert symbol_of_file(Path(name)) == symbol


@pytest.mark.parametrize("name", ["XBTUSD.csv", "Größe 1.csv", "a" * 200 + ".csv", "kraken_2019-07-01T00:00.jsonl"])
def test_a_recording_has_a_venue_of_its_own(name: str) -> None:
    """It never mixes with live state, and is the same each time the file is sent."""
    venue = venue_of_file(Path("/somewhere") / name)
    assert re.fullmatch(r"[a-z0-9_.:-]{1,64}", venue)
    assert venue.startswith("recording:")
    assert venue == venue_of_file(Path("/elsewhere") / name)


def test_long_names_that_differ_at_the_end_are_different_venues() -> None:
    """A venue has 64 characters; part 1 and part 2 of a long name are two recordings all the same."""
    assert venue_of_file(Path("x" * 80 + "1.csv")) != venue_of_file(Path("x" * 80 + "2.csv"))
