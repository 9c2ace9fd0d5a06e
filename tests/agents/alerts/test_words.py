"""An alert in words: what happened, never more than was reached, and whether it still stands."""

import pytest

from agents.alerts.words import TIMES_SIGN, duration, identity, sentence, threshold_of
from tests.agents.factories import PANE, a_move, an_alert


def test_a_sentence_says_how_much_in_how_long_and_how_far_beyond() -> None:
    """In the words of its rule."""
    assert sentence(an_alert()) == f"2.02 M USD traded in 5 min, 2.0{TIMES_SIGN} the threshold"
    assert sentence(a_move()) == f"price moved +0.80 % in 5 min, 2.0{TIMES_SIGN} the threshold"


def test_the_multiple_never_claims_what_was_not_reached() -> None:
    """A micro-USD below twice the threshold is 1.9 times, since 2 would be another severity."""
    alert = an_alert(total_volume_micro_usd=1_999_999_999_999, threshold_micro_usd=1_000_000_000_000)
    assert f"1.99 M USD traded in 5 min, 1.9{TIMES_SIGN} the threshold" in sentence(alert)


def test_a_retracted_alert_says_so() -> None:
    """Its figures are below the threshold, and nobody wonders why it was an alert."""
    assert sentence(a_move(retracted=True)).endswith(f"0.2{TIMES_SIGN} the threshold (retracted)")


def test_a_threshold_that_nobody_wrote_down_is_left_out() -> None:
    """A worker of 0.1 recorded the price move."""
    assert sentence(a_move(threshold=None, measured=None)) == "price moved +0.80 % in 5 min"
    assert threshold_of(a_move(threshold=None, measured=None)) is None


def test_what_fewer_trades_measured_is_not_compared() -> None:
    """A worker of 0.1 brought the figures up to date; the threshold is known all the same."""
    assert sentence(a_move(measured=None)) == "price moved +0.80 % in 5 min"
    assert threshold_of(a_move(measured=None)) == 400_000_000


def test_an_identity_is_short() -> None:
    """A broken name does not crowd out the rest."""
    assert identity(an_alert()) == f"volume · kraken_spot · BTC/USD · {PANE}"
    assert len(identity(an_alert(symbol="x" * 3000))) < 200


@pytest.mark.parametrize(("seconds", "text"), [(60, "1 min"), (90, "90 s"), (3600, "1 h"), (5400, "90 min")])
def test_a_window_is_said_in_its_largest_whole_unit(seconds: int, text: str) -> None:
    """Whatever WINDOW_SECONDS is."""
    assert duration(seconds) == text


@pytest.mark.parametrize("since", [None, PANE - 299, PANE - 5000, PANE + 1])
def test_a_window_that_is_whole_says_nothing_of_it(since: int | None) -> None:
    """Nor one of which nobody knows."""
    assert "of data since" not in sentence(an_alert(covered_since=since))


def test_a_window_that_is_longer_than_the_data_says_so() -> None:
    """With the time of the first pane that was counted."""
    assert sentence(an_alert(covered_since=PANE - 90)).endswith("the threshold, of data since 00:04:34")
