"""Every metric the program exports, in one place: prefix ``liqmon_``, base units, bounded labels.

Beside those are the client's own of the process, ``process_``.

A counter exists from the start at 0 for each label value that is known: see :func:`start_at_zero`.

``venue`` and ``symbol`` label values are bounded here, since anybody who may write to the topic names them (see
:func:`venue_label` and :func:`market_labels`). ``reason``, ``rule``, ``severity`` and ``sink`` are of fixed lists.
"""

import itertools
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from streams.market_times import MarketTimes

# The client would export one more series with each counter and histogram: when it was made, which nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY: Final = CollectorRegistry()
# Since when it runs, its memory and its processor time, by the names that every program gives them.
ProcessCollector(registry=REGISTRY)

# Alerts are promised within 50 ms; the buckets are dense around that.
LATENCY_BUCKETS: Final = (
    *(0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
# A stage is a part of that.
STAGE_BUCKETS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)

trades = Counter("liqmon_trades", "Trades counted into windows.", ["venue"], registry=REGISTRY)
frames = Counter("liqmon_frames", "Frames processed (worker) or published (producer).", ["venue"], registry=REGISTRY)
frame_bytes = Counter("liqmon_frame_bytes", "Bytes of frames processed or published.", ["venue"], registry=REGISTRY)
trades_apart = Counter(
    "liqmon_trades_apart",
    "Trades kept by id and in no window, by kind: blocks, assignments and others.",
    ["kind"],
    registry=REGISTRY,
)
duplicates = Counter("liqmon_duplicates", "Trades that had been counted before.", ["venue"], registry=REGISTRY)
late = Counter("liqmon_late", "Trades older than the oldest pane kept, in no window.", ["venue"], registry=REGISTRY)
forwarded = Counter(
    "liqmon_forwarded",
    "Messages found on another partition than their symbol's, sent on to it.",
    ["venue"],
    registry=REGISTRY,
)
dead_letters = Counter("liqmon_dead_letters", "Records refused, by reason.", ["reason"], registry=REGISTRY)

reconnects = Counter("liqmon_reconnects", "Connections to a feed opened again.", ["venue"], registry=REGISTRY)
connected = Gauge("liqmon_feed_connected", "1 while the feed's socket is open.", ["venue"], registry=REGISTRY)
feed_symbols = Gauge("liqmon_feed_symbols", "Symbols that the feed is to carry.", ["venue"], registry=REGISTRY)
subscribed_symbols = Gauge(
    "liqmon_feed_subscribed_symbols", "Symbols that the venue has acknowledged.", ["venue"], registry=REGISTRY
)
refused_symbols = Gauge(
    "liqmon_feed_refused_symbols", "Symbols that the venue says it does not have.", ["venue"], registry=REGISTRY
)
feed_warnings = Counter("liqmon_feed_warnings", "Warnings in a venue's acknowledgements.", ["venue"], registry=REGISTRY)
last_trade_seconds = MarketTimes(
    "liqmon_last_trade_timestamp_seconds",
    "When the last trade of a market was received, or since when a feed awaits the first.",
    REGISTRY,
)
gap_trades = Counter(
    "liqmon_gap_trades",
    "Ids skipped between two trades of a market; some may arrive later.",
    ["venue"],
    registry=REGISTRY,
)
resubscriptions = Counter(
    "liqmon_resubscriptions", "Symbols subscribed again because they had gone silent.", ["venue"], registry=REGISTRY
)
buffered_trades = Gauge("liqmon_buffered_trades", "Trades waiting in the producer for the broker.", registry=REGISTRY)
skipped = Counter(
    "liqmon_skipped", "Trades not published because another producer had published them.", ["venue"], registry=REGISTRY
)
screen_seconds = Histogram(
    "liqmon_screen_seconds",
    "Time that a producer held trades back to ask Redis what others have published.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0),
    registry=REGISTRY,
)
clock_skew_seconds = Gauge(
    "liqmon_clock_skew_seconds",
    "By how much this machine's clock is ahead of the broker's, or of a venue's stamps; negative: behind.",
    ["against"],
    registry=REGISTRY,
)
clock_skew_limit_seconds = Gauge(
    "liqmon_clock_skew_limit_seconds",
    "By how much this machine's clock may be off before the process is unready (MAX_CLOCK_SKEW_SECONDS).",
    registry=REGISTRY,
)
redis_unavailable_seconds = Counter(
    "liqmon_redis_unavailable_seconds", "Time without the Redis of published ids and live windows.", registry=REGISTRY
)

alerts = Counter("liqmon_alerts", "Alerts raised.", ["rule", "severity"], registry=REGISTRY)
event_to_alert_seconds = Histogram(
    "liqmon_event_to_alert_seconds", "From a trade's receipt to its alert.", buckets=LATENCY_BUCKETS, registry=REGISTRY
)
event_to_row_seconds = Histogram(
    "liqmon_event_to_row_seconds",
    "From a trade's receipt to its alert's committed row.",
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
stage_seconds = Histogram(
    "liqmon_stage_seconds",
    "From a socket's frame to an alert's row and message, by stage (streams/stages.py).",
    ["stage"],
    buckets=STAGE_BUCKETS,
    registry=REGISTRY,
)
alert_rows = Counter(
    "liqmon_alert_rows", "Alert messages recorded, by what they did to the rows.", ["outcome"], registry=REGISTRY
)
sink_retries = Counter(
    "liqmon_sink_retries", "Attempts repeated because a sink did not answer.", ["sink"], registry=REGISTRY
)
outbox_age_seconds = Gauge("liqmon_outbox_age_seconds", "Age of the oldest undelivered message.", registry=REGISTRY)
deliveries = Counter(
    "liqmon_deliveries", "Alerts sent to Discord, each time, by outcome.", ["outcome"], registry=REGISTRY
)
digests = Counter("liqmon_digests", "Messages that held several alerts, by outcome.", ["outcome"], registry=REGISTRY)

pruned_rows = Counter(
    "liqmon_pruned_rows", "Rows deleted because they were older than they are kept.", ["table"], registry=REGISTRY
)
prune_overdue_seconds = Gauge(
    "liqmon_prune_overdue_seconds",
    "How much older than it is kept the oldest row was after the last pruning.",
    ["table"],
    registry=REGISTRY,
)

markets = Gauge("liqmon_markets", "Markets whose panes this worker keeps.", registry=REGISTRY)
table_keys = Gauge("liqmon_table_keys", "Keys in a table.", ["table"], registry=REGISTRY)
restored_records = Counter(
    "liqmon_restored_records", "Changelog records read to restore tables, or to keep standbys.", registry=REGISTRY
)
unreadable_changelog_records = Counter(
    "liqmon_unreadable_changelog_records",
    "Records of the changelog that no release wrote: passed over in a restore.",
    registry=REGISTRY,
)
restated_records = Counter(
    "liqmon_restated_records",
    "State written again behind what a worker had written that no longer had the partition.",
    registry=REGISTRY,
)
table_bytes = Gauge("liqmon_table_bytes", "Bytes of state held in memory.", ["table"], registry=REGISTRY)
consumer_lag = Gauge(
    "liqmon_consumer_lag_messages", "Messages not yet processed.", ["topic", "partition"], registry=REGISTRY
)
web_connections = Gauge("liqmon_web_connections", "Connections to the web server that are open.", registry=REGISTRY)
web_connections_closed = Counter(
    "liqmon_web_connections_closed",
    "Connections that the web server ended: head or idle (too slow), stalled (takes no answer), room (the longest idle "
    "made room), full (no room).",
    ["reason"],
    registry=REGISTRY,
)
for _reason in ("head", "idle", "stalled", "room", "full"):
    web_connections_closed.labels(_reason)
flush_seconds = Histogram("liqmon_flush_seconds", "Time to make state durable before a commit.", registry=REGISTRY)


KINDS_APART: Final = ("block", "termination", "assignment", "unwind", "covered_liquidation", "other")


def kind_label(kind: str) -> str:
    """Return a kind of trade as a label value: one that is not known is ``other``."""
    return kind if kind in KINDS_APART else "other"


def start_at_zero(counter: Counter, *labels: Iterable[str]) -> None:
    """Export a counter at 0 for each combination of these label values, the first label's first.

    Prometheus takes a counter that first appears at 1 for one that was always 1, and no rule hears of it.
    """
    for values in itertools.product(*labels):
        counter.labels(*values)


def start_venue(venue: str, *counters: Counter) -> None:
    """Export what is counted of trades, and these counters too, at 0 for a venue."""
    for counter in (trades, frames, frame_bytes, *counters):
        start_at_zero(counter, [venue])


# Each venue is a time series in every metric that is labelled with it. Nobody watches as many venues as this.
MAX_VENUES: Final = 64
OTHER: Final = "other"
_venues: Final[set[str]] = set()


def venue_label(venue: str) -> str:
    """Return the venue as a label value; after the first 64 of them, ``other``: a feed may name anything."""
    if venue not in _venues:
        if len(_venues) >= MAX_VENUES:
            return OTHER
        _venues.add(venue)
        start_venue(venue, duplicates, late, forwarded)
    return venue


# A dashboard shows the markets that the settings list, which have their labels in any case.
MAX_MARKETS: Final = 256
_markets: Final[set[tuple[str, str]]] = set()
_listed: Final[set[tuple[str, str]]] = set()


def list_markets(markets: Iterable[tuple[str, str]]) -> None:
    """Keep labels for the (venue, symbol) that the settings list, whatever others come first."""
    _listed.update(markets)


def market_labels(venue: str, symbol: str) -> tuple[str, str]:
    """Return venue and symbol as label values; ``other`` behind the first 256 markets that no setting lists."""
    place = (venue_label(venue), symbol)
    if (venue, symbol) in _listed or place in _markets:
        return place
    if len(_markets) >= MAX_MARKETS or place[0] == OTHER:
        return OTHER, OTHER
    _markets.add(place)
    return place
