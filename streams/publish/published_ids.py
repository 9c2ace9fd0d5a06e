"""What other producers of the same feed have published already, known through Redis. It only saves traffic.

Ids are marked after the broker has acknowledged them, and a trade is left out only where its own id is marked. Without
Redis, or with an empty or slow one, trades are published twice. Panes count each once.
"""

import asyncio
import contextlib
import logging
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from streams import keys, metrics
from streams.errors import Outage
from streams.model.frames import MAX_FRAME_TRADES, SNAPSHOT, Frame, decode_frame
from streams.model.kinds import WIDE_ID_BYTES
from streams.publish import bitmaps
from streams.publish.coalescer import Group
from streams.redis_link import RedisLink, Script
from streams.secured import redis_files
from streams.settings import Settings
from streams.unexpected import say_once

log = logging.getLogger(__name__)

WHAT: Final = "the ids that other producers have published"

DEADLINE_SECONDS: Final = 0.02
"""How long a frame waits for Redis. A frame that came during a call waits for that one too, and is promised 50 ms."""

# How long a producer waits for its broker before it begins to read. A venue sends history on subscribing, and just that
# was most likely published by others.
KNOW_SECONDS: Final = 2.0

# A script keeps Redis from its other clients: up to 3 ms for as many trades of futures, 0.3 ms for spot.
MAX_FRAMES_PER_CALL: Final = 32
MAX_TRADES_PER_CALL: Final = MAX_FRAME_TRADES
# Frames acknowledged and not yet marked. A mark helps for milliseconds, until the other producer publishes the same
# trades. Beyond so many frames, the oldest stay unmarked.
MAX_UNMARKED_FRAMES: Final = 1000

MINUTE_US: Final = 60_000_000

# Ids of 16 bytes in tables of as many as Lua passes to one command.
_PARTS: Final = """
local function parts(uids)
  local found = {}
  for start = 1, #uids, 16000 do
    local part = {}
    for at = start, math.min(start + 16000, #uids) - 15, 16 do
      part[#part + 1] = string.sub(uids, at, at + 15)
    end
    found[#found + 1] = part
  end
  return found
end
"""

# KEYS: chunks. ARGV: for each, the first and last byte to read of a bitmap; or "", and 16-byte ids to look up in a set.
LOOK_UP: Final = Script(f"""{_PARTS}
local found = {{}}
for i, key in ipairs(KEYS) do
  local first, rest = ARGV[2 * i - 1], ARGV[2 * i]
  if first == '' then
    local marks = {{}}
    for _, part in ipairs(parts(rest)) do
      marks[#marks + 1] = table.concat(redis.call('SMISMEMBER', key, unpack(part)))
    end
    found[i] = table.concat(marks)
  else
    found[i] = redis.call('GETRANGE', key, first, rest)
  end
end
return found
""")

# KEYS: chunks. ARGV: their lifetime, ms; for each, the first byte and the bits to set from there; or "", and 16-byte
# ids to add to a set.
MARK: Final = Script(f"""{_PARTS}
for i, key in ipairs(KEYS) do
  local first, rest = ARGV[2 * i], ARGV[2 * i + 1]
  if first == '' then
    for _, part in ipairs(parts(rest)) do
      redis.call('SADD', key, unpack(part))
    end
  else
    local old = redis.call('GETRANGE', key, first, first + #rest - 1)
    local bits = {{}}
    for at = 1, #rest do
      bits[at] = string.char(bit.bor(string.byte(rest, at), string.byte(old, at) or 0))
    end
    redis.call('SETRANGE', key, first, table.concat(bits))
  end
  redis.call('PEXPIRE', key, ARGV[1])
end
""")


class PublishedIds:
    """The published ids of one broker's topic. Until the broker is known, nothing is left out."""

    def __init__(self, link: RedisLink, *, lifetime_seconds: int) -> None:
        self._cluster = ""
        self._is_known = asyncio.Event()
        self._link = link
        self._lifetime_ms = lifetime_seconds * 1000
        # Each with the latest time that a worker accepts.
        self._unmarked: deque[tuple[bytes, int]] = deque(maxlen=MAX_UNMARKED_FRAMES)
        self._is_work = asyncio.Event()

    async def open(self) -> None:
        """Connect to Redis and wait until the broker is known. Return within seconds where either is away."""
        await self._link.open()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_known.wait(), KNOW_SECONDS)

    def know(self, cluster: str) -> None:
        """Mark and ask under this broker's name from now on. Forget what another broker acknowledged."""
        if cluster != self._cluster:
            # Acknowledged by another broker, which may have lost them.
            self._unmarked.clear()
        self._cluster = cluster
        self._is_known.set()

    async def close(self) -> None:
        """Mark what is acknowledged, then disconnect."""
        await self._mark_all()
        await self._link.close()

    @property
    def available(self) -> bool:
        """Whether the broker is known and Redis answers."""
        return bool(self._cluster) and self._link.available

    async def unpublished(self, groups: Sequence[Group]) -> Sequence[Group]:
        """Return the groups without the trades that are marked. Return all where Redis does not answer in time."""
        if not self.available:
            return groups
        try:
            return await self._unpublished(groups)
        except Outage:
            return groups
        except Exception as error:  # noqa: BLE001 - it only saves traffic: whatever it is, the trades are published
            say_once(log, WHAT, error)
            return groups

    async def _unpublished(self, groups: Sequence[Group]) -> Sequence[Group]:
        questions = [question for group in groups for question in _questions(self._cluster, group)]
        arguments = [argument for question in questions for argument in question.arguments]
        answers = await self._link.call(LOOK_UP, [question.key for question in questions], arguments)
        known: dict[int, set[int]] = {}
        for question, answer in zip(questions, answers, strict=True):
            if answer.strip(question.blank):
                known.setdefault(id(question.group), set()).update(question.known(answer))
        return [left for group in groups if (left := _without(group, known.get(id(group)))).trades]

    def acknowledged(self, frame: bytes, latest_us: int) -> None:
        """Queue a frame that the broker has acknowledged; :meth:`run` marks its trades up to ``latest_us``.

        Workers refuse what is later. A mark says that they accept the trade, not only that the broker has it.
        """
        if self.available:
            self._unmarked.append((frame, latest_us))
            self._is_work.set()

    async def run(self) -> None:
        """Mark what is acknowledged, until cancelled."""
        while True:
            await self._is_work.wait()
            self._is_work.clear()
            await self._mark_all()

    async def _mark_all(self) -> None:
        try:
            await self._mark()
        except Outage:
            self._unmarked.clear()
        except Exception as error:  # noqa: BLE001 - as above: what is not marked is published twice, and counted once
            say_once(log, WHAT, error)
            self._unmarked.clear()

    async def _mark(self) -> None:
        while self._unmarked:
            frames: list[tuple[Frame, int]] = []
            trades = 0
            while self._unmarked and len(frames) < MAX_FRAMES_PER_CALL and trades < MAX_TRADES_PER_CALL:
                data, latest_us = self._unmarked.popleft()
                frames.append((decode_frame(data), latest_us))
                trades += len(frames[-1][0])
            marks = _marks(self._cluster, frames)
            if not marks:
                continue
            arguments = [argument for pair in marks.values() for argument in pair]
            await self._link.call(MARK, list(marks), [self._lifetime_ms, *arguments])


class _Question(msgspec.Struct, frozen=True):
    """What is asked of one key for a group: the places of its trades, and their offsets in the chunk or their ids."""

    key: str
    group: Group
    places: list[int]
    arguments: tuple[Any, Any]
    offsets: list[int] | None = None

    @property
    def blank(self) -> bytes:
        """What an answer is made of when nothing is marked."""
        return b"0" if self.offsets is None else b"\0"

    def known(self, answer: bytes) -> Iterator[int]:
        """Yield the places of trades that are marked."""
        if self.offsets is None:
            return (place for place, mark in zip(self.places, answer, strict=True) if mark == ord("1"))
        first = self.arguments[0]
        pairs = zip(self.places, self.offsets, strict=True)
        return (place for place, offset in pairs if bitmaps.holds(answer, first, offset))


def _questions(cluster: str, group: Group) -> Iterator[_Question]:
    venue, symbol, trades = group.venue, group.symbol, group.trades
    if group.kind.has_wide_ids:
        minutes: dict[int, list[int]] = {}
        for place, trade in enumerate(trades):
            minutes.setdefault(trade.time_us // MINUTE_US, []).append(place)
        for minute, places in minutes.items():
            uids = b"".join(trades[place].trade_id.to_bytes(WIDE_ID_BYTES, "big") for place in places)
            yield _Question(keys.published_uids(cluster, venue, symbol, minute), group, places, ("", uids))
        return
    chunks: dict[int, list[int]] = {}
    for place, trade in enumerate(trades):
        chunks.setdefault(trade.trade_id // bitmaps.CHUNK_IDS, []).append(place)
    for chunk, places in chunks.items():
        offsets = [trades[place].trade_id % bitmaps.CHUNK_IDS for place in places]
        key = keys.published_ids(cluster, venue, symbol, chunk)
        yield _Question(key, group, places, bitmaps.byte_range(offsets), offsets)


def _without(group: Group, places: set[int] | None) -> Group:
    if not places:
        return group
    metrics.skipped.labels(group.venue).inc(len(places))
    left = [trade for place, trade in enumerate(group.trades) if place not in places]
    return msgspec.structs.replace(group, trades=left)


def _marks(cluster: str, frames: Iterable[tuple[Frame, int]]) -> dict[str, tuple[Any, bytes]]:
    """Return what to write for frames, each with the latest time that is marked.

    By key, it is the first byte and bits of a bitmap, or "" and ids for a set.

    Trades of a snapshot are not marked, since they raise no alert by themselves. Another producer may have seen the
    same trades live. Those raise alerts, and must not be left out.
    """
    offsets: dict[str, list[int]] = {}
    uids: dict[str, bytearray] = {}
    for frame, latest_us in frames:
        live = [place for place, flags in enumerate(frame.flags) if not flags & SNAPSHOT]
        times_us = array("q", frame.times_us)
        if max(times_us, default=0) > latest_us:
            live = [place for place in live if times_us[place] <= latest_us]
        if frame.wide_ids:
            for place in live:
                key = keys.published_uids(cluster, frame.venue, frame.symbol, times_us[place] // MINUTE_US)
                uids.setdefault(key, bytearray()).extend(frame.ids[place * WIDE_ID_BYTES : (place + 1) * WIDE_ID_BYTES])
        else:
            ids = frame.trade_ids()
            for chunk, found in bitmaps.by_chunk(ids[place] for place in live).items():
                offsets.setdefault(keys.published_ids(cluster, frame.venue, frame.symbol, chunk), []).extend(found)
    marks: dict[str, tuple[Any, bytes]] = {key: bitmaps.mask(found) for key, found in offsets.items()}
    return marks | {key: ("", bytes(found)) for key, found in uids.items()}


def published_ids(settings: Settings) -> PublishedIds | None:
    """Return what the settings ask for, None without REDIS_URL."""
    if settings.redis_url is None:
        return None
    link = RedisLink(
        settings.redis_url.get_secret_value(),
        redis_files(settings),
        deadline_seconds=DEADLINE_SECONDS,
        without=WHAT,
    )
    return PublishedIds(link, lifetime_seconds=settings.retention_seconds)
