"""What proves that a worker asks, and what does not."""

from collections.abc import Iterator

import pytest

from tables.web import proofs as module
from tables.web.proofs import CLOCK_SECONDS, Proofs

SECRET = "a secret that workers have in common"
FORMER = "the secret that they had before, too"
HERE = "http://10.0.0.5:6066"
TARGET = "/api/windows?scope=local&symbol=BTC%2FUSD"
NOON = 1_800_000_000.0


def proofs(*secrets: str, at: float = NOON) -> Proofs:
    """Return those of a worker with these secrets, whose clock stands still."""
    return Proofs(lambda: secrets, lambda: at)


def header(asker: Proofs, method: str = "GET", address: str = HERE, target: str = TARGET) -> str:
    """Return what a worker sends."""
    return asker.headers(method, address, target)["Authorization"]


def test_a_worker_with_the_secret_is_known() -> None:
    """For what it asked, where it asked it."""
    assert proofs(SECRET).accepts("GET", HERE, TARGET, header(proofs(SECRET)))


@pytest.mark.parametrize(
    ("method", "address", "target"),
    [
        ("POST", HERE, TARGET),
        ("GET", "http://10.0.0.6:6066", TARGET),
        ("GET", "http://10.0.0.5:6067", TARGET),
        ("GET", "https://10.0.0.5:6066", TARGET),
        ("GET", HERE, "/api/alerts?scope=local&symbol=BTC%2FUSD"),
        ("GET", HERE, "/api/windows"),
    ],
)
def test_a_proof_is_for_one_question_to_one_worker(method: str, address: str, target: str) -> None:
    """Whoever gets it can ask nothing else and nobody else with it."""
    assert not proofs(SECRET).accepts(method, address, target, header(proofs(SECRET)))


def test_a_proof_counts_once() -> None:
    """Who has overheard it cannot use it again."""
    here, sent = proofs(SECRET), header(proofs(SECRET))
    assert here.accepts("GET", HERE, TARGET, sent)
    assert not here.accepts("GET", HERE, TARGET, sent)


@pytest.mark.parametrize(("ahead", "accepted"), [(0, True), (119, True), (-119, True), (121, False), (-121, False)])
def test_clocks_may_differ_by_two_minutes(ahead: float, accepted: bool) -> None:
    """In either direction; what is older is of no use to anybody."""
    asker = proofs(SECRET, at=NOON + ahead)
    assert proofs(SECRET).accepts("GET", HERE, TARGET, header(asker)) is accepted


def test_a_proof_is_remembered_for_as_long_as_it_is_good() -> None:
    """Also one of a clock that is ahead; afterwards it is forgotten."""
    now = [NOON]
    here = Proofs(lambda: [SECRET], lambda: now[0])
    sent = header(proofs(SECRET, at=NOON + CLOCK_SECONDS))
    assert here.accepts("GET", HERE, TARGET, sent)
    for passed in (CLOCK_SECONDS, 2 * CLOCK_SECONDS):
        now[0] = NOON + passed
        assert not here.accepts("GET", HERE, TARGET, sent)
    now[0] = NOON + 2 * CLOCK_SECONDS + 1
    assert here.accepts("GET", HERE, TARGET, header(proofs(SECRET, at=now[0])))
    assert len(here._seen) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only members can fill it: the oldest is forgotten first."""
    monkeypatch.setattr(module, "MOST_SEEN", 3)
    here, asker = proofs(SECRET), proofs(SECRET)
    sent = [header(asker) for _ in range(5)]
    assert all(here.accepts("GET", HERE, TARGET, one) for one in sent)
    assert len(here._seen) == 3
    assert not here.accepts("GET", HERE, TARGET, sent[-1])


def test_the_secret_before_is_still_good() -> None:
    """The newest signs."""
    assert proofs(SECRET, FORMER).accepts("GET", HERE, TARGET, header(proofs(FORMER)))
    assert not proofs(FORMER).accepts("GET", HERE, TARGET, header(proofs(SECRET, FORMER)))


def malformed() -> Iterator[str]:
    """Yield headers that prove nothing."""
    good = header(proofs(SECRET))
    yield from ("", "Liqmon-Peer", "Liqmon-Peer ", "Bearer " + good.split()[1], good[:-1], good + "0", good.upper())
    yield good.replace(" 1.", " 2.")
    yield good.replace(f"{int(NOON * 1000)}", f"{int(NOON * 1000) + 1}")
    yield good.replace(f"{int(NOON * 1000)}", "9" * 400)
    yield good[:-1] + ("0" if good[-1] != "0" else "1")
    yield f"Liqmon-Peer {SECRET}"
    yield "Liqmon-Peer 1.\N{ARABIC-INDIC DIGIT ONE}.x.y"


@pytest.mark.parametrize("given", [*malformed()])
def test_nothing_else_is_a_proof(given: str) -> None:
    """Whatever is sent."""
    assert not proofs(SECRET).accepts("GET", HERE, TARGET, given)


def test_without_a_secret_nobody_is_known_and_nothing_is_sent() -> None:
    """Such as while an earlier release leads the group. An empty secret is none."""
    assert proofs().headers("GET", HERE, TARGET) == {}
    assert not proofs().accepts("GET", HERE, TARGET, header(proofs(SECRET)))


def test_a_proof_holds_no_secret() -> None:
    """Nor twice the same."""
    asker = proofs(SECRET)
    assert SECRET not in header(asker)
    assert header(asker) != header(asker)
