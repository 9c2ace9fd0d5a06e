"""Several alerts in one Discord message: all of them, in order, with their ages, within Discord's limits."""

from hypothesis import given
from hypothesis import strategies as st

from agents.delivery.base import Backlog, Notice
from agents.delivery.digest import MOST_EMBEDS, digest
from streams.model.kinds import MAX_NAME
from tests.agents.factories import PANE, a_move, an_alert
from tests.discord_server import faults_of

WEB = "https://monitor.example.com/"
RAISED = PANE + 2


def test_each_alert_has_its_embed_with_its_age() -> None:
    """What happened, when it was raised (Discord writes it as an age), which alert it is, and a link."""
    notices = [Notice(an_alert(severity="CRITICAL"), raised_at=RAISED), Notice(a_move(), raised_at=RAISED + 60)]
    message = digest(notices, web_url=WEB, venue_names={"kraken_spot": "Kraken Spot"})
    assert [embed["title"] for embed in message["embeds"]] == [
        "🟣 CRITICAL · BTC/USD · Kraken Spot",
        "🟠 MEDIUM · BTC/USD · Kraken Spot",
    ]
    first, second = message["embeds"]
    assert first["description"].splitlines() == [
        "2.02 M USD traded in 5 min, 2.0\N{MULTIPLICATION SIGN} the threshold",
        "Traded volume, a proxy: spot trades carry no liquidation label.",
        f"raised <t:{RAISED}:R>",
    ]
    assert f"<t:{RAISED + 60}:R>" in second["description"]
    assert first["footer"]["text"] == f"volume · kraken_spot · BTC/USD · {PANE}"
    assert first["url"].startswith(WEB + "market?")
    assert first["timestamp"] == "2019-07-01T00:06:04+00:00"
    assert message["allowed_mentions"] == {"parse": []}


def test_the_line_that_a_phone_shows_counts_them_and_those_that_wait() -> None:
    """And how old the oldest is; an edited message counts only what it holds."""
    notices = [Notice(an_alert(severity=severity)) for severity in ("CRITICAL", "HIGH", "HIGH", "LOW")]
    line = digest(notices, web_url="http://127.0.0.1:6066", backlog=Backlog(1420, 185.0))["content"]
    assert line == (
        "**4 alerts**: 1 CRITICAL, 2 HIGH, 1 LOW · the oldest is 3 min old · 1,420 more wait\n"
        "http://127.0.0.1:6066/alerts"
    )
    assert digest(notices, web_url="")["content"] == "**4 alerts**: 1 CRITICAL, 2 HIGH, 1 LOW"


def test_what_became_of_each_alert_is_told_with_it() -> None:
    """Retracted, escalated, perhaps sent before."""
    message = digest(
        [Notice(a_move(retracted=True)), Notice(an_alert(), "HIGH"), Notice(an_alert(), possible_duplicate=True)],
        web_url="",
    )
    said = [embed["description"] for embed in message["embeds"]]
    assert ["Retracted" in text for text in said] == [True, False, False]
    assert ["Escalated to HIGH" in text for text in said] == [False, True, False]
    assert ["Possible duplicate" in text for text in said] == [False, False, True]
    assert "possible duplicates" in message["content"]


def test_a_window_that_is_longer_than_the_data_says_so_also_where_its_sentence_is_cut() -> None:
    """In a line of its own; one that is whole has none."""
    young = an_alert(total_volume_micro_usd=10**80, covered_since=PANE - 90)
    short, whole = digest([Notice(young), Notice(a_move(covered_since=PANE - 299))], web_url="")["embeds"]
    assert "⏳ **Not whole yet**: counted since 00:04:34 UTC" in short["description"].splitlines()
    assert "whole" not in whole["description"]


def test_two_rules_of_a_market_are_shown_apart() -> None:
    """Discord shows embeds with the same link as one."""
    assert faults_of(digest([Notice(an_alert()), Notice(a_move())], web_url=WEB)) == []


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=MAX_NAME), st.text(min_size=1, max_size=MAX_NAME), st.booleans()),
        min_size=2,
        max_size=MOST_EMBEDS,
        unique_by=lambda one: one[:2],
    ),
    st.integers(0, 10**24),
)
def test_discord_takes_as_many_as_it_can_hold(names: list[tuple[str, str, bool]], amount: int) -> None:
    """Whatever their names and figures."""
    notices = [
        Notice(
            an_alert(venue=venue, symbol=symbol, total_volume_micro_usd=amount, retracted=flag, covered_since=PANE),
            "CRITICAL",
            flag,
            1,
        )
        for venue, symbol, flag in names
    ]
    assert faults_of(digest(notices, web_url=WEB, backlog=Backlog(10**9, 1e12))) == []


def test_ten_alerts_of_the_longest_names_fit() -> None:
    """Discord counts 6000 characters over all embeds of a message."""
    name = "*" * MAX_NAME
    notices = [
        Notice(
            an_alert(rule="x" * MAX_NAME, venue=name, symbol=name, retracted=True, pane=PANE + n, covered_since=PANE),
            "CRITICAL",
            True,
            RAISED,
        )
        for n in range(MOST_EMBEDS)
    ]
    message = digest(notices, web_url=WEB)
    assert faults_of(message) == []
