"""Opens recordings: finds the format, the market and the order of each, and reads its first rows.

What cannot be played is refused here, before anything is published or any server starts.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PurePath
from typing import BinaryIO, Final

from streams.errors import BadRecording
from streams.model.tally import Tally
from streams.model.trade import Batch
from streams.venues.base import Venue
from streams.venues.recording.containers import MAX_MEMBERS, Archives, Part, bare_name, reading
from streams.venues.recording.finding import Finder, Found, OtherMarket
from streams.venues.recording.lines import IDS_OF_A_FILE, Chunk, Format
from streams.venues.recording.merging import when
from streams.venues.recording.names import venue_of_file
from streams.venues.recording.reading import MAX_LINE_BYTES
from streams.venues.recording.times import MICROS

# A thousand rows: enough to tell which way the times go, and past what a recorded session begins with.
_HEAD_BYTES: Final = 32 * 1024
_HEAD_LINES: Final = 20
# A REST answer that is printed over many lines is read at once, so its size bounds memory.
MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
# No clock is off by as much.
_MOST_AHEAD_US: Final = 86_400 * MICROS
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Recording:
    """One part of a recording, ready to be read. ``skip_bytes`` and ``skip_lines`` stand before its first row.

    With ``is_document`` all of it is one JSON object, with ``has_row_lines`` each line is a row. ``make_format`` is
    asked once per reading.
    """

    part: Part
    venue: str
    skip_bytes: int
    skip_lines: int
    is_document: bool
    is_newest_first: bool
    has_row_lines: bool
    make_format: Callable[[], Format]


def open_recordings(
    paths: Sequence[Path],
    venues: Sequence[Venue],
    archives: Archives,
    *,
    symbol: str | None = None,
    venue: str | None = None,
) -> tuple[list[Recording], list[str]]:
    """Return the parts of all files, and what has to be said of parts that are left out.

    ``symbol`` is the market of rows that name none, ``venue`` the venue of all. Of an archive with many members, those
    are left out that are not quoted in USD, and with ``symbol`` those whose names say another market.

    Raises :class:`BadRecording` that says what was found in a file that cannot be played.
    """
    recordings: list[Recording] = []
    left_out: list[str] = []
    counts: Counter[str] = Counter()
    twice = next((path for path, count in Counter(path.absolute() for path in paths).items() if count > 1), None)
    if twice is not None:
        raise BadRecording(f"recording {twice.name} is given twice: its trades would be counted twice")
    files = [(path, archives.parts(path)) for path in paths]
    parts_in_all = sum(len(parts) for _, parts in files)
    if parts_in_all > MAX_MEMBERS:
        raise BadRecording(f"{parts_in_all} recordings are too many: {MAX_MEMBERS} can be played in one run")
    is_alone = parts_in_all == 1
    for path, parts in files:
        name = venue or venue_of_file(PurePath(bare_name(path)))
        called = {one.name: one.called(name) for one in venues}
        opened = len(recordings)
        for part in parts:
            finder = Finder(part.label, part.tells, name, called, symbol)
            try:
                if symbol is not None and not is_alone:
                    finder.check_name()
                with reading(part.label):
                    recordings.append(_open(part, archives, name, finder, counts[name] * IDS_OF_A_FILE))
            except OtherMarket:
                if len(parts) == 1:
                    raise
                left_out.append(part.label)
            else:
                counts[name] += 1
        if opened == len(recordings):
            wanted = f"is of {symbol}" if symbol else "is quoted in USD"
            raise BadRecording(f"recording {path.name} has no member that {wanted}, only {_some(left_out)}")
    wanted = f"of {symbol}" if symbol else "quoted in USD"
    notes = [f"left out {len(left_out)} members that are not {wanted}: {_some(left_out)}"] if left_out else []
    return recordings, notes


def useless_words(tally: Tally) -> str:
    """Say that nothing of a recording can be used, and why."""
    count = tally.refused.total()
    return f"has no row that can be used, of {count:,} read ({tally.reasons()})"


def _open(part: Part, archives: Archives, name: str, finder: Finder, ids_before: int) -> Recording:
    with archives.open(part) as file:
        start = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    with archives.open(part) as file:
        file.read(start)
        lines = _head(file)

    def document() -> bytes:
        with archives.open(part) as file:
            file.read(start)
            text = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(text) > MAX_DOCUMENT_BYTES:
            size = f"more than {MAX_DOCUMENT_BYTES >> 20} MB"
            raise finder.refused(f"is one JSON object of {size}: give each page on a line of its own")
        return text

    found = finder.find(lines, document)
    skip_lines = next(at for at, line in enumerate(lines, 1) if line.strip()) if found.has_header else 0
    rows = [document()] if found.is_document else [line.rstrip(b"\n") for line in lines[skip_lines:]]
    if not any(row.strip() for row in rows):
        raise finder.refused("has a header and no row below it")
    tally = Tally()
    batches = found.make(0).read(Chunk(rows, skip_lines + 1, 1, 1))
    tally.add(batches)
    if tally.is_useless:
        raise finder.refused(useless_words(tally))
    times = [trade.time_us for batch in batches for trade in batch.trades]
    if times and min(times) > time.time_ns() // 1000 + _MOST_AHEAD_US:
        year = datetime.fromtimestamp(min(times) / MICROS, UTC).year
        raise finder.refused(f"is of the future: its first trades are of the year {year}")
    skip_bytes = start + sum(map(len, lines[:skip_lines]))
    return Recording(
        part,
        name,
        skip_bytes,
        skip_lines,
        found.is_document,
        not found.is_document and _is_newest_first(part, found, batches, skip_bytes),
        found.has_row_lines,
        lambda: found.make(ids_before),
    )


def _head(file: BinaryIO) -> list[bytes]:
    """Return the first lines of a stream, each whole unless it is too long."""
    lines: list[bytes] = []
    size = 0
    while (size < _HEAD_BYTES or len(lines) <= _HEAD_LINES) and size < MAX_LINE_BYTES:
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            break
        lines.append(line)
        size += len(line)
    return lines


def _is_newest_first(part: Part, found: Found, first: Sequence[Batch], skip_bytes: int) -> bool:
    """Say whether times fall along the first rows and, where the end can be looked at, from the first to the last."""
    times = _times(found, first)
    falls = sum(later < earlier for earlier, later in pairwise(times))
    rises = sum(later > earlier for earlier, later in pairwise(times))
    if not part.is_plain or not times:
        return falls > rises
    if falls <= rises and (falls or rises):
        return False
    with part.path.open("rb") as file:
        file.seek(max(skip_bytes, part.packed_bytes - _HEAD_BYTES))
        # The first of these lines is perhaps not whole.
        last = _times(found, found.make(0).read(Chunk(file.read(_HEAD_BYTES).splitlines(), 1, 1, 1)))
    return bool(last) and last[-1] < times[0]


def _times(found: Found, batches: Sequence[Batch]) -> list[int]:
    """Return when the first trade of each line happened."""
    if found.has_row_lines:
        return [trade.time_us for batch in batches for trade in batch.trades]
    return [due_us for batch in batches if (due_us := when(batch))]


def _some(labels: Sequence[str], most: int = 5) -> str:
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")
