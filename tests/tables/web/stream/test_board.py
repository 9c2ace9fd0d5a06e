"""The board gives each watcher what is newer than it has seen."""

import asyncio
import json
from typing import Any

from tables.web.api.rows import MarketRow
from tables.web.stream.board import Board, Key


def row(symbol: str, offset: int, owner: str = "http://a") -> MarketRow:
    """Return a market's row."""
    return MarketRow("venue", symbol, owner, 0, offset, None, 0, "volume", 1.0, 0.5, None, [])


def rows_in(events: bytes) -> dict[str, int]:
    """Return symbol and offset of the rows in some events."""
    found: dict[str, int] = {}
    for one in events.split(b"\n\n"):
        fields: dict[bytes, Any] = dict(line.partition(b": ")[::2] for line in one.split(b"\n"))
        if fields.get(b"event") == b"rows":
            found |= {item["symbol"]: item["offset"] for item in json.loads(fields[b"data"])}
    return found


def test_a_fast_watcher_gets_changes_only() -> None:
    """What has been seen is not sent again."""
    board = Board()
    board.put_row(row("A", 1))
    board.put_row(row("B", 1))
    board.publish()
    seen = board.revision
    board.put_row(row("B", 2))
    board.publish()
    assert rows_in(board.since(-1)) == {"A": 1, "B": 2}
    assert rows_in(board.since(seen)) == {"B": 2}
    assert board.since(board.revision) == b""


def test_a_slow_watcher_gets_the_latest_state_once() -> None:
    """A thousand changes behind, it is given one row a market: nothing queues up for it."""
    board = Board()
    for offset in range(1000):
        board.put_row(row("A", offset))
        board.publish()
    assert rows_in(board.since(0)) == {"A": 999}
    assert len(board.since(0)) < 400


def test_events_are_made_once_for_all() -> None:
    """Watchers that have seen the same share one serialisation."""
    board = Board()
    board.put_row(row("A", 1))
    board.publish()
    assert board.since(0) is board.since(0)


def test_the_later_offset_wins_while_its_owner_lives() -> None:
    """A worker that woke after its partition moved does not put old figures over new ones."""
    board = Board()
    board.put_row(row("A", 9, "http://new"))
    board.put_peer_row(Key("venue", "A", "http://old", 0, 5), b'{"symbol":"A","offset":5}', lambda _: True)
    board.publish()
    assert rows_in(board.since(0)) == {"A": 9}
    board.put_peer_row(Key("venue", "A", "http://old", 0, 5), b'{"symbol":"A","offset":5}', lambda _: False)
    board.publish()
    assert rows_in(board.since(0)) == {"A": 5}


async def test_waiting_ends_with_the_next_change() -> None:
    """A watcher sleeps until there is something to send."""
    board = Board()
    waiting = asyncio.create_task(board.wait(board.revision, 30))
    await asyncio.sleep(0)
    assert not waiting.done()
    board.put_row(row("A", 1))
    board.publish()
    await asyncio.wait_for(waiting, 5)


async def test_closing_lets_watchers_go() -> None:
    """A worker that stops does not wait for its readers."""
    board = Board()
    waiting = asyncio.create_task(board.wait(board.revision, 30))
    await asyncio.sleep(0)
    board.close()
    await asyncio.wait_for(waiting, 5)
