"""Alerts for tests: a plausible one, any field of it replaced."""

from typing import Any

from streams.model.alert import Alert

PANE = 1_561_939_564

FIGURES: dict[str, Any] = {
    "count": 469,
    "total_volume_micro_usd": 2_023_806_241_207,
    "buy_volume_micro_usd": 523_806_241_207,
    "sell_volume_micro_usd": 1_500_000_000_000,
    "liquidation_volume_micro_usd": 0,
    "liquidation_long_micro_usd": 0,
    "liquidation_short_micro_usd": 0,
    "largest_trade_micro_usd": 107_250_000_000,
    "vwap": 10705.537729348083,
    "price_change_pct": -1.493853753,
    "realized_volatility": 0.0123,
    "first_price": 10_800.0,
    "last_price": 10_638.7,
    "high": 10_810.5,
    "low": 10_600.1,
}

PLAIN = Alert(
    rule="volume",
    venue="kraken_spot",
    symbol="BTC/USD",
    pane=PANE,
    severity="MEDIUM",
    threshold_micro_usd=1_000_000_000_000,
    episode=PANE,
    window_seconds=300,
    window_start=PANE - 299,
    window_end=PANE + 1,
    received_us=0,
    partition=2,
    offset=41,
    **FIGURES,
)


def an_alert(**changes: Any) -> Alert:
    """Return an alert with these fields; its episode begins with it unless ``episode`` says otherwise."""
    if "pane" in changes:
        changes.setdefault("episode", changes["pane"])
    return Alert(**{name: changes.get(name, getattr(PLAIN, name)) for name in Alert.__struct_fields__})


def a_move(*, retracted: bool = False, **changes: Any) -> Alert:
    """Return a price move of 0.8 % against a threshold of 0.4 %, or one that late trades took back to 0.1 %."""
    move = {
        "rule": "price_move",
        "unit": "percent",
        "threshold": 400_000_000,
        "threshold_micro_usd": 0,
        "measured": 100_000_000 if retracted else 800_000_000,
        "price_change_pct": 0.1 if retracted else 0.8,
        "retracted": retracted,
    }
    return an_alert(**{**move, **changes})
