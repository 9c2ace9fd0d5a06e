"""A trade as far ahead as is let pass moves a market's clock, and costs no other trade its windows or its alerts."""

import pytest

from streams.model.trade import Trade
from tests.agents.counting.test_monitor import Worker
from tests.trades import NOON, frame_of, spot, worth

FURTHEST = 60


async def played(trades: list[Trade]) -> Worker:
    """Return a worker that took these, each when it came."""
    worker = Worker()
    for number, trade in enumerate(trades):
        await worker.take(frame_of([trade]), timestamp=NOON + number)
    await worker.keeper.flush()
    return worker


@pytest.mark.parametrize("usd", [1_500_000, 12_000_000])
async def test_trades_behind_a_jump_count_and_alert_as_without_it(usd: float) -> None:
    """So a jump needs no second trade to be believed: the clock of the broker bounds each."""
    trades = [spot(number, number) for number in range(200)]
    surge = [worth(usd / 10, 1000 + number, 20 + number) for number in range(10)]
    trades[20:30] = surge
    wrong = spot(5000, 10 + FURTHEST)
    jumped = [*trades[:10], wrong, *trades[10:]]
    without, behind = await played(trades), await played(jumped)
    expected, found = await without.market(), await behind.market()
    assert found.watermark == expected.watermark
    assert behind.letters() == []
    for pane in range(NOON, NOON + 200):
        own = pane == NOON + 10 + FURTHEST
        assert found.figures(pane, 1).count == expected.figures(pane, 1).count + own
        ahead = 100_000_000 if pane >= NOON + 10 + FURTHEST else 0
        assert found.figures(pane, 300).total_volume_micro_usd == (
            expected.figures(pane, 300).total_volume_micro_usd + ahead
        )
    alerts = {(alert.rule, alert.pane, alert.severity) for alert in without.alerts()}
    assert alerts
    assert {(alert.rule, alert.pane, alert.severity) for alert in behind.alerts()} == alerts
