"""A start that cannot work ends before anything is started, with a line that says what to do."""

import socket
from functools import partial
from pathlib import Path

import pytest

from streams.errors import Fatal
from streams.preflight import all_of, check_file, check_network, check_port, check_report
from streams.settings import Settings, load_settings
from streams.venues.registry import make_venues


def addresses(settings: Settings) -> list[str]:
    """Return the sockets that the venues of these settings open."""
    return [url for venue in make_venues(settings) for url in venue.addresses()]


def test_taken_port_is_named_with_its_setting() -> None:
    """The message names the setting, the port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=rf"WEB_PORT {port} on 127\.0\.0\.1 .*address already in use.*another WEB_PORT"):
            check_port("127.0.0.1", port, "WEB_PORT")


def test_all_that_is_taken_is_said_at_once() -> None:
    """Not one thing at each start."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"WEB_PORT": one.getsockname()[1], "PRODUCER_METRICS_PORT": other.getsockname()[1]}
        checks = [partial(check_port, "127.0.0.1", port, name) for name, port in ports.items()]
        with pytest.raises(Fatal, match=rf"^WEB_PORT .*; PRODUCER_METRICS_PORT {ports['PRODUCER_METRICS_PORT']} .*"):
            all_of(*checks)
    assert all_of(*checks) == list(ports.values())


def test_port_zero_becomes_a_free_one() -> None:
    """0 stands for any free port."""
    assert check_port("127.0.0.1", 0, "WEB_PORT") > 0


def test_address_that_is_not_ours() -> None:
    """A host that this machine does not have is refused the same way."""
    with pytest.raises(Fatal, match="WEB_PORT"):
        check_port("203.0.113.1", 0, "WEB_PORT")


def test_recording_needs_a_file() -> None:
    """Without FILE the message shows the whole command."""
    with pytest.raises(Fatal, match=r"make run FEED=recording FILE="):
        check_file(None)


def test_missing_file(tmp_path: Path) -> None:
    """A missing recording is named."""
    with pytest.raises(Fatal, match=r"missing\.csv cannot be read: no such file"):
        check_file(tmp_path / "missing.csv")


def test_directory_is_no_recording(tmp_path: Path) -> None:
    """A directory is refused."""
    with pytest.raises(Fatal, match="is a directory"):
        check_file(tmp_path)


def test_file_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The producer gets an absolute path, whatever its directory."""
    (tmp_path / "trades.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    assert check_file(Path("trades.csv")) == tmp_path / "trades.csv"


def test_report_that_cannot_be_written(tmp_path: Path) -> None:
    """A run of hours does not end without its report: the path is tried first."""
    with pytest.raises(Fatal, match=r"--report .* cannot be written"):
        check_report(tmp_path / "missing" / "report.json")
    with pytest.raises(Fatal, match="is a directory"):
        check_report(tmp_path)


def test_trying_the_report_leaves_no_file(tmp_path: Path) -> None:
    """The check itself writes nothing, and keeps an earlier report."""
    check_report(tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()
    (tmp_path / "old.json").write_text("{}")
    check_report(tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "{}"


async def test_live_needs_its_hosts() -> None:
    """A host that does not resolve is named."""
    settings = load_settings(spot_ws_url="wss://no-such-host.invalid/v2", futures_symbols="")
    with pytest.raises(Fatal, match=r"no network for FEED=live: no-such-host\.invalid:443 .*does not resolve"):
        await check_network(addresses(settings))


async def test_refused_connection() -> None:
    """A host that refuses is told apart."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = load_settings(spot_ws_url=f"ws://127.0.0.1:{port}/v2", futures_symbols="")
    with pytest.raises(Fatal, match=f"127.0.0.1:{port} cannot be reached .connection refused"):
        await check_network(addresses(settings))


async def test_silent_host_has_a_deadline() -> None:
    """A host that never answers does not hold up the start."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        settings = load_settings(spot_ws_url=f"ws://127.0.0.1:{port}/v2", futures_symbols="")
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            with pytest.raises(Fatal, match=r"no answer within 0\.2 s"):
                await check_network(addresses(settings), timeout_seconds=0.2)
        finally:
            for filler in fillers:
                filler.close()


async def test_reachable_hosts_pass() -> None:
    """With both hosts there nothing is said; a feed without symbols is not asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        await check_network(addresses(load_settings(spot_ws_url=url, futures_ws_url=url)))
        await check_network(
            addresses(load_settings(spot_ws_url=url, futures_ws_url="wss://x.invalid", futures_symbols=""))
        )


async def test_address_without_a_host() -> None:
    """A URL that is none is refused with what it must be."""
    with pytest.raises(Fatal, match="must begin with wss:// or ws://"):
        await check_network(addresses(load_settings(spot_ws_url="ws.kraken.com", futures_symbols="")))


async def test_a_venue_beside_kraken_is_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each venue says its addresses."""
    monkeypatch.setenv("ACME_URL", "wss://no-such-acme.invalid")
    monkeypatch.setenv("ACME_SYMBOLS", "PF_BTC")
    settings = load_settings(venues="tests.venues.acme.venue", spot_symbols="", futures_symbols="")
    with pytest.raises(Fatal, match=r"no-such-acme\.invalid:443 .*does not resolve"):
        await check_network(addresses(settings))
