"""What is asked for, again and alone, follows from answers, silence and time only."""

from streams.venues.parsed import Ack
from streams.venues.subscriptions import REFUSED_RETRY_SECONDS, Phase, Subscriptions


def make(*symbols: str, chunk: int = 50) -> Subscriptions:
    """Return subscriptions with an acknowledgement due in 10 s and a trade in 100 s."""
    subscriptions = Subscriptions(symbols, chunk=chunk, ack_timeout_seconds=10, stale_seconds=100)
    subscriptions.connected()
    return subscriptions


def accept(subscriptions: Subscriptions, *symbols: str, now: float = 0.0) -> None:
    """Acknowledge these symbols."""
    for symbol in symbols:
        assert subscriptions.answered(Ack(symbol, accepted=True), now) == []


def test_symbols_are_asked_for_in_chunks_once() -> None:
    """Five symbols in chunks of two are three requests, and none again while the answers are due."""
    subscriptions = make("A", "B", "C", "D", "E", chunk=2)
    assert subscriptions.due(0.0, is_online=True).subscribe == [["A", "B"], ["C", "D"], ["E"]]
    assert subscriptions.due(9.0, is_online=True).subscribe == []


def test_a_missing_acknowledgement_is_asked_for_again_and_reported_once() -> None:
    """Only the symbol without an answer is asked for again."""
    subscriptions = make("A", "B")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A")
    requests = subscriptions.due(10.0, is_online=True)
    assert (requests.subscribe, requests.unanswered) == ([["B"]], ["B"])
    requests = subscriptions.due(20.0, is_online=True)
    assert (requests.subscribe, requests.unanswered) == ([["B"]], [])


def test_a_refused_symbol_is_reported_once_and_asked_for_seldom() -> None:
    """The others are not touched; a refusal may have been temporary, so it is tried again alone after a while."""
    subscriptions = make("A", "X")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A")
    refusal = Ack("X", accepted=False, error="unknown")
    assert subscriptions.answered(refusal, 0.0) == ["X"]
    assert subscriptions.in_phase(Phase.ACTIVE) == ["A"]
    subscriptions.heard("A", REFUSED_RETRY_SECONDS)
    assert subscriptions.due(REFUSED_RETRY_SECONDS - 1, is_online=True).subscribe == []
    assert subscriptions.due(REFUSED_RETRY_SECONDS, is_online=True).subscribe == [["X"]]
    assert subscriptions.answered(refusal, REFUSED_RETRY_SECONDS) == []


def test_a_nameless_error_makes_each_symbol_asked_for_alone() -> None:
    """The refused one is found by name and the others are subscribed, one after the other."""
    subscriptions = make("A", "X", "B")
    error = Ack("", accepted=False, error="Invalid product id")
    subscriptions.due(0.0, is_online=True)
    assert subscriptions.answered(error, 0.0) == []
    asked, refused = [], []
    for step in range(3):
        (group,) = subscriptions.due(1.0 + step, is_online=True).subscribe
        asked += group
        answer = error if group == ["X"] else Ack(group[0], accepted=True)
        refused += subscriptions.answered(answer, 1.0 + step)
    assert (sorted(asked), refused) == (["A", "B", "X"], ["X"])
    assert subscriptions.in_phase(Phase.ACTIVE) == ["A", "B"]
    assert not subscriptions.has_suspects


def test_a_nameless_error_means_the_only_symbol_without_an_answer() -> None:
    """No probing where there is no doubt."""
    subscriptions = make("A", "X")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A")
    assert subscriptions.answered(Ack("", accepted=False, error="Invalid product id"), 0.0) == ["X"]


def test_a_silent_symbol_is_subscribed_again_and_reported_once_until_it_trades() -> None:
    """A quiet market is asked for less and less often; a trade heals it."""
    subscriptions = make("A", "B")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A", "B")
    subscriptions.traded("B", 60.0)
    requests = subscriptions.due(100.0, is_online=True)
    assert (requests.unsubscribe, requests.subscribe, requests.newly_stale) == (["A"], [["A"]], ["A"])
    accept(subscriptions, "A", now=100.0)
    subscriptions.traded("B", 299.0)
    assert subscriptions.due(299.0, is_online=True).unsubscribe == []
    requests = subscriptions.due(300.0, is_online=True)
    assert (requests.unsubscribe, requests.newly_stale) == (["A"], [])
    subscriptions.traded("A", 310.0)
    subscriptions.traded("B", 399.0)
    assert subscriptions.due(410.0, is_online=True).newly_stale == ["A"]


def test_silence_is_no_fault_while_the_exchange_is_not_online() -> None:
    """The time of a maintenance does not count, also not afterwards."""
    subscriptions = make("A")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A")
    for now in range(0, 1000, 50):
        assert subscriptions.due(float(now), is_online=False).unsubscribe == []
    assert subscriptions.due(1000.0, is_online=True).unsubscribe == []
    assert subscriptions.due(1050.0, is_online=True).unsubscribe == ["A"]


def test_time_in_which_nobody_read_is_not_the_venues_silence() -> None:
    """A slow broker must not make every symbol stale."""
    subscriptions = make("A")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A")
    subscriptions.forgive(500.0)
    assert subscriptions.due(550.0, is_online=True).unsubscribe == []


def test_a_new_connection_asks_for_everything_and_for_refused_symbols_alone() -> None:
    """What the last socket agreed to is gone; a symbol that was refused cannot spoil the others' request."""
    subscriptions = make("A", "X")
    subscriptions.due(0.0, is_online=True)
    accept(subscriptions, "A")
    subscriptions.answered(Ack("X", accepted=False), 0.0)
    subscriptions.connected()
    assert subscriptions.due(1.0, is_online=True).subscribe == [["A"]]
    accept(subscriptions, "A", now=1.0)
    assert subscriptions.due(1.0, is_online=True).subscribe == [["X"]]
