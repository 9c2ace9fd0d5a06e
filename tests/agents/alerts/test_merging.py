"""Which of two rows of one alert stays: Postgres and :func:`supersedes` agree, also beside 0.1."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest

from agents.alerts.columns import COLUMNS, COVERED_SINCE, from_row, to_row
from agents.alerts.history import AlertHistory
from agents.alerts.postgres import Migration, migrate, migrations
from agents.alerts.recorder import Recorder, RecordOutcome
from streams.model.alert import Alert, supersedes
from streams.settings import Settings
from tests.agents.alerts import release_0_1
from tests.agents.factories import PANE, a_move, an_alert

SEEDS = 60
STATES = 14
ROWS = 'SELECT * FROM liquidation_alerts ORDER BY "timestamp", rule'


def states(random: Random, **identity: Any) -> list[Alert]:
    """Return states of one alert's row as Postgres meets them: mostly later ones, many of equal count."""
    rule = random.choice(("volume", "price_move"))
    return [
        an_alert(
            rule=rule,
            unit="percent" if rule == "price_move" else "usd",
            count=10 + number // 3 - random.choice((0, 0, 1)),
            offset=number + random.randint(1, 4),
            severity=random.choice(("LOW", "MEDIUM")),
            measured=random.choice((None, 400_000_000, 700_000_001)),
            retracted=random.random() < 0.4,
            raised_offset=random.choice((None, None, 1, 2)),
            threshold=300_000_000,
            threshold_micro_usd=0 if rule == "price_move" else 300_000_000,
            vwap=float(number),
            **identity,
        )
        for number in range(STATES)
    ]


async def test_postgres_keeps_the_row_that_supersedes_the_others(pool: asyncpg.Pool) -> None:
    """Whatever comes after what; the offset that raised the alert stays, and each replacement is one revision."""
    recorder = Recorder(pool, deliver=True)
    expected = []
    for seed in range(SEEDS):
        kept, *rest = states(Random(seed), pane=PANE + seed)
        assert await recorder.record(kept) is RecordOutcome.INSERTED
        revision = 1
        for number, state in enumerate(rest, 1):
            is_later = supersedes(state, kept)
            outcome = RecordOutcome.SUPERSEDED if is_later else RecordOutcome.IGNORED
            assert await recorder.record(state) is outcome, f"seed {seed}, state {number}: {kept}, then {state}"
            if is_later:
                raised = state.raised_offset if kept.raised_offset is None else kept.raised_offset
                kept = msgspec.structs.replace(state, raised_offset=raised)
                revision += 1
        expected.append((kept, revision))
    rows = await pool.fetch(ROWS)
    assert [(from_row(row), row["revision"]) for row in rows] == expected
    assert sum(revision for _, revision in expected) > 3 * SEEDS


async def test_settled_rows_leave_the_offset_that_raised_the_alert(pool: asyncpg.Pool) -> None:
    """The row that raised it says so; those that bring it up to date do not, nor does one that raises it again."""
    recorder = Recorder(pool, deliver=False)
    for count, offset, raised in ((10, 41, 41), (11, 50, None), (12, 60, 60)):
        await recorder.record(an_alert(count=count, offset=offset, raised_offset=raised))
    (row,) = await pool.fetch(ROWS)
    assert (row["count"], row["source_offset"], row["raised_offset"]) == (12, 60, 41)


async def test_since_when_a_market_is_counted_stays_in_the_row(pool: asyncpg.Pool) -> None:
    """Later figures bring theirs; a state of an earlier release, which does not know it, takes nothing away."""
    recorder = Recorder(pool, deliver=False)
    for count, since, kept in ((10, None, None), (11, PANE - 90, PANE - 90), (12, None, PANE - 90), (13, PANE, PANE)):
        await recorder.record(an_alert(count=count, covered_since=since))
        (row,) = await pool.fetch(ROWS)
        assert from_row(row).covered_since == kept


async def test_a_worker_of_the_release_before_writes_into_the_migrated_table(pool: asyncpg.Pool) -> None:
    """It leaves the column out: null in what it inserts, and as it was in what it brings up to date."""
    names = [column for column in COLUMNS if column != COVERED_SINCE]
    insert = f"""
        INSERT INTO liquidation_alerts AS present ({", ".join(f'"{name}"' for name in names)}, judged_count)
        VALUES ({", ".join(f"${at}" for at in range(1, len(names) + 1))}, ${names.index("count") + 1})
        ON CONFLICT (rule, venue, symbol, "timestamp") DO UPDATE
        SET count = EXCLUDED.count, judged_count = EXCLUDED.count, revision = present.revision + 1
        WHERE present.count < EXCLUDED.count
    """

    async def by_release_before(alert: Alert) -> None:
        await pool.execute(
            insert, *(value for name, value in zip(COLUMNS, to_row(alert), strict=True) if name in names)
        )

    history, young = AlertHistory(lambda: pool), an_alert(count=10, covered_since=PANE - 90)
    await by_release_before(young)
    (row,) = await history.latest(1)
    assert (row.covered_since, "since" in (row.sentence or "")) == (None, False)

    recorder = Recorder(pool, deliver=False)
    assert await recorder.record(msgspec.structs.replace(young, count=11)) is RecordOutcome.SUPERSEDED
    await by_release_before(msgspec.structs.replace(young, count=12))
    (row,) = await history.latest(1)
    assert (row.revision, row.covered_since) == (3, PANE - 90)
    assert (row.sentence or "").endswith(", of data since 00:04:34")


async def test_a_row_of_0_1_is_read_back(pool: asyncpg.Pool) -> None:
    """It has no new column: an alert in USD whose threshold is ``threshold_usd``."""
    alert = an_alert(count=10)
    assert await release_0_1.record(pool, alert) == 1
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == alert
    since = datetime.now(UTC) - timedelta(minutes=1)
    history = AlertHistory(lambda: pool)
    for (found,) in (await history.latest(1), await history.changed_since(since)):
        said = msgspec.structs.asdict(found)
        assert (
            said.items()
            >= {
                "rule": "volume",
                "pane": PANE,
                "alert_severity": "MEDIUM",
                "delivery": "pending",
                "threshold_usd": 1_000_000.0,
                "total_volume_usd": 2023806.241207,
                "unit": "usd",
                "raised_offset": None,
                "retracted": False,
            }.items()
        )


async def test_0_1_and_later_releases_bring_rows_of_each_other_up_to_date(pool: asyncpg.Pool) -> None:
    """The higher count stays, whoever counted; what only this release knows is there once it has written last."""
    recorder = Recorder(pool, deliver=True)
    told = an_alert(count=11, threshold=10**12, measured=2 * 10**12, cooldown_seconds=300, raised_offset=41)
    await release_0_1.record(pool, an_alert(count=10))
    assert await recorder.record(told) is RecordOutcome.SUPERSEDED
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == told

    assert await release_0_1.record(pool, an_alert(count=11)) is None
    assert await release_0_1.record(pool, an_alert(count=12, severity="HIGH")) == 3
    (row,) = await pool.fetch(ROWS)
    assert (row["count"], row["alert_severity"], row["raised_offset"], row["unit"]) == (12, "HIGH", 41, "usd")

    fuller = msgspec.structs.replace(told, count=13, severity="HIGH", measured=5 * 10**12, raised_offset=None)
    assert await recorder.record(fuller) is RecordOutcome.SUPERSEDED
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == msgspec.structs.replace(fuller, raised_offset=41)
    assert await pool.fetchval("SELECT severity FROM alert_outbox") == "HIGH"


@pytest.mark.parametrize("rule", ["volume", "liquidation"])
@pytest.mark.parametrize("severity", ["MEDIUM", "HIGH"])
async def test_what_a_row_measured_follows_its_figures_whoever_writes_them(
    pool: asyncpg.Pool, rule: str, severity: str
) -> None:
    """0.1 does not know the column; without more, the row would say what fewer trades had measured."""
    amount = "total_volume_micro_usd" if rule == "volume" else "liquidation_volume_micro_usd"
    told = an_alert(
        rule=rule, count=10, threshold=10**12, measured=2 * 10**12, severity_step=2 * 10**12, cooldown_seconds=300,
        **{amount: 2 * 10**12},
    )  # fmt: skip
    await Recorder(pool, deliver=False).record(told)
    fuller = an_alert(rule=rule, count=11, severity=severity, **{amount: 6 * 10**12})
    assert await release_0_1.record(pool, fuller) == 2
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == msgspec.structs.replace(
        fuller,
        threshold=10**12,
        measured=6 * 10**12,
        severity_step=2 * 10**12 if severity == told.severity else None,
        cooldown_seconds=300,
    )


@pytest.fixture
async def pool_of_0_1(settings: Settings) -> Any:
    """Give a pool on a database that 0.1 has migrated."""
    async with asyncpg.create_pool(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=settings.postgres_db,
        min_size=1,
        max_size=2,
    ) as pool:
        await migrate(pool, migrations()[: release_0_1.MIGRATIONS])
        yield pool


async def test_migrating_fills_what_the_rows_of_both_rules_measured(pool_of_0_1: asyncpg.Pool) -> None:
    """What they compared and with what; what nobody wrote down stays unknown, and nothing else changes."""
    pool = pool_of_0_1
    volume = an_alert(pane=1000, threshold_micro_usd=1_000_000_000_001)
    liquidation = an_alert(
        rule="liquidation", symbol="PF_XBTUSD", pane=2000, liquidation_volume_micro_usd=250_000_000_001,
        threshold_micro_usd=250_000_000_000,
    )  # fmt: skip
    for alert in (volume, liquidation):
        await release_0_1.record(pool, alert)
    before = [dict(row) for row in await pool.fetch(ROWS)]
    outbox = [dict(row) for row in await pool.fetch("SELECT * FROM alert_outbox ORDER BY rule")]

    later: list[Migration] = migrations()[release_0_1.MIGRATIONS :]
    assert await migrate(pool) == [step.name for step in later]
    rows = await pool.fetch(ROWS)
    assert [{name: row[name] for name in before[0]} for row in rows] == before
    assert [dict(row) for row in await pool.fetch("SELECT * FROM alert_outbox ORDER BY rule")] == [
        {**row, "retracted": False, "posted_retracted": False, "digest_id": None, "claimed_attempt": None}
        for row in outbox
    ]
    assert [(row["threshold"], row["measured"]) for row in rows] == [
        (Decimal("1000000.000001"), Decimal("2023806.241207")),
        (Decimal("250000"), Decimal("250000.000001")),
    ]
    for row in rows:
        assert (row["unit"], row["retracted"]) == ("usd", False)
        assert (row["severity_step"], row["cooldown_seconds"], row["raised_offset"]) == (None, None, None)
    assert [from_row(row) for row in rows] == [
        msgspec.structs.replace(volume, threshold=1_000_000_000_001, measured=2_023_806_241_207),
        msgspec.structs.replace(liquidation, threshold=250_000_000_000, measured=250_000_000_001),
    ]


async def test_a_migrated_database_takes_rows_in_another_unit(pool_of_0_1: asyncpg.Pool) -> None:
    """Their threshold in USD is 0, which 0.1 can read; and that one still inserts."""
    pool = pool_of_0_1
    await migrate(pool)
    move = an_alert(
        rule="price_move", unit="percent", threshold=400_000_000, threshold_micro_usd=0, measured=1_493_853_753,
        severity_step=800_000_000, cooldown_seconds=300, raised_offset=41,
    )  # fmt: skip
    await Recorder(pool, deliver=False).record(move)
    await release_0_1.record(pool, an_alert())
    moved, volume = await pool.fetch(ROWS)
    assert (moved["threshold_usd"], moved["threshold"]) == (0, Decimal("0.4"))
    assert [from_row(moved), from_row(volume)] == [move, an_alert()]


async def test_a_price_move_that_0_1_recorded_says_what_is_known(pool: asyncpg.Pool) -> None:
    """Its unit, and neither a threshold nor a measured value: nobody wrote them down."""
    assert await release_0_1.record(pool, a_move(count=10)) == 1
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == a_move(count=10, threshold=None, measured=None)
    (found,) = await AlertHistory(lambda: pool).latest(1)
    assert (found.unit, found.threshold, found.measured, found.threshold_usd) == ("percent", None, None, None)
    assert found.what == "price moved +0.80 %"


async def test_a_price_move_that_0_1_recorded_is_completed(pool: asyncpg.Pool) -> None:
    """By the next message of it that this release gets, be it the same one; once."""
    told = a_move(count=10, severity_step=400_000_000, cooldown_seconds=300, raised_offset=41)
    await release_0_1.record(pool, told)
    recorder = Recorder(pool, deliver=True)
    assert await recorder.record(told) is RecordOutcome.SUPERSEDED
    assert await recorder.record(told) is RecordOutcome.IGNORED
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == told
    assert row["threshold_usd"] == 0


async def test_what_a_price_move_measured_is_unknown_once_0_1_has_fuller_figures(
    pool: asyncpg.Pool,
) -> None:
    """It would be that of fewer trades; the next message that this release gets says it again."""
    recorder = Recorder(pool, deliver=True)
    await recorder.record(a_move(count=10))
    fuller = a_move(count=11, price_change_pct=-0.95, measured=950_000_000)
    assert await release_0_1.record(pool, fuller) == 2
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == msgspec.structs.replace(fuller, measured=None)
    assert await recorder.record(fuller) is RecordOutcome.SUPERSEDED
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == fuller


@pytest.mark.parametrize(("unit", "threshold_micro_usd"), [("count", 0), ("percent", 0), ("usd", 3_000_000)])
async def test_a_rule_of_any_later_release_needs_no_line_in_the_schema(
    pool: asyncpg.Pool, unit: str, threshold_micro_usd: int
) -> None:
    """0.1 records its alert, and brings it up to date: of the rest the row says that it is unknown."""
    recorder = Recorder(pool, deliver=True)
    told = an_alert(
        rule="spread", unit=unit, count=10, threshold=3_000_000, threshold_micro_usd=threshold_micro_usd,
        measured=4_000_000, severity_step=3_000_000, cooldown_seconds=300, raised_offset=41,
    )  # fmt: skip
    await release_0_1.record(pool, told)
    (row,) = await pool.fetch(ROWS)
    assert (row["unit"], row["threshold"], row["measured"]) == ("usd" if unit == "usd" else None, None, None)
    assert from_row(row).unit == ("usd" if unit == "usd" else "")
    assert await recorder.record(told) is RecordOutcome.SUPERSEDED
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == told
    await release_0_1.record(pool, msgspec.structs.replace(told, count=11, severity="HIGH"))
    (row,) = await pool.fetch(ROWS)
    kept = from_row(row)
    assert (kept.unit, kept.threshold, kept.measured, kept.severity_step) == (unit, 3_000_000, None, None)
    again = msgspec.structs.replace(told, count=11, severity="HIGH", severity_step=6_000_000)
    assert await recorder.record(again) is RecordOutcome.SUPERSEDED
    (row,) = await pool.fetch(ROWS)
    assert from_row(row) == again


async def test_a_price_move_that_turned_keeps_what_it_measured(pool: asyncpg.Pool) -> None:
    """Fuller figures may measure the same, up or down."""
    recorder = Recorder(pool, deliver=True)
    for count, change in ((10, 0.8), (11, -0.8)):
        await recorder.record(a_move(count=count, price_change_pct=change))
    (row,) = await pool.fetch(ROWS)
    assert row["measured"] == Decimal("0.8")


async def test_0_1_can_read_a_price_move(pool: asyncpg.Pool) -> None:
    """It takes no column of its own for null, so its notifier keeps no message in hand and its web view answers."""
    await Recorder(pool, deliver=True).record(a_move())
    claimed = await release_0_1.claim(pool)
    assert claimed is not None
    assert [column for column in release_0_1.COLUMNS if claimed[column] is None] == []


async def test_what_the_rule_saw_stays_where_settings_have_changed_since(pool: asyncpg.Pool) -> None:
    """A row that is brought up to date under another threshold keeps its own, and is not retracted by the new one."""
    recorder = Recorder(pool, deliver=True)
    seen = {"threshold": 10**12, "severity_step": 10**12, "cooldown_seconds": 300, "severity": "LOW"}
    await recorder.record(an_alert(count=10, offset=1, measured=11 * 10**11, **seen))
    later = {
        "threshold": 5 * 10**12,
        "severity_step": 5 * 10**12,
        "cooldown_seconds": 60,
        "threshold_micro_usd": 5 * 10**12,
    }
    await recorder.record(an_alert(count=11, offset=2, measured=12 * 10**11, retracted=True, severity="LOW", **later))
    (row,) = await pool.fetch(ROWS)
    kept = msgspec.structs.asdict(from_row(row))
    assert {name: kept[name] for name in seen} == seen
    assert (kept["threshold_micro_usd"], kept["measured"], kept["retracted"]) == (10**12, 12 * 10**11, False)
