"""Recordings as tests write and read them."""

import json
from pathlib import Path
from typing import Any

from streams.model.trade import Batch, Reject, Trade
from streams.venues.recording.feed import RecordingFeed
from tests.kraken import KRAKEN_FUTURES, KRAKEN_SPOT


def recording(
    *paths: Path, symbol: str | None = None, venue: str | None = None, speed: float | None = None
) -> RecordingFeed:
    """Return a recording as it is read where no other venue than Kraken is named."""
    return RecordingFeed(paths, [KRAKEN_SPOT, KRAKEN_FUTURES], symbol=symbol, venue=venue, speed=speed)


async def read(feed: RecordingFeed) -> list[Batch]:
    """Read a recording to its end."""
    return [batch async for batch in feed.batches()]


async def trades_of(feed: RecordingFeed) -> list[Trade]:
    """Return the trades of a recording in which every row is good."""
    batches = await read(feed)
    assert [batch.rejects for batch in batches if batch.rejects] == []
    return [trade for batch in batches for trade in batch.trades]


async def rejects_of(feed: RecordingFeed) -> list[Reject]:
    """Return what a recording's reader refused."""
    return [reject for batch in await read(feed) for reject in batch.rejects]


def write(path: Path, *lines: str | dict[str, Any]) -> Path:
    """Write lines, objects as JSON."""
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path
