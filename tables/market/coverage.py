"""Since when a market's panes are all there. What traded before its state began was counted by nobody. Pure.

A head keeps the first pane that was ever counted, and how far back panes were kept when it was written. A worker that
keeps them longer, since its windows are longer, knows by that which panes its state has never had.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

SINCE: Final = "since"
"""What a head adds: the first pane that is all there, and the retention under which it was written, in panes."""

SINCE_ITEMS: Final = 2

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[int, int])


def since_of(more: Mapping[str, Raw]) -> tuple[int, int] | None:
    """Return what a stored head adds, None where an earlier release began its state. Raises what msgspec does."""
    return _decoder.decode(more[SINCE]) if SINCE in more else None


def covered_since(more: Mapping[str, Raw], watermark: int, retention: int) -> int | None:
    """Return the first pane that is all there, for a worker that keeps ``retention`` panes; None if nobody knows."""
    told = since_of(more)
    if told is None:
        return None
    first, kept = told
    return max(first, watermark - kept + 1) if retention > kept else first


def covering(since: int | None, retention: int) -> dict[str, Raw]:
    """Return what a head adds."""
    return {} if since is None else {SINCE: Raw(_encoder.encode((since, retention)))}
