"""Which addresses of the group are asked: a member may advertise any, and a worker must not ask whatever it names."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from ipaddress import ip_address, ip_network
from typing import Final

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from streams.addresses import Network, host_or_network
from streams.errors import Outage

log = logging.getLogger(__name__)

PRIVATE: Final = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
"""Networks that no stranger is in. Loopback is not among them, nor are link-local addresses: clouds answer there."""

ASKED_SECONDS: Final = 30.0
"""For how long the broker's answer is used: who joins is asked within that time."""


class PeerHosts:
    """Judges addresses by what is ``given`` (``WEB_PEER_HOSTS``).

    Where nothing is, these are asked: this worker's own host, private networks, and hosts from which members of the
    group reach the broker. ``own`` returns this worker's host as it is advertised. ``members`` asks the broker.
    """

    def __init__(
        self, given: Iterable[str], own: Callable[[], str], members: Callable[[], Awaitable[Collection[str]]]
    ) -> None:
        found = [host_or_network(text) for text in given]
        self._names = frozenset(one for one in found if isinstance(one, str))
        self._networks = [one for one in found if not isinstance(one, str)]
        self._own = own
        self._members = members
        self._known: frozenset[str] = frozenset()
        self._asked_at = -ASKED_SECONDS
        self._one_at_a_time = asyncio.Lock()

    async def allows(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return those of a host's addresses that may be asked. ``host`` is as it was advertised."""
        host, found = host.lower(), [*addresses]
        if self._names or self._networks:
            return found if self._is_named(host) else [one for one in found if _is_in(one, self._networks)]
        if host == self._own().lower():
            return found
        near = [one for one in found if _is_in(one, PRIVATE)]
        if near or not found:
            return near
        members = await self._member_hosts()
        return [one for one in found if _plain(one) in members]

    def _is_named(self, host: str) -> bool:
        return host in self._names or any(host.endswith(name[1:]) for name in self._names if name.startswith("*."))

    async def _member_hosts(self) -> frozenset[str]:
        async with self._one_at_a_time:
            if time.monotonic() - self._asked_at >= ASKED_SECONDS:
                try:
                    self._known = frozenset(map(_plain, await self._members()))
                except Outage as error:
                    log.debug("where members of the group are is not known: %s", error)
                self._asked_at = time.monotonic()
            return self._known


class Elsewhere(Exception):
    """A name leads to addresses that are not asked."""


class Resolver(ThreadedResolver):
    """Resolves names to those of their addresses that are asked. Raises :class:`Elsewhere` where there are none."""

    def __init__(self, hosts: PeerHosts) -> None:
        super().__init__()
        self._hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where to connect to."""
        found = await super().resolve(host, port, family)
        allowed = await self._hosts.allows(host, [one["host"] for one in found])
        if not allowed:
            raise Elsewhere(host)
        return [one for one in found if one["host"] in allowed]


def is_address(host: str) -> bool:
    """Whether a host is an address, which no resolver is asked for."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: Iterable[Network]) -> bool:
    try:
        found = ip_address(_plain(address))
    except ValueError:
        return False
    return any(found in network for network in networks)


def _plain(address: str) -> str:
    """Return an address without a zone, and an IPv4 address as such where IPv6 wraps it."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
