"""Rows of workers with other windows or figures, as after a change of ``WINDOWS`` or between two releases.

Each window goes by its length and each figure by its name, so that none is shown under another's heading.
"""

from typing import Any

import msgspec

from tables.market.values import FIGURE_NAMES
from tables.web.stream.board import Key


class PeerHello(msgspec.Struct, frozen=True):
    """How another worker orders its windows and their figures."""

    windows: tuple[int, ...]
    columns: tuple[str, ...]


class PeerKey(Key, frozen=True):
    """Says which market a row is of, and which windows it holds; a row of an earlier release does not say these."""

    window_seconds: tuple[int, ...] = ()


class _Windows(msgspec.Struct):
    windows: list[list[float | None]]


def in_own_order(raw: bytes, key: PeerKey, hello: PeerHello | None) -> bytes | None:
    """Return a row with its windows named and its figures in this worker's order.

    None where nobody can say which windows it holds. Raises :class:`msgspec.MsgspecError` for what is no row.
    """
    if key.window_seconds and hello is not None and hello.columns == FIGURE_NAMES:
        return raw
    if hello is None:
        return None
    seconds = key.window_seconds or hello.windows
    windows = msgspec.json.decode(raw, type=_Windows).windows
    if len(windows) != len(seconds) or any(len(figures) != len(hello.columns) for figures in windows):
        return None
    by_name = [dict(zip(hello.columns, figures, strict=True)) for figures in windows]
    row: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    row["windows"] = [[figures.get(name) for name in FIGURE_NAMES] for figures in by_name]
    row["window_seconds"] = seconds
    return msgspec.json.encode(row)
