"""What is read of Faust's application, typed."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

from faust.types import TP

from streams import metrics
from streams.worker.facts import GroupFacts


class Consumer:
    """As much of the consumer as is asked for lags."""

    def __init__(self) -> None:
        self.ends = {TP("trades", 1): 50, TP("trades", 2): 7, TP("alerts", 1): 3, TP("changelog", 1): 1000}
        self._committed_offset = {TP("trades", 1): 40, TP("alerts", 1): 5}

    def assignment(self) -> set[TP]:
        return set(self.ends)

    async def log_ends(self, tps: list[TP], _: float) -> dict[TP, int]:
        return {tp: self.ends[tp] for tp in tps}


async def test_lag_is_what_is_not_committed_of_the_topics_asked_for() -> None:
    """All of a partition where nothing is committed, and never less than nothing."""
    facts = GroupFacts(SimpleNamespace(consumer=Consumer()))
    assert await facts.lags(("trades", "alerts"), 1) == {("trades", 1): 10, ("trades", 2): 7, ("alerts", 1): 0}


async def test_nobody_is_asked_about_nothing() -> None:
    """A worker that stands by has no partition: the client would take an empty list for all."""
    consumer = Consumer()
    consumer.ends = {}
    consumer.log_ends = None  # type: ignore[assignment, method-assign]
    assert await GroupFacts(SimpleNamespace(consumer=consumer)).lags(("trades",), 1) == {}


def test_others_are_known_by_their_addresses() -> None:
    """Of the topic trades alone, without the slash that Faust ends addresses with."""
    known = {"http://a:1/": {"trades": [3, 1], "alerts": [2]}, "http://b:2": {"alerts": [0]}}
    facts = GroupFacts(SimpleNamespace(router=SimpleNamespace(external_topics_metadata=lambda: known)))
    assert facts.assignment() == {"http://a:1": [1, 3], "http://b:2": []}


def test_a_standby_is_as_far_as_its_changelog() -> None:
    """Faust names the topics too whose partitions go with the changelog's; nothing is read of those."""
    changelog = TP("changelog", 2)
    standbys = [TP(topic, 2) for topic in ("alerts", "trades")] + [changelog]
    for order in (standbys, standbys[::-1]):
        app = SimpleNamespace(
            assignor=SimpleNamespace(assigned_standbys=lambda order=order: order),
            tables=SimpleNamespace(
                changelog_topics={"changelog"}, recovery=SimpleNamespace(standby_offsets={changelog: 6})
            ),
            consumer=SimpleNamespace(log_end={changelog: 9}.get),
        )
        facts = GroupFacts(app)
        assert facts.standby_partitions() == [2]
        assert facts.standby_offsets(2) == (7, 9)


def test_a_worker_gets_on_by_commits_restored_records_and_moves() -> None:
    """Not by what its standbys read of others, which goes on while it is stuck."""
    committed = {TP("trades", 1): 40}
    actives, standbys = Counter({TP("changelog", 1): 5}), Counter({TP("changelog", 2): 6})
    assigned = [TP("trades", 1)]
    app = SimpleNamespace(
        assignor=SimpleNamespace(assigned_actives=lambda: assigned),
        consumer=SimpleNamespace(_committed_offset=committed),
        tables=SimpleNamespace(recovery=SimpleNamespace(active_offsets=actives, standby_offsets=standbys)),
    )
    facts = GroupFacts(app)
    seen = [facts.progress()]
    metrics.restored_records.inc()
    standbys[TP("changelog", 2)] += 1
    assert facts.progress() == seen[0]
    moves: list[Callable[[], None]] = [
        lambda: committed.update({TP("trades", 1): 41}),
        lambda: actives.update({TP("changelog", 1): 1}),
        lambda: assigned.append(TP("trades", 3)),
    ]
    for move in moves:
        move()
        assert facts.progress() not in seen
        seen.append(facts.progress())
