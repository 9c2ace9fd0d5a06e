"""What a run tells people is short, true, and never calls spot volume liquidations."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.local.report import Summary, alert_line, count_severities, totals, write_report
from streams.model.alert import Alert
from streams.model.figures import FIGURES as TABLE
from tests.agents.factories import a_move

FIGURES: dict[str, Any] = dict.fromkeys((figure.field for figure in TABLE), 0) | {
    "count": 469,
    "total_volume_micro_usd": 2_023_806_241_207,
    "largest_trade_micro_usd": 107_250_000_000,
    "vwap": 10_705.5,
    "price_change_pct": -1.4938,
    "realized_volatility": 0.01,
    "first_price": 10_770.8,
    "last_price": 10_609.9,
    "high": 10_800.0,
    "low": 10_600.0,
}
ALERT = Alert(
    rule="volume",
    venue="kraken_spot",
    symbol="BTC/USD",
    pane=1_561_939_564,
    severity="MEDIUM",
    threshold_micro_usd=1_000_000_000_000,
    episode=1_561_939_420,
    window_seconds=300,
    window_start=1_561_939_265,
    window_end=1_561_939_565,
    received_us=0,
    partition=0,
    offset=0,
    **FIGURES,
)
LIQUIDATION = msgspec.structs.replace(
    ALERT,
    rule="liquidation",
    venue="kraken_futures",
    symbol="PF_XBTUSD",
    liquidation_volume_micro_usd=1_500_000_000_000,
    liquidation_long_micro_usd=1_500_000_000_000,
)
SUMMARY = Summary(
    trades=2203,
    frames=5,
    duplicates=1,
    late=2,
    dead_letters=3,
    markets=1,
    windows=4,
    seconds=2.0,
    alerts={"LOW": 2, "MEDIUM": 1},
)


def test_alert_line_says_when_how_bad_where_and_what() -> None:
    """One line holds the time in UTC, the severity, the market and what happened."""
    assert alert_line(ALERT, colour=False) == (
        "2019-07-01 00:06:04 MEDIUM   kraken_spot BTC/USD  "
        "2.02 M USD traded in 5 min, 2.0x the threshold; price 10,609.9 (-1.49 %)"
    )


def test_spot_volume_is_not_called_liquidations() -> None:
    """Spot trades carry no liquidation label, so the word does not appear."""
    assert "liquidat" not in alert_line(ALERT, colour=False)


@pytest.mark.parametrize(
    ("long_musd", "words"),
    [
        (1_500_000, "1.50 M USD of longs liquidated"),
        (0, "1.50 M USD of shorts liquidated"),
        (1_000_000, "1.00 M USD of longs and 500 k USD of shorts liquidated"),
        (500_000, "500 k USD of longs and 1.00 M USD of shorts liquidated"),
    ],
)
def test_liquidations_name_their_side(long_musd: int, words: str) -> None:
    """A liquidation says who was liquidated, and counts the liquidated amount only."""
    alert = msgspec.structs.replace(
        LIQUIDATION,
        liquidation_long_micro_usd=long_musd * 1_000_000,
        liquidation_short_micro_usd=(1_500_000 - long_musd) * 1_000_000,
    )
    assert words in alert_line(alert, colour=False)
    assert "1.5x the threshold;" in alert_line(alert, colour=False)


def test_how_far_beyond_the_threshold_never_claims_a_severity_that_was_not_reached() -> None:
    """A micro-USD below twice the threshold is 1.9 times."""
    alert = msgspec.structs.replace(ALERT, total_volume_micro_usd=2 * ALERT.threshold_micro_usd - 1)
    assert "1.9x the threshold;" in alert_line(alert, colour=False)


def test_a_retracted_alert_says_so() -> None:
    """Its line shows figures below the threshold."""
    assert " the threshold (retracted); price " in alert_line(a_move(retracted=True), colour=False)


def test_colour_is_for_terminals() -> None:
    """With colour the severity stands out; without, no control character is written."""
    assert "\x1b[33mMEDIUM" in alert_line(ALERT, colour=True)
    assert "\x1b" not in alert_line(ALERT, colour=False)


def test_totals_sum_over_labels() -> None:
    """Figures of all venues are added up."""
    page = (
        "# TYPE liqmon_trades_total counter\n"
        'liqmon_trades_total{venue="a"} 40.0\n'
        'liqmon_trades_total{venue="b"} 2.0\n'
        "# TYPE liqmon_late_total counter\n"
        'liqmon_late_total{venue="a"} 1.0\n'
        "# TYPE liqmon_markets gauge\n"
        "liqmon_markets 7.0\n"
    )
    assert totals(page) == {"trades": 42, "frames": 0, "duplicates": 0, "late": 1, "markets": 7}


def test_a_worker_that_counted_nothing_has_zeros() -> None:
    """Its page has no series yet."""
    assert set(totals("").values()) == {0}


def test_what_could_not_be_read_is_unknown_not_nothing() -> None:
    """A worker that does not answer may have counted anything."""
    assert set(totals(None).values()) == {None}


def test_a_summary_says_which_figures_are_unknown() -> None:
    """Beside those that are known: never 0 trades with 3 alerts."""
    nothing = dict.fromkeys(("trades", "frames", "duplicates", "late", "markets", "windows"))
    assert str(msgspec.structs.replace(SUMMARY, **nothing)) == (
        "trades unknown, frames unknown, over 2.0 s, windows unknown\n"
        "3 alerts (2 LOW, 1 MEDIUM), duplicates unknown, late trades unknown, 3 dead letters"
    )
    unread = msgspec.structs.replace(SUMMARY, alerts=None, dead_letters=None)
    assert str(unread).splitlines()[1] == "alerts unknown, 1 duplicate, 2 late, dead letters unknown"


def test_a_report_holds_null_for_what_is_unknown(tmp_path: Path) -> None:
    """Alerts that could not be read are no empty list."""
    summary = msgspec.structs.replace(SUMMARY, trades=None, alerts=None)
    write_report(tmp_path / "report.json", summary, None)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["trades"], report["frames"], report["alerts"]) == (None, 5, None)


def test_summary_is_read_at_a_glance() -> None:
    """The summary names trades, frames, windows, alerts and rates."""
    assert str(SUMMARY) == (
        "2,203 trades in 5 frames over 2.0 s (1,102 trades/s, 2 frames/s), 4 windows of 1 market\n"
        "3 alerts (2 LOW, 1 MEDIUM), 1 duplicate, 2 late, 3 dead letters"
    )


def test_a_summary_counts_one_as_one_and_says_long_times_plainly() -> None:
    """No 1 frames, no 7,500.0 s."""
    one = msgspec.structs.replace(SUMMARY, trades=1, frames=1, dead_letters=1, seconds=7500.0, alerts={"LOW": 1})
    assert str(one) == (
        "1 trade in 1 frame over 2 h 5 min (0 trades/s, 0 frames/s), 4 windows of 1 market\n"
        "1 alert (1 LOW), 1 duplicate, 2 late, 1 dead letter"
    )


def test_report_keeps_every_digit(tmp_path: Path) -> None:
    """Amounts are JSON numbers with all their digits, times are ISO 8601, alerts are sorted by pane."""
    amount = Decimal("123456789012345.678901")
    at = datetime(2019, 7, 1, 0, 6, 4, tzinfo=UTC)
    row = {"pane": 2, "venue": "v", "symbol": "s", "rule": "r", "total_volume_usd": amount, "timestamp": at}
    row |= {"unit": "percent", "threshold_usd": Decimal(0)}
    write_report(tmp_path / "report.json", SUMMARY, [row, {**row, "pane": 1}])
    text = (tmp_path / "report.json").read_text()
    report = json.loads(text, parse_float=Decimal)
    assert [alert["pane"] for alert in report["alerts"]] == [1, 2]
    assert report["alerts"][0]["total_volume_usd"] == amount
    assert report["alerts"][0]["threshold_usd"] is None
    assert report["alerts"][0]["timestamp"] == "2019-07-01T00:06:04Z"
    assert {name: report[name] for name in ("trades", "frames", "duplicates", "late", "dead_letters")} == {
        "trades": 2203,
        "frames": 5,
        "duplicates": 1,
        "late": 2,
        "dead_letters": 3,
    }


def test_severities_are_counted() -> None:
    """Alert rows are counted by their severity."""
    assert count_severities([{"alert_severity": "LOW"}, {"alert_severity": "LOW"}]) == {"LOW": 2}
