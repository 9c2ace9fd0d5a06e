"""A thousand markets on one page."""

import time
from collections.abc import Iterator

import pytest

from streams.embedded import EmbeddedPostgres
from tests.browser.conftest import Open
from tests.conftest import new_database
from tests.faults.processes import Process
from tests.recordings import Tape
from tests.view import View

MARKETS = 1000

# Scrolls to a part of the list, every twelfth time after sorting by the next column, and waits for the frame.
STEP = """
async (step) => {
  const grid = document.getElementById("grid");
  const buttons = [...document.querySelectorAll("[role=columnheader] button")];
  if (step % 12 === 0) buttons[(step / 12) % buttons.length].click();
  grid.scrollTop = (step % 40) * (grid.scrollHeight / 40);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}
"""
STEPS = 120


@pytest.fixture(scope="module")
def worker(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give a worker with a thousand markets."""
    with View(tmp_path_factory.mktemp("many"), new_database(postgres_server)) as view:
        worker = view.start()
        start = time.time_ns() // 10**9 - 120
        tapes = [Tape(n, f"COIN{n}/USD", start=start, size_usd=100).surge(500 + n, 100, 8) for n in range(MARKETS)]
        view.publish(trade for tape in tapes for trade in tape.trades)
        view.settle([worker], 8 * MARKETS)
        yield worker


def test_a_thousand_markets_scroll_and_sort_smoothly(worker: Process, visit: Open) -> None:
    """No frame keeps the page's thread busy for 100 ms: in CPU time, which other programs do not stretch."""
    page = visit(worker.port).page
    page.wait_for_function(f"() => document.getElementById('tile-markets').textContent === '{MARKETS}'", timeout=20_000)
    assert page.locator(".body .row").count() < 60, "only what fits on the screen is made"
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy_ms() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return 1000 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    spent = []
    for step in range(STEPS):
        before = busy_ms()
        page.evaluate(STEP, step)
        spent.append(busy_ms() - before)
    assert sum(spent) > STEPS, "scrolling must have cost something, or nothing was measured"
    assert max(spent) < 100, sorted(spent)[-5:]
