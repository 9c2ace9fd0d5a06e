"""What ``SECURITY.md`` promises is what the program does: its numbers, what is open to anybody, what it names."""

from pathlib import Path

import pytest

from streams.settings import Settings
from streams.topics import ALERTS, APP_ID, CLOCK, DEAD_LETTERS, TRADES
from tables.web.access import OPEN_PATHS, WRONG_TOKEN_SECONDS
from tables.web.attempts import AT_ONCE, IPV6_NETWORK_BITS, SECONDS_EACH
from tables.web.proofs import CLOCK_SECONDS
from tables.web.sessions import SESSION_SECONDS
from tests.test_deployment import written

ROOT = Path(__file__).parent.parent
TEXT = " ".join((ROOT / "SECURITY.md").read_text().split())
WORDS = {0.5: "half a second", 6: "six seconds", 10: "ten free tries", 120: "two minutes", 7 * 86_400: "seven days"}


@pytest.mark.parametrize("figure", [WRONG_TOKEN_SECONDS, SECONDS_EACH, AT_ONCE, CLOCK_SECONDS, SESSION_SECONDS])
def test_its_figures_are_the_programs(figure: float) -> None:
    assert WORDS[figure] in TEXT


def test_it_says_how_much_of_an_address_counts_and_how_long_a_token_is() -> None:
    assert f"by their /{IPV6_NETWORK_BITS}" in TEXT
    (least,) = (one.min_length for one in Settings.model_fields["web_token"].metadata if hasattr(one, "min_length"))
    assert f"`WEB_TOKEN`, of at least {least} characters" in TEXT


def test_it_names_all_that_a_stranger_may_read() -> None:
    """In the row of whoever reaches a worker's port."""
    (row,) = (line for line in (ROOT / "SECURITY.md").read_text().splitlines() if "reaches a worker's port" in line)
    assert all(f"`{path}`" in row or path == "/login" for path in OPEN_PATHS)
    assert "the login page" in row


@pytest.mark.parametrize("topic", [TRADES, ALERTS, DEAD_LETTERS, CLOCK, f"{APP_ID}-panes-changelog"])
def test_it_says_what_can_be_done_with_each_topic(topic: str) -> None:
    assert f"| `{topic}` |" in TEXT


@pytest.mark.parametrize("name", ["ONLY_LISTED_MARKETS", "WEB_PEER_HOSTS", "WEB_PEER_SECRET", "WEB_TLS_CERTFILE"])
def test_the_settings_that_it_advises_exist_and_are_not_set_by_default(name: str) -> None:
    assert f"`{name}" in TEXT
    assert written(Settings.model_fields[name.lower()]) in {"", "false"}


def test_the_files_that_it_names_exist() -> None:
    named = {word.strip("`.,:;()") for word in TEXT.split() if word.startswith(("`tests/", "docs/"))}
    assert named
    assert all((ROOT / name).exists() for name in named), named
