"""How often an address may show a wrong token. Pure, but for the clock that it is given."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 10
"""Wrong tokens of an address before it has to wait: a person who mistypes, and a few programs behind one proxy."""

SECONDS_EACH: Final = 6.0
"""Then one in so many seconds."""

MOST_ADDRESSES: Final = 10_000
"""An address takes some 200 bytes. Beyond so many the one that tried longest ago is forgotten."""

# Whoever has an IPv6 address has all of this network.
IPV6_NETWORK_BITS: Final = 64


class Attempts:
    """Counts wrong tokens by address. ``clock`` returns seconds that only rise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By network: when its last wrong token would be forgiven if it tried no more.
        self._forgiven_at: OrderedDict[str, float] = OrderedDict()

    def seconds_to_wait(self, address: str | None) -> float:
        """Return how long an address must wait before its token is looked at; 0 where it need not."""
        late = self._forgiven_at.get(network_of(address), 0.0) - self._clock() - (AT_ONCE - 1) * SECONDS_EACH
        return max(0.0, late)

    def wrong(self, address: str | None) -> None:
        """Note a wrong token."""
        network = network_of(address)
        self._forgiven_at[network] = max(self._forgiven_at.get(network, 0.0), self._clock()) + SECONDS_EACH
        self._forgiven_at.move_to_end(network)
        while len(self._forgiven_at) > MOST_ADDRESSES:
            self._forgiven_at.popitem(last=False)


def network_of(address: str | None) -> str:
    """Return what one client may be expected to have: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_NETWORK_BITS), strict=False))
