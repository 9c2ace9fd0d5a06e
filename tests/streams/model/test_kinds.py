"""What kind of market a symbol is, where nothing says it, and when it must be said."""

import msgspec
import pytest

from streams.model.kinds import FUTURES_KIND, SPOT_KIND, MarketKind, implied_kind, kind_to_name

PERP = MarketKind("perp", has_liquidations=True, id_bytes=8)


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [
        ("BTC/USD", SPOT_KIND),
        ("PFIZER/USD", SPOT_KIND),
        ("PF_XBTUSD", FUTURES_KIND),
        ("PI_XBTUSD", FUTURES_KIND),
        ("FF_ETHUSD_250328", FUTURES_KIND),
        ("FI_XBTUSD_250328", FUTURES_KIND),
    ],
)
def test_symbols_say_the_kind_of_what_was_written_before_frames_did(symbol: str, kind: MarketKind) -> None:
    """Kraken's futures have a prefix; everything else was spot."""
    assert implied_kind(symbol) is kind


def test_a_kind_is_told_only_where_the_symbol_says_another() -> None:
    """So what is written for the markets of before stays as it was."""
    assert kind_to_name("BTC/USD", MarketKind("spot", has_liquidations=False, id_bytes=8)) is None
    assert kind_to_name("PF_XBTUSD", FUTURES_KIND) is None
    assert kind_to_name("PF_SPOT", SPOT_KIND) is SPOT_KIND
    assert kind_to_name("BTC-PERP", PERP) is PERP


@pytest.mark.parametrize("value", [["", True, 8], ["x" * 65, True, 8], ["x", True, 12], ["x", 1, 8], ["x"], {}])
def test_what_is_no_kind_is_refused(value: object) -> None:
    """A name of 1 to 64 characters, and ids of 8 or 16 bytes: nothing else is counted."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=MarketKind)
