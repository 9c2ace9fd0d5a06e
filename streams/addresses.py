"""Addresses as people may see them, and as they write them for servers, stores and hosts that are trusted."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network

_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?").fullmatch


def without_secrets(url: str) -> str:
    """Return where an address leads: without name, password, query and fragment, any of which may be a secret."""
    try:
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return "an address that cannot be read"


def host_or_network(text: str) -> str | Network:
    """Return what stands for hosts: a network, or a name in lower case, which may begin with ``*.``.

    Raises :class:`ValueError` for anything else, such as an address with a port.
    """
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        # Four numbers that are no address are no name either.
        if _NAME(text.lower()) is None or text.replace(".", "").isdecimal() or "/" in text:
            raise ValueError(f"must be names, addresses or networks (10.0.0.0/8), not {text!r}") from None
        return text.lower()


def check_public_url(url: str) -> str:
    """Return the address of the web view as people reach it. Raises :class:`ValueError` where none could work."""
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
        raise ValueError("must be http:// or https:// with a host, such as https://monitor.example.com/liqmon")
    if parts.query or parts.fragment:
        raise ValueError("must end with a path, without ? and #")
    return url


def check_brokers(value: str) -> str:
    """Return the addresses of brokers. Raises :class:`ValueError` where one is not host:port, and where none is."""
    servers = [server.strip() for server in value.split(",") if server.strip()]
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not (host and colon and port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError(f"must be brokers as host:port, comma separated, not {server.rpartition('@')[2]!r}")
    if not servers:
        raise ValueError("must name at least one broker as host:port")
    return value


def is_redis(url: str) -> bool:
    """Whether an address is one of a Redis."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and port != 0


def check_table_store(value: str) -> str:
    """Return the address of a table store. Raises :class:`ValueError` for what is none."""
    if not value.startswith(("rocksdb://", "memory://")) and not is_redis(value):
        raise ValueError("must be rocksdb://, redis://host:port/db or memory://")
    return value
