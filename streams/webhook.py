"""A Discord webhook's address: its parts, and what must not be sent there. Pure. No text here shows a token."""

import re
from typing import Final, NamedTuple

EXAMPLE: Final = "https://discord.com/api/webhooks/<id>/<token>"
HOME: Final = "https://discord.com"
API: Final = "/api/v10"

# Letters, digits and dots, or an IPv6 address, and a port. A name before "@" would be read as a password, and what
# stands behind it as the host.
_HOST: Final = r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?"
_WEBHOOK: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_HOST})/api(?:/v\d+)?/webhooks/(?P<id>\d+)/(?P<token>[\w-]+)/?"
    r"(?:\?(?P<query>[^#\s]*))?",
    re.ASCII | re.IGNORECASE,
)
_BASE: Final = re.compile(rf"(?P<scheme>https?)://(?P<host>{_HOST})/?", re.ASCII | re.IGNORECASE)
# Discord under its other names. Any other host of a webhook is a server that speaks its protocol.
_DISCORD: Final = frozenset({"discord.com", "discordapp.com", "canary.discord.com", "ptb.discord.com"})
_THREAD: Final = re.compile(r"(?:^|&)thread_id=(\d+)(?:&|$)")


class Webhook(NamedTuple):
    """Where a webhook is asked: ``base`` is its server, ``thread_id`` the thread that it posts to, if any."""

    base: str
    path: str
    thread_id: str | None


def parse_webhook(address: str) -> Webhook:
    """Return the parts of a webhook's address. ``path`` is that of API v10.

    Discord shows addresses without a version. They mean v6, where times are in milliseconds. Raises
    :class:`ValueError`, which does not show the address, for one that is no webhook's or would send the token in clear.
    """
    match = _WEBHOOK.fullmatch(address.strip())
    if match is None:
        raise ValueError(f"must be a webhook's address as Discord shows it, {EXAMPLE}, without a user or a password")
    host = _host(match["scheme"], match["host"])
    thread = _THREAD.search(match["query"] or "")
    return Webhook(
        HOME if host in _DISCORD else f"{match['scheme'].lower()}://{match['host']}",
        f"{API}/webhooks/{match['id']}/{match['token']}",
        thread[1] if thread else None,
    )


def parse_base(address: str) -> str:
    """Return the address of a server that speaks Discord's protocol, without a slash at its end.

    Raises :class:`ValueError` as :func:`parse_webhook` does.
    """
    match = _BASE.fullmatch(address.strip())
    if match is None:
        raise ValueError(f"must be http(s)://host[:port], such as {HOME}, without a user, a password or a path")
    _host(match["scheme"], match["host"])
    return f"{match['scheme'].lower()}://{match['host']}"


def _host(scheme: str, host: str) -> str:
    """Return the host's name in its plain form. Raises :class:`ValueError` for Discord without TLS."""
    name = re.sub(r":\d+$", "", host.lower()).rstrip(".")
    if scheme.lower() == "http" and name in _DISCORD:
        raise ValueError(
            f"must begin with https://: over http the token travels in clear, and Discord takes no message; {EXAMPLE}"
        )
    return name
