"""The settings on which the workers of a group should agree, and where they do not. Pure.

During a rolling change they differ for a while. Each market then follows the settings of its owner.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from streams.settings import Settings

SHOWN: Final = (
    "window_seconds",
    "windows",
    "allowed_lateness_seconds",
    "max_future_seconds",
    "max_clock_skew_seconds",
    "liquidation_threshold_usd",
    "liquidation_rule_threshold_usd",
    "price_move_pct",
    "severity_multiples",
    "alert_cooldown_sec",
    "topic_partitions",
    "max_markets_per_partition",
    "new_markets_per_minute",
    "only_listed_markets",
    "spot_symbols",
    "futures_symbols",
    "usd_quotes",
    "commit_interval_seconds",
    "venues",
)
"""What decides about markets, windows, rules and alerts. Never a secret, nor a worker's own ports and directories."""


class Difference(msgspec.Struct, frozen=True):
    """A setting that is not the same on every worker that answers."""

    setting: str
    values: Annotated[dict[str, str], msgspec.Meta(description="the value of each worker, by its address")]


def shown_settings(settings: Settings) -> dict[str, str]:
    """Return the settings that all workers should share, as they would be written in ``.env``."""
    return {name.upper(): _written(getattr(settings, name)) for name in SHOWN}


def differences(told: Mapping[str, Mapping[str, str]]) -> list[Difference]:
    """Return what differs between workers; ``told`` has the settings of each by its address.

    A worker of an earlier release says nothing of a setting, and is left out.
    """
    found = []
    for setting in _names(told.values()):
        values = {url: settings[setting] for url, settings in told.items() if setting in settings}
        if len(set(values.values())) > 1:
            found.append(Difference(setting, values))
    return found


def _names(told: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for settings in told for name in settings))


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)
