"""Which addresses workers ask, whatever members of the group advertise."""

import logging
from collections.abc import AsyncIterator, Collection

import pytest

from streams.addresses import host_or_network
from streams.errors import BadSetting, Outage
from streams.settings import load_settings
from tables.web.cluster.peer_hosts import PeerHosts
from tables.web.cluster.replicas import Cluster, PeerDown
from tables.web.proofs import Proofs
from tests.worker import MemoryWorker

OUTSIDE = "203.0.113.7"


def hosts(*given: str, own: str = "10.0.0.1", members: Collection[str] = ()) -> PeerHosts:
    """Return those of a worker with these settings, in a group whose members the broker sees there."""

    async def ask() -> Collection[str]:
        return members

    return PeerHosts(given, lambda: own, ask)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("10.2.3.4", True),
        ("172.31.0.9", True),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("fd12::5", True),
        ("::ffff:10.0.0.9", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
        ("172.32.0.1", False),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
    ],
)
async def test_private_networks_are_asked_where_nothing_is_set(address: str, asked: bool) -> None:
    """And neither this machine, nor what a cloud answers at, nor the world."""
    assert await hosts().allows(address, [address]) == [address] * asked


async def test_its_own_host_is_asked() -> None:
    """Several workers of one machine have one name, whatever that leads to."""
    assert await hosts(own="127.0.0.1").allows("127.0.0.1", ["127.0.0.1"]) == ["127.0.0.1"]
    assert await hosts(own="Monitor-1").allows("monitor-1", ["127.0.1.1"]) == ["127.0.1.1"]


async def test_members_are_asked_where_the_broker_sees_them() -> None:
    """Not at what they say; a broker that does not answer knows of none."""
    seen = hosts(members=[OUTSIDE, "::ffff:203.0.113.8"])
    assert await seen.allows(OUTSIDE, [OUTSIDE]) == [OUTSIDE]
    assert await seen.allows("203.0.113.8", ["203.0.113.8"]) == ["203.0.113.8"]
    assert await seen.allows("203.0.113.9", ["203.0.113.9"]) == []

    async def silent() -> Collection[str]:
        raise Outage("the broker does not answer")

    assert await PeerHosts((), lambda: "10.0.0.1", silent).allows(OUTSIDE, [OUTSIDE]) == []


async def test_what_is_set_is_all_that_is_asked() -> None:
    """Names as they are advertised, addresses wherever a name leads."""
    found = hosts("10.1.0.0/16", "worker-1.example", "*.workers.example", OUTSIDE, own="10.0.0.1")
    for host, address in (
        ("a", "10.1.200.3"),
        ("worker-1.example", "198.51.100.1"),
        ("WORKER-1.example", "198.51.100.1"),
        ("b.workers.example", "198.51.100.2"),
        (OUTSIDE, OUTSIDE),
    ):
        assert await found.allows(host, [address]) == [address], host
    for host in ("10.0.0.1", "10.2.0.1", "workers.example", "evil-worker-1.example", "worker-1.example.evil"):
        assert await found.allows(host, ["10.2.0.1"]) == [], host


async def test_only_some_addresses_of_a_name_may_be_asked() -> None:
    """Those that lead elsewhere are left out."""
    assert await hosts().allows("worker", ["10.0.0.9", "169.254.169.254", OUTSIDE]) == ["10.0.0.9"]


@pytest.mark.parametrize("wrong", ["http://a", "10.0.0.0/99", "a:6066", "300.1.1.1", "*", "a b", "-a", ""])
def test_what_stands_for_no_host_is_refused(wrong: str) -> None:
    """At the start, with the setting's name."""
    with pytest.raises(ValueError, match="must be names, addresses or networks"):
        host_or_network(wrong)
    if wrong:
        with pytest.raises(BadSetting, match="WEB_PEER_HOSTS"):
            load_settings(web_peer_hosts=wrong)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Give a group in which members advertise whatever they like."""
    worker = MemoryWorker(address="http://10.0.0.1:6066")
    worker.peers = {f"http://{host}:9": [at] for at, host in enumerate(("127.0.0.1", "localhost", "[::1]"))}
    cluster = Cluster(worker, Proofs(worker.peer_secrets))
    yield cluster
    await cluster.close()


async def test_it_is_said_once_which_member_is_not_asked(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """An address as a name that leads there. Answers say it each time."""
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        answers = await cluster.get_all("/api/windows", {})
        assert len(answers) == 3
        for url, answer in answers.items():
            assert isinstance(answer, PeerDown)
            assert str(answer) == f"{url} is not asked: WEB_PEER_HOSTS does not name it"
    assert len(caplog.records) == 3
