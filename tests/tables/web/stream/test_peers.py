"""Rows of other workers: what goes by another order there is never shown under another's heading here."""

import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tables.market.values import FIGURE_NAMES
from tables.web.stream.board import Board, event
from tables.web.stream.peers import Peers
from tests.tables.web.stream.test_board import row
from tests.waiting import until

HELLO = {"windows": (60, 300), "columns": FIGURE_NAMES, "here": "http://a"}
MINUTE, FIVE = [float(n) for n in range(len(FIGURE_NAMES))], [float(100 + n) for n in range(len(FIGURE_NAMES))]


class Peer:
    """Another worker's stream: sends these events to who asks, then is silent."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for name, data in self.events:
            await response.write(event(name, msgspec.json.encode(data)))
        await until(lambda: request.transport is None or request.transport.is_closing())
        return response


@pytest.fixture
async def board() -> Board:
    """Give the board that rows are taken over to."""
    return Board()


@pytest.fixture
async def follow(board: Board) -> AsyncIterator[Callable[..., Any]]:
    """Give what follows a worker that sends these events, and returns who follows."""
    peer = Peer()
    app = web.Application()
    app.router.add_get("/api/stream", peer.stream)
    async with TestServer(app) as server, ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        cluster = SimpleNamespace(
            here="http://here",
            peers=lambda: [url],
            ask=lambda url, path, query, _: session.get(url + path, params=query),
        )
        peers = Peers(cluster, board)  # type: ignore[arg-type]

        async def start(*events: tuple[str, Any]) -> Peers:
            peer.events = [*events]
            peers.follow()
            await until(lambda: len(board) or peers.unreadable)
            return peers

        yield start
        await peers.stop()


def a_row(**changes: Any) -> dict[str, Any]:
    """Return a market's row as JSON has it, with two windows."""
    fields: dict[str, Any] = msgspec.to_builtins(row("BTC/USD", 7)) | {"windows": [MINUTE, FIVE]}
    return {name: value for name, value in (fields | changes).items() if value is not None or name == "copied"}


def taken(board: Board) -> dict[str, Any]:
    """Return the row that is on the board."""
    board.publish()
    (line,) = [line for line in board.since(-1).split(b"\n") if line.startswith(b"data: ")]
    rows = {one["symbol"]: one for one in json.loads(line.removeprefix(b"data: "))}
    found: dict[str, Any] = rows["BTC/USD"]
    return found


async def test_a_row_is_passed_on_as_it_came(board: Board, follow: Callable[..., Any]) -> None:
    """Where its windows are named it needs no look, whichever they are."""
    sent = a_row(window_seconds=[60, 7200])
    await follow(("hello", HELLO), ("rows", [sent]))
    assert taken(board) == sent


async def test_an_earlier_releases_windows_are_those_of_its_hello(board: Board, follow: Callable[..., Any]) -> None:
    """Its rows do not name them."""
    peers = await follow(("hello", HELLO | {"windows": (120, 3600)}), ("rows", [a_row(window_seconds=None)]))
    found = taken(board)
    assert dict(zip(found["window_seconds"], found["windows"], strict=True)) == {120: MINUTE, 3600: FIVE}
    assert peers.unreadable == set()


async def test_figures_go_by_their_name(board: Board, follow: Callable[..., Any]) -> None:
    """A release with others, in another order, fills the columns that both know."""
    columns = ("new_figure", *reversed(FIGURE_NAMES[1:]))
    figures = [float(n) for n in range(len(columns))]
    await follow(("hello", HELLO | {"columns": columns}), ("rows", [a_row(window_seconds=[60], windows=[figures])]))
    (values,) = taken(board)["windows"]
    assert values == [None, *reversed(figures[1:])]


@pytest.mark.parametrize(
    "events",
    [
        [("rows", [a_row()])],
        [("hello", HELLO), ("rows", [a_row(window_seconds=None, windows=[MINUTE])])],
        [("hello", HELLO), ("rows", [a_row(window_seconds=None, windows=[MINUTE, FIVE[:-1]])])],
    ],
    ids=["before a hello", "another number of windows", "another number of figures"],
)
async def test_what_nobody_can_tell_apart_is_left_out(
    board: Board, follow: Callable[..., Any], events: list[tuple[str, Any]]
) -> None:
    """And it is known whose rows are missing."""
    peers = await follow(*events)
    board.publish()
    assert b"BTC/USD" not in board.since(-1)
    assert len(peers.unreadable) == 1
