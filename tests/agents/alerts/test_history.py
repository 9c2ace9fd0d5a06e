"""Reading alerts back from Postgres; the filters are tested through the API."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import asdict

from agents.alerts.history import AlertHistory
from agents.alerts.recorder import Recorder
from agents.rules.volume import Volume
from streams.errors import Outage
from tests.agents.factories import an_alert


async def test_what_changed_lately(pool: asyncpg.Pool) -> None:
    """An alert is news when it is recorded, when its row is brought up to date, and when its delivery changes."""
    history, recorder = AlertHistory(lambda: pool), Recorder(pool, deliver=True)
    old, fuller, delivered = an_alert(pane=1000), an_alert(pane=2000, count=1), an_alert(pane=3000)
    for alert in (old, fuller, delivered):
        await recorder.record(alert)
    await pool.execute("UPDATE liquidation_alerts SET updated_at = now() - interval '1 hour'")
    await pool.execute("UPDATE alert_outbox SET updated_at = now() - interval '1 hour'")
    moment = datetime.now(UTC) - timedelta(minutes=1)
    assert await history.changed_since(moment) == []

    await recorder.record(an_alert(pane=2000, count=2))
    await pool.execute(
        "UPDATE alert_outbox SET state = 'sent', updated_at = now() WHERE \"timestamp\" = to_timestamp(3000)"
    )
    found = {row.pane: row for row in await history.changed_since(moment)}
    assert found.keys() == {2000, 3000}
    assert (asdict(found[2000])["count"], found[2000].revision) == (2, 2)
    assert found[3000].delivery == "sent"


async def test_of_too_many_changes_the_latest_are_returned(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cascade in many markets at once must not hide what came last; the oldest of them comes first."""
    monkeypatch.setattr("agents.alerts.history.MAX_CHANGES", 2)
    for pane in (1000, 2000, 3000):
        await Recorder(pool, deliver=True).record(an_alert(pane=pane))
    rows = await AlertHistory(lambda: pool).changed_since(datetime.now(UTC) - timedelta(minutes=1))
    assert [row.pane for row in rows] == [2000, 3000]


async def test_the_latest_come_first(pool: asyncpg.Pool) -> None:
    """A limit takes the newest panes."""
    for pane in (1000, 3000, 2000):
        await Recorder(pool, deliver=False).record(an_alert(pane=pane))
    rows = await AlertHistory(lambda: pool).latest(2)
    assert [row.pane for row in rows] == [3000, 2000]
    assert rows[0].delivery == "disabled"
    assert asdict(rows[0])["total_volume_usd"] == 2023806.241207


async def test_an_alert_is_told_in_words(pool: asyncpg.Pool) -> None:
    """Those of its rule, as in its message; of a rule that this release does not have, what it measured."""
    strange = {"rule": "spread", "unit": "percent", "measured": 1_500_000_000, "threshold": 10**9}
    for alert in (an_alert(pane=2000), an_alert(pane=1000, **strange)):
        await Recorder(pool, deliver=False).record(alert)
    volume, spread = await AlertHistory(lambda: pool).latest(2)
    assert (volume.what, volume.note) == ("2.02 M USD traded", Volume.describe(an_alert()).note)
    assert (spread.what, spread.note) == ("spread: 1.5 %", "")
    assert spread.sentence == "spread: 1.5 % in 5 min, 1.5\N{MULTIPLICATION SIGN} the threshold"
    assert (spread.unit, spread.measured, spread.threshold) == ("percent", 1.5, 1.0)


async def test_postgres_that_was_not_reached_is_an_outage() -> None:
    """Before the first connection there is nothing to read from."""
    with pytest.raises(Outage):
        await AlertHistory(lambda: None).latest(1)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("btc", {"BTC/USD", "PF_XBTUSD"}),
        ("XBT", {"BTC/USD", "PF_XBTUSD"}),
        ("btc futures", {"PF_XBTUSD"}),
        ("btcusd", {"BTC/USD", "PF_XBTUSD"}),
        ("Btc/Usd", {"BTC/USD"}),
        ("pf_", {"PF_XBTUSD"}),
        ("usd", {"BTC/USD", "ETH/USD", "PF_XBTUSD"}),
        ("%", set()),
        ("doge", set()),
    ],
)
async def test_markets_are_found_by_parts_of_their_names(pool: asyncpg.Pool, words: str, found: set[str]) -> None:
    """Whatever the case, and by either name of Bitcoin."""
    for venue, symbol in (("kraken_spot", "BTC/USD"), ("kraken_spot", "ETH/USD"), ("kraken_futures", "PF_XBTUSD")):
        await Recorder(pool, deliver=False).record(an_alert(venue=venue, symbol=symbol))
    assert {row.symbol for row in await AlertHistory(lambda: pool).find(market=words)} == found
