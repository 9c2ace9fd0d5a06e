"""The page of workers, with a producer whose sockets come and go."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page

from streams.local.embedded.postgres import EmbeddedPostgres
from streams.venues.simulator.server import FUTURES_PATH, SPOT_PATH
from tests.browser.conftest import ARTIFACTS, Open
from tests.conftest import new_database
from tests.faults.processes import Process, liqmon
from tests.kafka.server import HOST, free_ports
from tests.view import View, ask

STATES_ARE = """
(wanted) => [...document.querySelectorAll(".connections .state")]
  .map((one) => one.textContent.replace("● ", "")).join() === wanted
"""


@dataclass
class Fed:
    """A worker that knows of a producer, which reads a simulated Kraken."""

    worker: Process
    producer: Process
    kraken: Process


@pytest.fixture(scope="module")
def fed(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    """Give the three of them, running."""
    with View(tmp_path_factory.mktemp("feeds"), new_database(postgres_server)) as view:
        (port,) = free_ports(1)
        kraken = view.add("kraken", liqmon("simulate", "--port", str(port), "--rate", "50")).start()
        environment = {
            "FEED": "live",
            "SPOT_WS_URL": f"ws://{HOST}:{port}{SPOT_PATH}",
            "FUTURES_WS_URL": f"ws://{HOST}:{port}{FUTURES_PATH}",
            "SPOT_SYMBOLS": "BTC/USD,ETH/USD,NOPE/USD",
            "FUTURES_SYMBOLS": "PF_XBTUSD",
        }
        producer = view.producer("producer", environment=environment).start()
        producer.wait_ready()
        absent = f"http://{HOST}:{free_ports(1)[0]}"
        worker = view.start(PRODUCER_URLS=f"http://{HOST}:{producer.port},{absent}")
        yield Fed(worker, producer, kraken)


def cells(page: Page, venue: str) -> list[str]:
    """Return a connection's cells."""
    return page.locator(f'.connections tr[data-venue="{venue}"] td').all_inner_texts()


def test_each_socket_is_shown_with_its_state(fed: Fed, visit: Open) -> None:
    """One row a venue: connected and since when, its last message, reconnects, refused symbols; a lost one says so."""
    page = visit(fed.worker.port, "/workers").page
    page.wait_for_function(STATES_ARE, arg="connected,connected")
    for venue, symbols in (("kraken_spot", "2 of 3\nrefused: NOPE/USD"), ("kraken_futures", "1")):
        name, state, since, last_message, reconnects, carried = cells(page, venue)
        assert name.startswith(venue.replace("_", " "))
        assert f"ws://{HOST}:" in name
        assert state == "● connected"
        assert since.endswith(("s", "m"))
        assert last_message.endswith("s ago")
        assert (reconnects, carried) == ("0", symbols)
    assert page.locator("#producers .panel", has_text="does not answer").count() == 1
    split = r"all => all.map((one) => one.innerText.split('\n'))"
    facts = dict(page.locator("#producers .facts div").evaluate_all(split))
    assert re.fullmatch(r"broker \S+ · venue \S+", facts["Clock skew seconds"])
    assert all(facts.values()), "no name without a value"

    rows = ask(fed.worker.port, "/api/workers").json["producers"]
    answering = next(row for row in rows if row["answering"])
    assert [(one["venue"], one["connected"]) for one in answering["connections"]] == [
        ("kraken_spot", True),
        ("kraken_futures", True),
    ]

    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "feeds-dark-desktop.png", full_page=True)

    fed.kraken.kill()
    page.wait_for_function(STATES_ARE, arg="lost,lost")
    fed.kraken.start()
    page.wait_for_function(STATES_ARE, arg="connected,connected", timeout=60_000)
    page.wait_for_function(
        "() => document.querySelector('.connections tr[data-venue=kraken_spot]').children[4].textContent === '1'"
    )
