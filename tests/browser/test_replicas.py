"""A page on one of two workers, when the other is killed."""

from collections.abc import Iterator

import pytest

from streams.embedded import EmbeddedPostgres
from tests.browser.conftest import Open
from tests.conftest import new_database
from tests.kafka.server import RealKafka
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import View, ask, eventually

TOKEN = "a token of the operator's"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def view(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """Give a stack whose workers ask for a token."""
    reason = RealKafka.available()
    if reason is not None:
        pytest.skip(f"not covered: several workers need a real Kafka ({reason})")
    directory = tmp_path_factory.mktemp("browser-replicas")
    database = new_database(postgres_server)
    with RealKafka(directory / "kafka") as kafka, View(directory, database, broker=kafka, WEB_TOKEN=TOKEN) as view:
        yield view


def test_the_page_recovers_when_an_owner_is_killed(view: View, visit: Open) -> None:
    """Who logged in sees all markets; the killed worker's rows stay, marked as old, until the other one has them."""
    trades = SCENARIOS["several markets"](4)
    symbols = {symbol for _, symbol in Oracle(trades).markets()}
    first, second = view.start("first"), view.start("second")

    def owners() -> dict[str, str]:
        rows = ask(first.port, "/api/windows", {"window_seconds": 300}, headers=HEADERS).json
        return {row["symbol"]: row["owner"] for row in rows}

    def shares() -> list[int]:
        rows = ask(first.port, "/api/workers", headers=HEADERS).json["rows"]
        return sorted(sum(one["role"] == "active" for one in row["partitions"]) for row in rows if row["ready"])

    eventually(lambda: shares() == [2, 2], "both workers to have two partitions each", 40)
    view.publish(trades)
    view.settle([first, second], len(trades))
    moved = {symbol for symbol, owner in owners().items() if owner.endswith(str(second.port))}
    assert moved

    visited = visit(first.port, live=False)
    page = visited.page
    page.wait_for_url("**/login")
    page.fill("[name=token]", "a wrong one")
    page.locator("button", has_text="Log in").click()
    page.locator("#wrong", has_text="not the token").wait_for()
    page.fill("[name=token]", TOKEN)
    page.locator("button", has_text="Log in").click()
    for symbol in symbols:
        page.locator(f'.row[data-symbol="{symbol}"]').wait_for()
    assert page.locator(".row.old").count() == 0

    second.kill()
    page.locator("#notes", has_text=f"127.0.0.1:{second.port} does not answer").wait_for(timeout=10_000)
    page.wait_for_function(f"() => document.querySelectorAll('.body .row.old').length === {len(moved)}")

    page.wait_for_function(
        "() => !document.querySelector('.body .row.old') && !document.getElementById('notes').textContent",
        timeout=40_000,
    )
    assert set(owners().values()) == {f"http://127.0.0.1:{first.port}"}
    for symbol in symbols:
        assert page.locator(f'.row[data-symbol="{symbol}"]').is_visible()
    page.locator("#logout button").click()
    page.wait_for_url("**/login")
