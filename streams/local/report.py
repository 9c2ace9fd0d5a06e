"""What a run tells people: a line per alert, a summary at the end, and the same as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from agents.alerts.words import TIMES_SIGN, sentence
from streams.model.alert import Alert
from streams.model.money import percent
from streams.model.units import USD
from streams.severities import SEVERITIES
from streams.words import counted, time_span

COLOURS: Final = {"LOW": "36", "MEDIUM": "33", "HIGH": "31", "CRITICAL": "1;31"}

COUNTED: Final = {
    "trades": "liqmon_trades_total",
    "frames": "liqmon_frames_total",
    "duplicates": "liqmon_duplicates_total",
    "late": "liqmon_late_total",
    "markets": "liqmon_markets",
}
"""Figures of the summary and the worker's metrics they come from."""


class Summary(msgspec.Struct, frozen=True):
    """What a run did. ``windows`` is the number of windows kept, one per market and length.

    ``markets`` is how many markets traded, ``alerts`` counts alerts by severity, and ``seconds`` is the duration.
    None is a figure that could not be read.
    """

    trades: int | None
    frames: int | None
    duplicates: int | None
    late: int | None
    dead_letters: int | None
    markets: int | None
    windows: int | None
    seconds: float
    alerts: dict[str, int] | None

    def __str__(self) -> str:
        windows = "windows unknown"
        if self.windows is not None and self.markets is not None:
            windows = f"{counted(self.windows, 'window')} of {counted(self.markets, 'market')}"
        late = "late trades unknown" if self.late is None else f"{self.late:,} late"
        return (
            f"{self._throughput()}, {windows}\n"
            f"{self._alerts()}, {_figure(self.duplicates, 'duplicate')}, {late}, "
            f"{_figure(self.dead_letters, 'dead letter')}"
        )

    def _throughput(self) -> str:
        over = f"over {time_span(self.seconds)}"
        if self.trades is None or self.frames is None:
            return f"{_figure(self.trades, 'trade')}, {_figure(self.frames, 'frame')}, {over}"
        seconds = max(self.seconds, 1e-9)
        rates = f"({self.trades / seconds:,.0f} trades/s, {self.frames / seconds:,.0f} frames/s)"
        return f"{counted(self.trades, 'trade')} in {counted(self.frames, 'frame')} {over} {rates}"

    def _alerts(self) -> str:
        if self.alerts is None:
            return "alerts unknown"
        by_severity = ", ".join(f"{self.alerts[name]} {name}" for name in SEVERITIES if self.alerts.get(name))
        return f"{counted(sum(self.alerts.values()), 'alert')}{f' ({by_severity})' if by_severity else ''}"


def _figure(number: int | None, noun: str) -> str:
    return f"{noun}s unknown" if number is None else counted(number, noun)


def totals(metrics: str | None) -> dict[str, int | None]:
    """Sum the figures of the summary over their labels, from a ``/metrics`` page. Without one each is None: unknown."""
    if metrics is None:
        return dict.fromkeys(COUNTED)
    names = {metric: figure for figure, metric in COUNTED.items()}
    sums = dict.fromkeys(COUNTED, 0)
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name in names:
                sums[names[sample.name]] += int(sample.value)
    return {**sums}


def happened(alert: Alert) -> str:
    """Return what happened and where the price stands, in signs that every terminal can print."""
    what = sentence(alert).replace(TIMES_SIGN, "x")
    return f"{what}; price {alert.last_price:,.10g} ({percent(alert.price_change_pct)})"


def alert_line(alert: Alert, *, colour: bool) -> str:
    """Return an alert as one line: time (UTC), severity, market, what happened."""
    at = datetime.fromtimestamp(alert.pane, UTC)
    severity = f"{alert.severity:<8}"
    if colour:
        severity = f"\x1b[{COLOURS.get(alert.severity, '0')}m{severity}\x1b[0m"
    return f"{at:%Y-%m-%d %H:%M:%S} {severity} {alert.venue} {alert.symbol}  {happened(alert)}"


def count_severities(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count alert rows by severity."""
    return dict(Counter(str(row["alert_severity"]) for row in rows))


def write_report(path: Path, summary: Summary, rows: Sequence[Mapping[str, Any]] | None) -> None:
    """Write the summary and every alert row of the run as JSON; amounts keep every digit, what is unknown is null.

    As in the API, ``threshold_usd`` is null for a rule in another unit, whose threshold stands in ``threshold``.

    Raises :class:`OSError` when the file cannot be written.
    """
    figures = msgspec.structs.asdict(summary)
    if rows is not None:
        alerts = [{**row, "threshold_usd": row["threshold_usd"] if row["unit"] == USD.name else None} for row in rows]
        figures["alerts"] = sorted(alerts, key=lambda row: (row["pane"], row["venue"], row["symbol"], row["rule"]))
    encoded = msgspec.json.Encoder(decimal_format="number").encode(figures)
    path.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
