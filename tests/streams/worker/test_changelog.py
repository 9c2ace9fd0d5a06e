"""Changelogs on their way to the stores: fetch by fetch, of what is served and what is kept to stand by."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from streams.app import create_app
from streams.monitor_app import MonitorApp
from streams.settings import load_settings
from streams.topics import APP_ID
from streams.worker.changelog import Fetched, fetched_of
from tables.market.chunks import Head, encode, head_key, prefix

ACTIVE, STANDBY, ELSEWHERE = (TP(f"{APP_ID}-panes-changelog", partition) for partition in range(3))
KEY = head_key("kraken_spot", "BTC/USD")


def fetched(place: TP, *offsets: int) -> Fetched:
    """Return a fetch of heads that contain their changelog offset."""
    records = [
        ConsumerRecord(place.topic, place.partition, at, 0, 0, KEY, encode(Head(at, 0, {})), None, 1, 1, ())
        for at in offsets
    ]
    return fetched_of(place, records)


async def stored(app: MonitorApp, place: TP) -> list[int]:
    """Return the changelog offsets of what a partition's store holds."""
    items = await app.panes.data.load(place.partition, prefix("kraken_spot", "BTC/USD"))
    return [at for at in range(100) if (KEY, encode(Head(at, 0, {}))) in items]


@pytest.fixture
async def app(tmp_path: Path) -> MonitorApp:
    """Give an application, not started, that restores one partition up to offset 9 and keeps another to stand by."""
    app = create_app(load_settings(data_dir=tmp_path, table_store="memory://", web_port=0))
    app.tables._changelogs = {ACTIVE.topic: app.panes}
    recovery = app.tables.recovery
    recovery.add_active(app.panes, ACTIVE)
    recovery.add_standby(app.panes, STANDBY)
    recovery.active_offsets[ACTIVE] = recovery.standby_offsets[STANDBY] = -1
    recovery.active_highwaters[ACTIVE] = recovery.standby_highwaters[STANDBY] = 9
    recovery._set_recovery_started()
    return app


async def test_what_was_fetched_is_in_the_store_at_once(app: MonitorApp) -> None:
    """Nothing waits in a queue that a rebalance would empty."""
    app.restore(ACTIVE, fetched(ACTIVE, 0, 1, 4))
    assert await stored(app, ACTIVE) == [4]
    assert app.tables.recovery.active_offsets[ACTIVE] == 4


async def test_a_restore_ends_with_the_last_record_and_no_other_ends_it(app: MonitorApp) -> None:
    """The last record of the log as it was when the restore began; a standby's records count for themselves."""
    recovery = app.tables.recovery
    app.restore(ACTIVE, fetched(ACTIVE, *range(9)))
    app.restore(STANDBY, fetched(STANDBY, *range(12)))
    assert recovery.in_recovery
    assert not recovery.signal_recovery_end.is_set()
    app.restore(ACTIVE, fetched(ACTIVE, 9))
    assert not recovery.in_recovery
    await asyncio.wait_for(recovery.signal_recovery_end.wait(), 1)


async def test_the_end_of_one_restore_does_not_end_the_next(app: MonitorApp) -> None:
    """Partitions moved again: there is more to read."""
    app.restore(ACTIVE, fetched(ACTIVE, *range(10)))
    recovery = app.tables.recovery
    recovery.active_highwaters[ACTIVE] = 20
    recovery._set_recovery_started()
    assert not recovery.signal_recovery_end.is_set()
    app.restore(ACTIVE, fetched(ACTIVE, *range(10, 21)))
    assert recovery.signal_recovery_end.is_set()


async def test_a_standby_says_how_far_it_is(app: MonitorApp) -> None:
    """It is ready once it has all that there was, and goes on with what the owner writes."""
    app.restore(STANDBY, fetched(STANDBY, 0, 3))
    assert app.tables.recovery.standby_offsets[STANDBY] == 3
    assert not app.tables.standbys_ready
    app.restore(STANDBY, fetched(STANDBY, 4, 9))
    assert app.tables.standbys_ready
    app.restore(STANDBY, fetched(STANDBY, 10))
    assert await stored(app, STANDBY) == [10]


async def test_what_the_store_has_is_not_applied_again(app: MonitorApp) -> None:
    """A restore begins with the last record that the store has."""
    app.tables.recovery.active_offsets[ACTIVE] = 4
    for offsets in ((3,), (4,), (3, 4)):
        app.restore(ACTIVE, fetched(ACTIVE, *offsets))
    assert await stored(app, ACTIVE) == []
    app.restore(ACTIVE, fetched(ACTIVE, 4, 5))
    assert await stored(app, ACTIVE) == [5]


async def test_what_is_neither_served_nor_kept_is_passed_over(app: MonitorApp) -> None:
    """Faust would give it to the store of the record before."""
    app.restore(ELSEWHERE, fetched(ELSEWHERE, 1))
    assert await stored(app, ELSEWHERE) == []
    assert await stored(app, ACTIVE) == []


async def test_a_store_that_refuses_ends_the_process(app: MonitorApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust would log it and go on without the records."""
    errors: list[Exception] = []
    monkeypatch.setattr(app, "cannot_store", errors.append)
    del app.tables.recovery.tp_to_table[ACTIVE]
    app.restore(ACTIVE, fetched(ACTIVE, 1))
    assert [type(error) for error in errors] == [KeyError]
    assert app.tables.recovery.active_offsets[ACTIVE] == -1
