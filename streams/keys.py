"""Every Redis key: what it holds, and how long it lives. All begin with ``liqmon:``."""

from typing import Final

PREFIX: Final = "liqmon"

WINDOW_SECONDS: Final = 60
"""How long a market's live windows outlive their last writing: readers see soon that nobody serves a market."""

PROBE: Final = f"{PREFIX}:probe"
"""The key that tells whether Redis takes writes; lives :data:`PROBE_MS`."""

PROBE_MS: Final = 1


def published_ids(cluster: str, venue: str, symbol: str, chunk: int) -> str:
    """Return the key of a bitmap of published trade ids, a string (see :mod:`streams.publish.bitmaps`).

    It lives for as long as panes are kept, counted from the last id marked: an older trade enters no window anyhow.
    ``cluster`` is the broker's: what one broker has acknowledged says nothing about another.
    """
    return f"{PREFIX}:published:{cluster}:{venue}:{symbol}:{chunk}"


def published_uids(cluster: str, venue: str, symbol: str, minute: int) -> str:
    """Return the key of a set of published 16-byte ids of trades of one minute of event time; lives like the above."""
    return f"{PREFIX}:published:{cluster}:{venue}:{symbol}:minute:{minute}"


def window(venue: str, symbol: str) -> str:
    """Return the key of a market's live windows, a hash; lives :data:`WINDOW_SECONDS` (see :mod:`tables.live`)."""
    return f"{PREFIX}:window:{venue}:{symbol}"


def windows_of(partition: int | str) -> str:
    """Return the key of the sorted set of a partition's live windows: their keys by when each was last written.

    A member is dropped when its hash has expired; the set lives as long as they do.
    """
    return f"{PREFIX}:windows:{partition}"


def table_prefix(app_id: str, table: str) -> str:
    """Return what every key of a table begins with."""
    return f"{PREFIX}:table:{app_id}:{table}:"


def table_meta(app_id: str, table: str, partition: int) -> str:
    """Return the key of what is known of a stored partition: ``cluster`` and changelog ``offset``. Never expires."""
    return f"{table_prefix(app_id, table)}{partition}:meta"


def table_markets(app_id: str, table: str, partition: int) -> str:
    """Return the key of the set of a stored partition's markets, ``venue|symbol`` each. Never expires."""
    return f"{table_prefix(app_id, table)}{partition}:markets"


def table_market(app_id: str, table: str, partition: int, market: str) -> str:
    """Return the key of one market's stored state, a hash; ``market`` is ``venue|symbol``. Never expires."""
    return f"{table_prefix(app_id, table)}{partition}:market:{market}"
