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

# Scrolls through all rows and sorts by one column after the other; returns the longest frame in milliseconds.
LONGEST_FRAME = """
async () => {
  const grid = document.getElementById("grid");
  const buttons = [...document.querySelectorAll("[role=columnheader] button")];
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  let before = await frame();
  let longest = 0;
  for (let step = 0; step < 120; step++) {
    if (step % 12 === 0) buttons[(step / 12) % buttons.length].click();
    grid.scrollTop = (step % 40) * (grid.scrollHeight / 40);
    const now = await frame();
    longest = Math.max(longest, now - before);
    before = now;
  }
  return longest;
}
"""


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
    """No frame takes more than 100 ms; the best of three passes counts, since other programs share the machine."""
    page = visit(worker.port).page
    page.wait_for_function(f"() => document.getElementById('tile-markets').textContent === '{MARKETS}'", timeout=20_000)
    assert page.locator(".body .row").count() < 60, "only what fits on the screen is made"
    longest: list[float] = []
    while len(longest) < 3 and min(longest, default=100) >= 100:
        longest.append(page.evaluate(LONGEST_FRAME))
    assert min(longest) < 100, longest
