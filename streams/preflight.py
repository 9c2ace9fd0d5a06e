"""What is checked before anything starts, so that a wrong start ends with one clear line."""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from streams.addresses import without_secrets
from streams.errors import BadSetting, Fatal
from streams.settings import Settings

# A person waits for this at the start. A connection opens within a second from anywhere. A lost packet is sent again
# after one and after three seconds.
NETWORK_SECONDS: Final = 5.0
WILDCARDS: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}

T = TypeVar("T")


def check_port(host: str, port: int, variable: str) -> int:
    """Return a port that can be bound: this one, or a free one for 0. Raises :class:`Fatal` that names the variable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Fatal(
                f"{variable} {port} on {host} cannot be used ({_reason(error)}): "
                f"stop what uses it, or set another {variable}"
            ) from None
        bound: int = probe.getsockname()[1]
        return bound


def all_of(*checks: Callable[[], T]) -> list[T]:
    """Return what the checks return. Raises one :class:`Fatal` that says everything that they found, not the first."""
    found: list[T] = []
    problems: list[str] = []
    for check in checks:
        try:
            found.append(check())
        except Fatal as error:
            problems.append(str(error))
    if problems:
        raise Fatal("; ".join(problems))
    return found


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(settings: Settings) -> None:
    """Raise :class:`BadSetting` where the web view would let anyone on the network in."""
    if settings.web_token is None and not is_loopback(settings.web_host):
        raise BadSetting(
            f"WEB_TOKEN: must be set (at least 16 characters) where WEB_HOST is not loopback: {settings.web_host} "
            "can be reached from other machines"
        )


def advertised_host(settings: Settings) -> str:
    """Return the name or address under which other workers reach this one's web server."""
    if settings.web_advertised_host:
        return settings.web_advertised_host
    if settings.web_host not in WILDCARDS:
        return settings.web_host
    # A container's host name resolves to the address that its neighbours know it by.
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return name
    return name if address.startswith("127.") else address


def check_file(file: Path | None) -> Path:
    """Return the recording's absolute path. Raises :class:`Fatal` when there is none or it cannot be read."""
    if file is None:
        raise Fatal("FEED=recording needs a file: make run FEED=recording FILE=XBTUSD.csv")
    try:
        with file.open("rb"):
            return file.resolve()
    except OSError as error:
        raise Fatal(f"FILE {file} cannot be read: {_reason(error)}") from None


def check_report(report: Path | None) -> None:
    """Raise :class:`Fatal` when the report could not be written at the end."""
    if report is None:
        return
    if report.is_dir():
        raise Fatal(f"--report {report} is a directory: name a file in it")
    existing = report.exists()
    try:
        with report.open("ab"):
            pass
    except OSError as error:
        raise Fatal(f"--report {report} cannot be written: {_reason(error)}") from None
    if not existing:
        report.unlink()


async def check_network(urls: Iterable[str], timeout_seconds: float = NETWORK_SECONDS) -> None:
    """Raise :class:`Fatal` when one of these sockets of live feeds cannot be reached."""
    await asyncio.gather(*(_reach(url, timeout_seconds) for url in urls))


async def _reach(url: str, timeout_seconds: float) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    if not host or not port:
        raise Fatal(f"{without_secrets(url)} is not a WebSocket address: it must begin with wss:// or ws://")
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        reason = f"no answer within {timeout_seconds:g} s"
    except OSError as error:
        reason = _reason(error)
    else:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return
    raise Fatal(f"no network for FEED=live: {host}:{port} cannot be reached ({reason})")


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    return os.strerror(error.errno).lower() if error.errno else str(error)
