"""Alerts become rows: one an alert, the fullest figures win, and the outbox follows in the same statement."""

import asyncio
import random
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.alerts.columns import COLUMNS, from_row, to_row
from agents.alerts.recorder import Recorder, RecordOutcome, alert_rows
from streams import metrics
from streams.errors import BadRecord, Outage
from streams.model.alert import Alert, AlertId, decode_alert
from tests.agents.factories import PANE, an_alert

IDENTITY = AlertId("volume", "kraken_spot", "BTC/USD", PANE)


@pytest.fixture
def recorder(pool: asyncpg.Pool) -> Recorder:
    """Give a recorder whose alerts are to be delivered."""
    return Recorder(pool, deliver=True)


async def outbox(pool: asyncpg.Pool, pane: int = PANE) -> dict[str, Any]:
    """Return the outbox row of the alert at a pane."""
    moment = datetime.fromtimestamp(pane, UTC)
    row = await pool.fetchrow('SELECT * FROM alert_outbox WHERE "timestamp" = $1', moment)
    assert row is not None
    return dict(row)


async def test_a_row_holds_exactly_what_the_alert_says(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """Money is exact to the micro-USD, times are the pane's and the window's."""
    assert await recorder.record(an_alert()) is RecordOutcome.INSERTED
    (row,) = await alert_rows(pool, [IDENTITY])
    assert row["timestamp"] == datetime.fromtimestamp(PANE, UTC)
    assert row["pane"] == PANE
    assert row["total_volume_usd"] == Decimal("2023806.241207")
    assert row["largest_trade_usd"] == Decimal(107_250)
    assert row["vwap"] == 10705.537729348083
    assert row["alert_severity"] == "MEDIUM"
    assert (row["window_start"].timestamp(), row["window_end"].timestamp()) == (PANE - 299, PANE + 1)
    assert (row["source_partition"], row["source_offset"], row["count"]) == (2, 41, 469)
    assert row["delivery"] == "pending"
    assert from_row(row) == an_alert()


async def test_the_largest_amounts_are_exact(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """An amount of 24 digits comes back to the last one."""
    await recorder.record(an_alert(total_volume_micro_usd=999_999_999_999_999_999_999_999))
    (row,) = await alert_rows(pool, [IDENTITY])
    assert row["total_volume_usd"] == Decimal("999999999999999999.999999")


async def test_a_repeated_message_changes_nothing(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """Processing a frame again emits its alert again; the row stays as it is."""
    await recorder.record(an_alert())
    before = await alert_rows(pool, [IDENTITY])
    assert await recorder.record(an_alert()) is RecordOutcome.IGNORED
    assert await alert_rows(pool, [IDENTITY]) == before


async def test_a_fuller_window_supersedes_and_a_poorer_one_does_not(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """Windows only gain trades: whatever order the messages come in, the one with the highest count remains."""
    messages = [an_alert(count=count, total_volume_micro_usd=count) for count in range(1, 12)]
    random.Random(7).shuffle(messages)
    for message in messages:
        await recorder.record(message)
    (row,) = await alert_rows(pool, [IDENTITY])
    assert (row["count"], row["total_volume_usd"]) == (11, Decimal("0.000011"))
    assert await recorder.record(an_alert(count=5)) is RecordOutcome.IGNORED


async def test_many_workers_with_the_same_alerts_make_one_row_each(pool: asyncpg.Pool) -> None:
    """Replicas that record the same alerts at once leave one row and one message an alert, with the fullest figures."""
    recorders = [Recorder(pool, deliver=True) for _ in range(4)]
    messages = [an_alert(pane=PANE + pane, count=count) for pane in range(5) for count in (1, 2, 3)] * 4
    random.Random(3).shuffle(messages)
    outcomes = await asyncio.gather(
        *(recorders[number % 4].record(message) for number, message in enumerate(messages)), return_exceptions=True
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert outcomes.count(RecordOutcome.INSERTED) == 5
    rows = await pool.fetch("SELECT count FROM liquidation_alerts")
    assert [row["count"] for row in rows] == [3] * 5
    assert await pool.fetchval("SELECT count(*) FROM alert_outbox") == 5


async def test_without_a_webhook_the_message_is_disabled(pool: asyncpg.Pool) -> None:
    """The alert is in Postgres, and its delivery says why nobody was told."""
    await Recorder(pool, deliver=False).record(an_alert())
    (row,) = await alert_rows(pool, [IDENTITY])
    assert row["delivery"] == "disabled"


async def test_rising_severity_wants_an_edit_of_a_sent_message(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """A pane that goes on to a higher severity after its message was sent makes the message pending again."""
    await recorder.record(an_alert(severity="LOW", count=10))
    await pool.execute("UPDATE alert_outbox SET state = 'sent', message_id = '1', posted_severity = 'LOW'")
    await recorder.record(an_alert(severity="LOW", count=11))
    assert (await outbox(pool))["state"] == "sent"
    await recorder.record(an_alert(severity="HIGH", count=12))
    row = await outbox(pool)
    assert (row["state"], row["severity"], row["message_id"]) == ("pending", "HIGH", "1")


async def test_an_unknown_message_that_rises_is_sent_as_a_possible_duplicate(
    pool: asyncpg.Pool, recorder: Recorder
) -> None:
    """A LOW alert whose delivery is unknown is not repeated, but once it is HIGH it must arrive."""
    await recorder.record(an_alert(severity="LOW", count=10))
    await pool.execute("UPDATE alert_outbox SET state = 'unknown'")
    await recorder.record(an_alert(severity="HIGH", count=12))
    row = await outbox(pool)
    assert (row["state"], row["possible_duplicate"]) == ("pending", True)


@pytest.mark.parametrize("state", ["dead", "disabled"])
async def test_what_is_never_delivered_stays_so(pool: asyncpg.Pool, recorder: Recorder, state: str) -> None:
    """A rising severity does not revive a message of a dead webhook."""
    await recorder.record(an_alert(severity="LOW", count=10))
    await pool.execute("UPDATE alert_outbox SET state = $1", state)
    await recorder.record(an_alert(severity="HIGH", count=12))
    assert (await outbox(pool))["state"] == state


async def test_an_escalation_marks_the_earlier_messages_of_its_episode(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """A later pane of the episode with a higher severity is told on the earlier message; other episodes are left."""
    await recorder.record(an_alert(severity="LOW"))
    await recorder.record(an_alert(severity="LOW", pane=PANE - 1000))
    await recorder.record(an_alert(severity="LOW", symbol="ETH/USD", pane=PANE - 5, episode=PANE))
    await pool.execute("UPDATE alert_outbox SET state = 'sent', message_id = '1'")
    await recorder.record(an_alert(severity="HIGH", pane=PANE + 60, episode=PANE))
    first = await outbox(pool)
    assert (first["state"], first["escalated_to"], first["severity"]) == ("pending", "HIGH", "LOW")
    later = await outbox(pool, PANE + 60)
    assert (later["state"], later["escalated_to"]) == ("pending", None)
    for pane in (PANE - 1000, PANE - 5):
        assert (await outbox(pool, pane))["state"] == "sent"


async def test_alerts_that_come_together_are_recorded_as_one_after_another(
    pool: asyncpg.Pool, recorder: Recorder
) -> None:
    """In their order, each of them seeing those before: copies, fuller figures, and a more severe one of an episode."""
    alerts = [
        an_alert(severity="LOW", episode=PANE),
        an_alert(severity="LOW", episode=PANE),
        an_alert(severity="MEDIUM", episode=PANE, count=1000),
        an_alert(severity="LOW", symbol="ETH/USD"),
        an_alert(severity="HIGH", pane=PANE + 60, episode=PANE),
    ]
    inserted, superseded = RecordOutcome.INSERTED, RecordOutcome.SUPERSEDED
    assert await recorder.record_all(alerts) == [inserted, RecordOutcome.IGNORED, superseded, inserted, inserted]
    together = await kept(pool)
    await pool.execute("TRUNCATE liquidation_alerts, alert_outbox CASCADE")
    for alert in alerts:
        await recorder.record(alert)
    assert await kept(pool) == together
    assert [row["escalated_to"] for row in together] == ["HIGH", None, None]


async def kept(pool: asyncpg.Pool) -> list[dict[str, Any]]:
    """Return the rows and their messages without the times of writing."""
    rows = await pool.fetch("SELECT * FROM liquidation_alerts JOIN alert_outbox USING (rule, venue, symbol, timestamp)")
    written = ("recorded_at", "updated_at", "wanted_at", "created_at", "not_before")
    plain = [{name: value for name, value in row.items() if name not in written} for row in rows]
    return sorted(plain, key=lambda row: (row["symbol"], row["timestamp"]))


async def test_of_alerts_that_come_together_all_are_recorded_or_none(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """Where one of them cannot be, nothing of the others is left."""
    with pytest.raises(BadRecord):
        await recorder.record_all([an_alert(), an_alert(symbol="ETH/USD", count=2**63), an_alert(symbol="SOL/USD")])
    assert await pool.fetchval("SELECT count(*) FROM alert_outbox") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"total_volume_micro_usd": 10**30},
        {"pane": 10**12},
        {"count": 2**63},
        {"symbol": "BTC\0USD"},
        {"severity": "URGENT"},
        {"window_seconds": 2**40},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_poison_alert_is_a_bad_record(pool: asyncpg.Pool, recorder: Recorder, wrong: dict[str, Any]) -> None:
    """Figures that no row can hold raise BadRecord, leave nothing, and the next alert is recorded."""
    with pytest.raises(BadRecord):
        await recorder.record(an_alert(**wrong))
    assert await recorder.record(an_alert()) is RecordOutcome.INSERTED
    assert await pool.fetchval("SELECT count(*) FROM alert_outbox") == 1


async def test_a_lost_server_is_an_outage(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """A recorder without Postgres says so in time, for its caller to try again."""
    await pool.close()
    with pytest.raises(Outage):
        await recorder.record(an_alert())


async def test_latency_is_observed_for_new_live_alerts_only(recorder: Recorder) -> None:
    """Event-to-row seconds count a first insertion of something just received; never an update nor an old recording."""

    def observed() -> float:
        return metrics.REGISTRY.get_sample_value("liqmon_event_to_row_seconds_count") or 0.0

    before = observed()
    now_us = time.time_ns() // 1000
    await recorder.record(an_alert(received_us=now_us - 20_000))
    assert observed() == before + 1
    await recorder.record(an_alert(received_us=now_us, count=1000))
    await recorder.record(an_alert(received_us=now_us - 7_200_000_000, pane=PANE + 1))
    await recorder.record(an_alert(received_us=now_us + 60_000_000, pane=PANE + 2))
    assert observed() == before + 1


async def test_recording_wakes_the_notifier(pool: asyncpg.Pool) -> None:
    """A new row sets the event; a repeated message does not."""
    wake = asyncio.Event()
    recorder = Recorder(pool, deliver=True, wake=wake)
    await recorder.record(an_alert())
    assert wake.is_set()
    wake.clear()
    await recorder.record(an_alert())
    assert not wake.is_set()


async def test_rows_read_back_are_those_asked_for(pool: asyncpg.Pool, recorder: Recorder) -> None:
    """Reading by identity returns them by pane, without those that do not exist."""
    for pane in (PANE + 2, PANE, PANE + 1):
        await recorder.record(an_alert(pane=pane))
    wanted = [AlertId("volume", "kraken_spot", "BTC/USD", pane) for pane in (PANE + 2, PANE, PANE + 77)]
    assert [row["pane"] for row in await alert_rows(pool, wanted)] == [PANE, PANE + 2]
    assert await alert_rows(pool, []) == []


def test_a_message_is_read_back() -> None:
    """What the monitor sends as JSON is the same alert again."""
    assert decode_alert(msgspec.json.encode(an_alert())) == an_alert()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"{}", "wrong_type"),
        (b"[1]", "wrong_type"),
        (b'{"a":' * 5000, "not_json"),
    ],
)
def test_what_is_no_alert_is_a_bad_record(data: bytes, reason: str) -> None:
    """Bytes that are no alert raise BadRecord with the reason for the dead letters."""
    with pytest.raises(BadRecord) as raised:
        decode_alert(data)
    assert raised.value.reason == reason


AMOUNT = st.integers(min_value=-(10**24) + 1, max_value=10**24 - 1)
SECONDS = st.integers(min_value=-62_135_596_800, max_value=253_402_300_799)


@given(
    st.builds(
        Alert,
        **{name: AMOUNT for name in Alert.__struct_fields__ if name.endswith("_micro_usd")},
        pane=SECONDS, episode=SECONDS, window_start=SECONDS, window_end=SECONDS, received_us=st.just(0),
    )
)  # fmt: skip
def test_an_alert_survives_the_way_through_a_row(alert: Alert) -> None:
    """Turning an alert into a row and back loses nothing, to the last micro-USD and second."""
    back = from_row(dict(zip(COLUMNS, to_row(alert), strict=True)))
    assert msgspec.json.encode(back) == msgspec.json.encode(alert)


@pytest.mark.parametrize("name", ["rule", "venue", "symbol", "severity", "unit"])
@pytest.mark.parametrize("text", ["", "a|b", "line\nfeed", "\x1b[31mred", "x" * 65])
def test_an_alert_whose_names_no_market_has_is_refused(name: str, text: str) -> None:
    """Whoever may write to the topic could else put anything on terminals and into messages."""
    with pytest.raises(BadRecord, match="not an alert: rule, venue, symbol, severity and unit must be"):
        decode_alert(msgspec.json.encode(an_alert(**{name: text})))
