"""The series of metrics that every message of a market moves: looked up once, since that costs more than counting."""

from functools import cache
from typing import NamedTuple

from prometheus_client import Counter

from streams import metrics
from streams.market_times import MarketTime


class Series(NamedTuple):
    """What is counted of a venue's messages and trades, and when a market's last trade was received."""

    frames: Counter
    frame_bytes: Counter
    trades: Counter
    duplicates: Counter
    late: Counter
    last_trade_seconds: MarketTime


def series_of(venue: str, symbol: str) -> Series:
    """Return a market's series; markets without labels of their own share one."""
    return _series(metrics.venue_label(venue), metrics.market_labels(venue, symbol))


# Labels are bounded, and so are these.
@cache
def _series(venue: str, market: tuple[str, str]) -> Series:
    return Series(
        metrics.frames.labels(venue),
        metrics.frame_bytes.labels(venue),
        metrics.trades.labels(venue),
        metrics.duplicates.labels(venue),
        metrics.late.labels(venue),
        metrics.last_trade_seconds.labels(*market),
    )
