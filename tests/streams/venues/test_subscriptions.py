"""What is asked for, again and alone, follows from answers, silence and time only."""

import random

from streams.venues.parsed import Ack
from streams.venues.request_pace import MOST_SECONDS, RequestPace
from streams.venues.subscriptions import REFUSED_RETRY_SECONDS, Phase, Subscriptions


def make(*symbols: str, chunk: int = 50) -> Subscriptions:
    """Return subscriptions with an acknowledgement due in 10 s and a trade in 100 s."""
    subscriptions = Subscriptions(symbols, chunk=chunk, ack_timeout_seconds=10, stale_seconds=100)
    subscriptions.connected(0.0)
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
    refusal = Ack("X", accepted=False, error="unknown", is_definite=True)
    assert subscriptions.answered(refusal, 0.0) == ["X"]
    assert subscriptions.in_phase(Phase.ACTIVE) == ["A"]
    subscriptions.heard("A", REFUSED_RETRY_SECONDS)
    assert subscriptions.due(REFUSED_RETRY_SECONDS - 1, is_online=True).subscribe == []
    assert subscriptions.due(REFUSED_RETRY_SECONDS, is_online=True).subscribe == [["X"]]
    assert subscriptions.answered(refusal, REFUSED_RETRY_SECONDS) == []


def test_a_nameless_error_makes_each_symbol_asked_for_alone() -> None:
    """The refused one is found by name and the others are subscribed, one after the other."""
    subscriptions = make("A", "X", "B")
    error = Ack("", accepted=False, error="Invalid product id", is_definite=True)
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
    assert subscriptions.answered(Ack("", accepted=False, error="Invalid product id", is_definite=True), 0.0) == ["X"]


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
    subscriptions.answered(Ack("X", accepted=False, is_definite=True), 0.0)
    subscriptions.connected(1.0)
    assert subscriptions.due(1.0, is_online=True).subscribe == [["A"]]
    accept(subscriptions, "A", now=1.0)
    assert subscriptions.due(1.0, is_online=True).subscribe == [["X"]]


BUSY = Ack("", accepted=False, error="Exceeded msg rate")


def asked(subscriptions: Subscriptions, now: float) -> list[list[str]]:
    """Return the groups that are asked for now."""
    return subscriptions.due(now, is_online=True).subscribe


def test_a_busy_venue_is_asked_again_after_a_pause_and_refuses_nothing() -> None:
    """Within 1 to 30 s, later each time, one request at a time."""
    subscriptions = make("A", "B", "C", "D", chunk=2)
    assert asked(subscriptions, 0.0) == [["A", "B"], ["C", "D"]]
    now, pauses = 0.0, []
    for _ in range(8):
        assert subscriptions.answered(BUSY, now) == []
        pause = subscriptions.pace.pause_left(now)
        assert asked(subscriptions, now + pause - 0.01) == []
        now += pause
        assert len(asked(subscriptions, now)) == 1
        pauses.append(pause)
    assert subscriptions.refused() == []
    assert 1 <= min(pauses) <= 2
    assert 15 <= max(pauses) <= MOST_SECONDS
    assert pauses[:4] == sorted(pauses[:4])


def test_many_busy_answers_at_one_time_are_one_pause() -> None:
    """Fifty symbols that are put off by name must not make the pause half a minute."""
    subscriptions = make(*"ABCDEFGH")
    asked(subscriptions, 0.0)
    for symbol in "ABCDEFGH":
        subscriptions.answered(Ack(symbol, accepted=False, error="Service unavailable"), 0.0)
    assert subscriptions.pace.pause_left(0.0) <= 2
    assert asked(subscriptions, 2.0) == [[*"ABCDEFGH"]]


def test_one_symbol_that_spoils_its_group_in_unknown_words_costs_only_itself() -> None:
    """Groups become smaller until it is alone; the others are subscribed, and it is asked for on and on."""
    symbols = [f"S{number}" for number in range(40)]
    subscriptions = make(*symbols, chunk=20)
    now, times_alone = 0.0, 0
    for _ in range(200):
        for group in asked(subscriptions, now):
            if "S7" in group:
                times_alone += group == ["S7"]
                subscriptions.answered(Ack("", accepted=False, error="no"), now)
            else:
                accept(subscriptions, *group, now=now)
        now += 0.5
        for symbol in subscriptions.in_phase(Phase.ACTIVE):
            subscriptions.traded(symbol, now)
    assert subscriptions.in_phase(Phase.ACTIVE) == [symbol for symbol in symbols if symbol != "S7"]
    assert times_alone > 2


def test_an_acceptance_that_names_no_symbol_means_the_only_one_asked_for() -> None:
    """Of several it accepts none: they are asked for in parts."""
    subscriptions = make("A", "B")
    anyone = Ack("", accepted=True, error="Already subscribed")
    asked(subscriptions, 0.0)
    subscriptions.answered(anyone, 0.0)
    assert subscriptions.in_phase(Phase.ACTIVE) == []
    for now in (2.0, 3.0):
        assert len(asked(subscriptions, now)[0]) == 1
        subscriptions.answered(anyone, now)
    assert subscriptions.in_phase(Phase.ACTIVE) == ["A", "B"]


def test_a_group_that_is_never_answered_is_asked_for_in_parts() -> None:
    """The one that makes the venue silent is alone in the end."""
    subscriptions = make("A", "B", "X", "C", chunk=4)
    now = 0.0
    for _ in range(20):
        for group in asked(subscriptions, now):
            if "X" not in group:
                accept(subscriptions, *group, now=now)
        now += 10
        for symbol in subscriptions.in_phase(Phase.ACTIVE):
            subscriptions.traded(symbol, now)
    assert subscriptions.in_phase(Phase.ACTIVE) == ["A", "B", "C"]


def test_a_symbol_without_an_answer_does_not_keep_refused_ones_from_being_asked() -> None:
    """They take turns: one typo must not block what the venue may know by now."""
    subscriptions = make("A", "X", "R", "S")
    asked(subscriptions, 0.0)
    accept(subscriptions, "A")
    for symbol in ("R", "S"):
        subscriptions.answered(Ack(symbol, accepted=False, is_definite=True), 0.0)
    heard = set()
    now = 0.0
    while now < REFUSED_RETRY_SECONDS + 60:
        now += 1
        subscriptions.traded("A", now)
        for group in asked(subscriptions, now):
            if group != ["X"]:
                heard |= set(group)
                accept(subscriptions, *group, now=now)
    assert heard == {"R", "S"}
    assert subscriptions.in_phase(Phase.ACTIVE) == ["A", "R", "S"]


def test_an_exchange_that_is_back_is_asked_at_once_for_all_that_is_missing() -> None:
    """Also for what it refused: each of those alone, behind the others."""
    subscriptions = make("A", "B", "X")
    asked(subscriptions, 0.0)
    subscriptions.answered(Ack("X", accepted=False, is_definite=True), 0.0)
    subscriptions.answered(BUSY, 0.0)
    assert asked(subscriptions, 0.5) == []
    subscriptions.online()
    found = []
    for step in range(3):
        groups = asked(subscriptions, 0.6 + step)
        found += groups
        accept(subscriptions, *(symbol for group in groups for symbol in group), now=0.6 + step)
    assert sorted(symbol for group in found for symbol in group) == ["A", "B", "X"]
    assert ["X"] in found


def test_what_is_missing_is_neither_subscribed_nor_refused_for_some_time() -> None:
    """A refused symbol is said apart, and is not missing while a new connection asks for it again."""
    subscriptions = make("A", "B", "X")
    asked(subscriptions, 0.0)
    accept(subscriptions, "A")
    subscriptions.answered(Ack("X", accepted=False, is_definite=True), 0.0)
    assert (subscriptions.missing(29.0, 30), subscriptions.missing(30.0, 30)) == ([], ["B"])
    subscriptions.lost(40.0)
    subscriptions.connected(60.0)
    assert (subscriptions.missing(70.0, 30), subscriptions.refused()) == (["A", "B"], ["X"])
    asked(subscriptions, 70.0)
    accept(subscriptions, "A", "B", "X", now=70.0)
    assert (subscriptions.missing(200.0, 30), subscriptions.refused()) == ([], [])


def test_requests_keep_to_a_rate() -> None:
    """A handful at once, then ten a second, whatever waits."""
    subscriptions = make(*(f"S{number}" for number in range(100)), chunk=1)
    sent: list[float] = []
    for tick in range(300):
        sent += [tick / 100] * len(asked(subscriptions, tick / 100))
    assert len(sent) == 5 + 29
    assert all(later - first >= 0.9 for first, later in zip(sent, sent[15:], strict=False))


def test_silent_symbols_stay_subscribed_while_nothing_may_be_asked() -> None:
    """What was ended could not be begun again."""
    pace = RequestPace(rng=random.Random(1))
    subscriptions = Subscriptions(["A", "B"], chunk=2, ack_timeout_seconds=10, stale_seconds=100, pace=pace)
    subscriptions.connected(0.0)
    asked(subscriptions, 0.0)
    accept(subscriptions, "A", "B")
    pace.put_off(99.5)
    assert subscriptions.due(100.0, is_online=True).unsubscribe == []
    requests = subscriptions.due(102.0, is_online=True)
    assert (requests.unsubscribe, requests.subscribe) == (["A", "B"], [["A", "B"]])
