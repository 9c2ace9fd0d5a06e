"""Old rows go in batches, however many there are; what is kept and what is still to be told stays."""

import asyncio
import logging
from typing import Any

import asyncpg
import pytest

from agents.alerts.recorder import Recorder
from agents.stats import pruning
from agents.stats.pruning import Kept, Pruner, kept
from agents.stats.window_stats import WindowStats
from streams import metrics
from streams.errors import Outage
from streams.settings import Settings
from tests.agents.factories import PANE, an_alert
from tests.agents.stats.test_window_stats import NOW, a_sample
from tests.waiting import until

DAY = 86_400
MANY = 300_000
LIMIT_SECONDS = 0.05
OLD_STATEMENT = "DELETE FROM window_stats WHERE sampled_at < now() - make_interval(days => 30)"


@pytest.fixture
def tables(settings: Settings) -> dict[str, Kept]:
    """Give what is pruned where alerts are kept for a hundred days."""
    return {one.table: one for one in kept(settings.model_copy(update={"alert_retention_days": 100}))}


async def fill(pool: asyncpg.Pool, rows: int, *, days_ago: int) -> None:
    """Write so many samples, ten a second, the first of them so many days old."""
    await WindowStats(pool).write([a_sample(sampled_at=NOW - days_ago * DAY)])
    columns = await pool.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'window_stats' ORDER BY ordinal_position"
    )
    names = [row["column_name"] for row in columns]
    values = dict(zip(names, names, strict=True)) | {
        "symbol": "(number % 10)::text",
        "sampled_at": "sampled_at + number / 10 * interval '1 second'",
    }
    await pool.execute(
        f"INSERT INTO window_stats ({', '.join(names)}) SELECT {', '.join(values.values())}"
        " FROM window_stats, generate_series(1, $1::integer - 1) AS number",
        rows,
        timeout=60,
    )


async def count(pool: asyncpg.Pool, table: str = "window_stats") -> int:
    """Return how many rows a table has."""
    return int(await pool.fetchval(f"SELECT count(*) FROM {table}"))


def overdue(table: str = "window_stats") -> float | None:
    """Return what is exported of the oldest row."""
    return metrics.REGISTRY.get_sample_value("liqmon_prune_overdue_seconds", {"table": table})


def pruned(table: str = "window_stats") -> float:
    """Return how many rows are exported as deleted."""
    return metrics.REGISTRY.get_sample_value("liqmon_pruned_rows_total", {"table": table}) or 0.0


async def test_more_rows_than_one_statement_can_delete_go(
    pool: asyncpg.Pool, tables: dict[str, Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one DELETE for all of them always met its limit, batches within the same limit get done."""
    monkeypatch.setattr(pruning, "PAUSE_SECONDS", 0)
    await fill(pool, MANY, days_ago=60)
    await WindowStats(pool).write([a_sample(), a_sample(sampled_at=NOW - 29 * DAY)])
    # As Postgres does by itself for a table that grew over weeks.
    await pool.execute("ANALYZE window_stats")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await pool.execute(OLD_STATEMENT, timeout=LIMIT_SECONDS)
    assert await count(pool) == MANY + 2
    before = pruned()
    pruner = Pruner(pool, [], batch_seconds=LIMIT_SECONDS, rows=2000)
    total = await pruner.prune(tables["window_stats"])
    assert await count(pool) == 2
    # A batch whose answer came too late is deleted, and not counted.
    assert MANY * 0.9 < total <= MANY
    assert pruned() == before + total
    assert overdue() == 0


async def test_a_batch_that_takes_too_long_is_halved(
    pool: asyncpg.Pool, tables: dict[str, Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk gets done too; at the smallest batch the outage is said, and the metric tells how late it is."""
    await fill(pool, 1000, days_ago=60)
    busy = "SELECT pg_sleep(CASE WHEN $3::bigint > 250 THEN 60 ELSE 0 END)"
    delete = tables["window_stats"].delete.replace("WITH gone", f"WITH busy AS MATERIALIZED ({busy}), gone")
    slow = tables["window_stats"]._replace(delete=delete.replace("FROM gone", "FROM gone, busy"))
    pruner = Pruner(pool, [slow], batch_seconds=0.5, rows=1000)
    assert await pruner.prune(slow) == 1000
    assert pruner._rows == 250
    await fill(pool, 1000, days_ago=60)
    monkeypatch.setattr(pruning, "LEAST_ROWS", 1000)
    with pytest.raises(Outage, match="pruning window_stats"):
        await Pruner(pool, [slow], batch_seconds=0.1, rows=1000).prune(slow)
    assert 29 * DAY < (overdue() or 0) < 31 * DAY


async def test_workers_share_the_work(pool: asyncpg.Pool, tables: dict[str, Kept]) -> None:
    """Each row is deleted once, and nobody waits for another."""
    await fill(pool, 5000, days_ago=60)
    one = tables["window_stats"]
    found = await asyncio.gather(*(Pruner(pool, [one], rows=500).prune(one) for _ in range(3)))
    assert await Pruner(pool, [one]).prune(one) + sum(found) == 5000
    assert await count(pool) == 0


async def test_alerts_go_with_their_messages(pool: asyncpg.Pool, tables: dict[str, Kept]) -> None:
    """Counted from their last change, not from when they happened: a recording is of long ago."""
    recorder = Recorder(pool, deliver=True)
    for number in range(4):
        await recorder.record(an_alert(pane=PANE + number))
    await pool.execute("UPDATE alert_outbox SET state = 'sent', message_id = '1'")
    old = "now() - interval '101 days'"
    for number in (0, 1, 2):
        at = f'WHERE "timestamp" = to_timestamp({PANE + number})'
        await pool.execute(f"UPDATE liquidation_alerts SET updated_at = {old} {at}")
        if number != 1:
            await pool.execute(f"UPDATE alert_outbox SET updated_at = {old} {at}")
    await pool.execute(f"UPDATE alert_outbox SET state = 'pending' WHERE \"timestamp\" = to_timestamp({PANE + 2})")
    one = tables["liquidation_alerts"]
    assert await Pruner(pool, [one], rows=100).prune(one) == 1
    for table in ("liquidation_alerts", "alert_outbox"):
        panes = await pool.fetch(f'SELECT extract(epoch FROM "timestamp")::bigint AS pane FROM {table} ORDER BY pane')
        assert [row["pane"] for row in panes] == [PANE + number for number in (1, 2, 3)]


def test_alerts_are_kept_for_ever_unless_a_setting_says_otherwise(settings: Settings) -> None:
    """Samples are not."""
    assert [one.table for one in kept(settings)] == ["window_stats"]


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM nowhere WHERE $1 < $2 LIMIT $3", "SELECT 1 / 0 WHERE $1 < $2 LIMIT $3"],
    ids=["no such table", "a value that it refuses"],
)
async def test_it_is_done_at_the_start_and_a_failure_is_tried_again(
    pool: asyncpg.Pool,
    tables: dict[str, Kept],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    statement: str,
) -> None:
    """One table that fails does not keep another from its turn, whatever the server has against it."""
    monkeypatch.setattr(pruning, "RETRY_SECONDS", 0.01)
    caplog.set_level(logging.WARNING)
    await fill(pool, 100, days_ago=60)
    broken: Any = tables["liquidation_alerts"]._replace(delete=statement)
    stop = asyncio.Event()
    before = pruned()
    running = asyncio.create_task(Pruner(pool, [broken, tables["window_stats"]]).run(stop))
    await until(lambda: pruned() == before + 100 and caplog.text.count("stay for now") >= 2)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert "old rows of liquidation_alerts stay for now" in caplog.text
