"""The secret that the group agrees on, beside the partitions."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from yarl import URL

from streams.worker.assignor import FORMER_SECONDS, AgreedSecrets, Assignor

FIRST, SECOND = "the first secret", "the second secret"


@pytest.fixture
def clock() -> list[float]:
    """Give what a clock shows."""
    return [1000.0]


@pytest.fixture
def agreed(clock: list[float]) -> AgreedSecrets:
    """Give the secrets of a group that has agreed on nothing yet."""
    return AgreedSecrets(lambda: clock[0])


def test_the_secret_before_is_good_for_a_while(agreed: AgreedSecrets, clock: list[float]) -> None:
    """Members learn of a new one one after the other."""
    assert agreed.all() == []
    agreed.agree(FIRST)
    assert agreed.all() == [FIRST]
    agreed.agree(SECOND)
    assert agreed.all() == [SECOND, FIRST]
    clock[0] += FORMER_SECONDS
    assert agreed.all() == [SECOND]


def test_who_leads_without_one_ends_the_former_too(agreed: AgreedSecrets, clock: list[float]) -> None:
    """An earlier release gives none. Nor is one taken that fills the memory."""
    agreed.agree(FIRST)
    agreed.agree("")
    clock[0] += FORMER_SECONDS
    assert agreed.all() == []
    agreed.agree("x" * 100_000)
    assert agreed.all() == []


def assignor(kind: type[Any], url: str) -> Any:
    """Return that of a worker of this address."""
    tables = SimpleNamespace(data={}, changelog_topics=set())
    conf = SimpleNamespace(canonical_url=URL(url))
    sensors = SimpleNamespace(on_assignment_start=lambda *_: None, on_assignment_completed=lambda *_: None)
    return kind(SimpleNamespace(tables=tables, conf=conf, tracer=None, sensors=sensors))


def assigned(leader: Any, *members: Any) -> list[Any]:
    """Let the group agree; return what each member is told, which it has taken over."""
    cluster = ClusterMetadata()
    cluster.partitions_for_topic = lambda _: {0, 1}
    told = leader.assign(cluster, {str(at): one.metadata({"trades"}) for at, one in enumerate(members)})
    for at, one in enumerate(members):
        one.on_assignment(told[str(at)])
    return [told[str(at)] for at in range(len(members))]


def test_all_members_get_the_leaders_secret() -> None:
    """Another one each time, and their partitions as Faust gives them."""
    first, second = assignor(Assignor, "http://a:1"), assignor(Assignor, "http://b:2")
    assigned(first, first, second)
    (secret,) = first.agreed.all()
    assert second.agreed.all() == [secret]
    assert len(secret) >= 43
    assert {str(url) for url in first.external_topic_distribution} == {"http://a:1", "http://b:2"}
    assert sorted(tp.partition for one in (first, second) for tp in one.assigned_actives()) == [0, 1]
    assigned(second, first, second)
    assert first.agreed.all()[0] != secret
    assert first.agreed.all() == second.agreed.all()
    # What a member tells the next leader is for the broker to see, and holds none.
    assert secret.encode() not in first.metadata({"trades"}).user_data


def test_a_mixed_group_assigns_as_before() -> None:
    """Members of an earlier release pass a secret over; one that leads gives none."""
    ours, earlier = assignor(Assignor, "http://a:1"), assignor(PartitionAssignor, "http://b:2")
    assigned(ours, ours, earlier)
    assert ours.agreed.all()
    assert sorted(tp.partition for one in (ours, earlier) for tp in one.assigned_actives()) == [0, 1]
    assigned(earlier, ours, earlier)
    assert len(ours.agreed.all()) == 1, "the former one is good for a while"
    ours.agreed._clock = lambda: 1e12
    assert ours.agreed.all() == []


@pytest.mark.parametrize("secret", [7, None, ["x"], {}])
def test_a_secret_that_is_none_is_passed_over(secret: object) -> None:
    """A worker goes on with its partitions."""
    one = assignor(Assignor, "http://a:1")
    facts = ClientMetadata(
        assignment=ClientAssignment(actives={}, standbys={}), url="http://a:1", changelog_distribution={}
    )
    told = json.dumps(json.loads(facts.dumps()) | {"peer_secret": secret}).encode()
    one.on_assignment(SimpleNamespace(assignment=[], user_data=one._compress(told)))
    assert one.agreed.all() == []


def test_a_member_says_what_faust_says() -> None:
    """So a leader of an earlier release reads it."""
    found = assignor(Assignor, "http://a:1").metadata({"trades"})
    assert isinstance(found, ConsumerProtocolMemberMetadata)
    assert found.user_data == assignor(PartitionAssignor, "http://a:1").metadata({"trades"}).user_data
