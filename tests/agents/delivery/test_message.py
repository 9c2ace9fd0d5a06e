"""What a person sees on Discord: the market, what happened and the figures, within Discord's limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.delivery import message as embeds
from agents.delivery.base import Notice
from streams.model.alert import Alert
from streams.model.figures import FIGURES
from streams.settings import load_settings
from streams.severities import SEVERITIES
from tests.agents.factories import PANE, a_move, an_alert
from tests.discord_server import faults_of

WEB = "https://monitor.example.com/"


def message_of(alert: Alert, *, web_url: str = WEB, **said: Any) -> embeds.Message:
    """Return the message of an alert."""
    return embeds.message(Notice(alert, **said), web_url=web_url)


def fields_of(message: embeds.Message) -> dict[str, str]:
    """Return an embed's fields by name."""
    return {entry["name"]: entry["value"] for entry in message["embeds"][0]["fields"]}


def test_a_volume_alert_reads_at_a_glance() -> None:
    """Title, sentence and figures of the recorded crash of July 2019, thousands separated, times in UTC."""
    message = message_of(an_alert())
    (embed,) = message["embeds"]
    assert embed["title"] == "🟠 MEDIUM · BTC/USD · kraken spot"
    assert embed["description"].splitlines() == [
        "2.02 M USD traded in 5 min, 2.0\N{MULTIPLICATION SIGN} the threshold",
        "Traded volume, a proxy: spot trades carry no liquidation label.",
    ]
    assert fields_of(message) == {
        "Volume": "2,023,806 USD",
        "VWAP": "10,705.54",
        "Change": "-1.49 %",
        "Buy / sell": "523,806 USD / 1,500,000 USD",
        "Largest trade": "107,250 USD",
        "Trades": "469",
        "High / low": "10,810.50 / 10,600.10",
        "Volatility": "1.230 %",
        "Threshold": "1,000,000 USD",
        "Window (UTC)": "2019-07-01 00:01:05 to 00:06:05",
        "Web view": "https://monitor.example.com/market?venue=kraken_spot&symbol=BTC%2FUSD&at=1561939564",
    }
    assert embed["timestamp"] == "2019-07-01T00:06:04+00:00"
    assert embed["footer"]["text"] == "volume · kraken_spot · BTC/USD · 1561939564"
    assert message["content"].startswith("**MEDIUM** BTC/USD: 2.02 M USD traded in 5 min")
    assert message["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize(
    ("longs", "shorts", "text"),
    [
        (1_230_000_000_000, 0, "1.23 M USD of longs liquidated in 5 min"),
        (0, 250_400_000_000, "250 k USD of shorts liquidated in 5 min"),
        (3_000_000_000_000, 10_000_000, "3.00 M USD of longs and 10.0 USD of shorts liquidated in 5 min"),
    ],
)
def test_a_liquidation_alert_says_which_side_and_how_much(longs: int, shorts: int, text: str) -> None:
    """Longs and shorts are told apart, and nothing is called a proxy."""
    alert = an_alert(
        rule="liquidation",
        symbol="PF_XBTUSD",
        liquidation_volume_micro_usd=longs + shorts,
        liquidation_long_micro_usd=longs,
        liquidation_short_micro_usd=shorts,
    )
    message = message_of(alert)
    description = message["embeds"][0]["description"]
    assert description.startswith(text)
    assert "proxy" not in description
    assert fields_of(message)["Liquidated long / short"]


def test_each_severity_has_a_colour() -> None:
    """Severity is told by colour, four different ones."""
    colours = {message_of(an_alert(severity=name), web_url="")["embeds"][0]["color"] for name in SEVERITIES}
    assert len(colours) == len(SEVERITIES)


def test_a_retracted_alert_says_so_in_every_text() -> None:
    """Whoever reads only the line that a phone shows learns it too."""
    message = message_of(a_move(retracted=True))
    what = "price moved +0.10 % in 5 min, 0.2\N{MULTIPLICATION SIGN} the threshold (retracted)"
    assert message["content"] == f"**MEDIUM** BTC/USD: {what}"
    assert message["embeds"][0]["description"].splitlines() == [
        what,
        "↩️ **Retracted**: later trades took this window back below the threshold.",
    ]
    assert "etracted" not in str(message_of(a_move()))


def test_an_alert_from_a_window_longer_than_the_data_says_so_in_every_text() -> None:
    """Since when it counts, in the words of the page; whoever reads only the line that a phone shows learns it too."""
    message = message_of(an_alert(covered_since=PANE - 90))
    what = "2.02 M USD traded in 5 min, 2.0\N{MULTIPLICATION SIGN} the threshold, of data since 00:04:34"
    assert message["content"] == f"**MEDIUM** BTC/USD: {what}"
    assert message["embeds"][0]["description"].splitlines() == [
        what,
        "Traded volume, a proxy: spot trades carry no liquidation label.",
        "⏳ **Not whole yet**: counted since 00:04:34 UTC, so the window holds less than 5 min.",
    ]
    for whole in (None, PANE - 299, PANE - 5000):
        assert "since" not in str(message_of(an_alert(covered_since=whole)))


def test_amounts_of_nothing_are_left_out() -> None:
    """A recording that says no side has neither buys nor sells, which is not the same as none."""
    message = message_of(an_alert(buy_volume_micro_usd=0, sell_volume_micro_usd=0))
    assert {"Buy / sell", "Liquidated long / short"} & fields_of(message).keys() == set()
    assert fields_of(message_of(an_alert(price_change_pct=0.0)))["Change"] == "+0.00 %"


def test_every_figure_with_a_label_is_shown() -> None:
    """In the order of the table, amounts first: a figure that joins needs no line here."""
    shown = fields_of(message_of(an_alert(liquidation_long_micro_usd=10**6)))
    labels = dict.fromkeys(
        one.heading for one in sorted(FIGURES, key=lambda one: not one.type.is_amount) if one.heading
    )
    assert list(shown)[: len(labels)] == list(labels)


def test_a_figure_that_the_alert_lacks_is_left_out() -> None:
    """A figure that joined later is None in the row of a worker that did not know it yet."""
    assert "VWAP" not in fields_of(message_of(an_alert(vwap=None)))


def test_a_possible_duplicate_says_so() -> None:
    """A message that is sent again after an unknown outcome is marked in the text and in the embed."""
    message = message_of(an_alert(), possible_duplicate=True)
    assert message["content"].startswith("possible duplicate")
    assert "Possible duplicate" in message["embeds"][0]["description"]
    assert "duplicate" not in str(message_of(an_alert())).lower()


def test_an_escalated_message_says_to_what() -> None:
    """The earlier message of an episode names the severity that the episode reached."""
    message = message_of(an_alert(), escalated_to="CRITICAL")
    assert "Escalated to CRITICAL" in message["embeds"][0]["description"]


@pytest.mark.parametrize("web_url", ["http://127.0.0.1:6066", "http://localhost:6066", "http://worker-1:6066", ""])
def test_an_address_that_discord_refuses_is_text_only(web_url: str) -> None:
    """Discord refuses a message whose link has a host without top-level domain: such an address is only text."""
    message = message_of(an_alert(), web_url=web_url)
    assert "url" not in message["embeds"][0]
    assert ("Web view" in fields_of(message)) == bool(web_url)
    assert faults_of(message) == []


def test_a_public_address_is_a_link() -> None:
    """The title links to the market's page where Discord takes the address."""
    assert message_of(an_alert())["embeds"][0]["url"].startswith(WEB + "market?")


def test_a_venue_that_has_a_name_for_people_is_called_by_it() -> None:
    """Any other by its own name, with spaces for underscores."""
    names = {"kraken_spot": "Kraken *spot*", "other": "Other"}
    title = embeds.message(Notice(an_alert()), web_url=WEB, venue_names=names)["embeds"][0]["title"]
    assert title == r"🟠 MEDIUM · BTC/USD · Kraken \*spot\*"
    title = embeds.message(Notice(an_alert(venue="sim_spot")), web_url=WEB, venue_names=names)["embeds"][0]["title"]
    assert title.endswith("· sim spot")


def test_markdown_in_a_name_is_literal() -> None:
    """A market's name cannot format the message, nor hide a link in it."""
    message = message_of(an_alert(symbol="[a](http://b)**/USD"))
    assert r"\[a\](http://b)\*\*/USD" in message["embeds"][0]["title"]


@pytest.mark.parametrize(
    ("overrides", "address"),
    [
        ({"web_public_url": "https://m.example.com/"}, "https://m.example.com"),
        ({}, "http://127.0.0.1:6066"),
        ({"web_host": "0.0.0.0", "web_port": 80}, "http://localhost:80"),
        ({"web_host": "::1"}, "http://[::1]:6066"),
    ],
)
def test_the_web_view_has_an_address(overrides: dict[str, object], address: str) -> None:
    """As configured, or built from host and port."""
    assert embeds.web_address(load_settings(**overrides)) == address


AMOUNT = st.integers(min_value=0, max_value=10**24 - 1)
NUMBER = st.floats()


@given(
    st.builds(
        Alert,
        **{name: AMOUNT for name in Alert.__struct_fields__ if name.endswith("_micro_usd")},
        **dict.fromkeys(
            ("vwap", "price_change_pct", "realized_volatility", "first_price", "last_price", "high", "low"), NUMBER
        ),
        rule=st.sampled_from(("volume", "liquidation")),
        symbol=st.text(max_size=3000),
        venue=st.text(max_size=3000),
        pane=st.just(PANE), episode=st.just(PANE), window_start=st.just(PANE - 299), window_end=st.just(PANE + 1),
    ),
    st.sampled_from((WEB, "http://127.0.0.1:6066")),
)  # fmt: skip
def test_discord_takes_any_alert(alert: Alert, web_url: str) -> None:
    """Whatever the figures and names, the message is within Discord's limits."""
    assert faults_of(message_of(alert, web_url=web_url, possible_duplicate=True, escalated_to="CRITICAL")) == []
