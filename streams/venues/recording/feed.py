"""Recorded trades as a feed: files read in bounded memory, at real speed, at a multiple of it, or without pauses."""

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO, Final

from streams.errors import BadRecording
from streams.model.kinds import MAX_NAME
from streams.model.tally import Tally
from streams.model.trade import Batch
from streams.progress import ReadProgress
from streams.venues.base import Feed, Venue
from streams.venues.recording.clock import Clock
from streams.venues.recording.containers import Archives, GzipStream, Part, reading, unpacked
from streams.venues.recording.lines import Chunk
from streams.venues.recording.merging import merged
from streams.venues.recording.merging_columns import merged_columns
from streams.venues.recording.opening import MAX_DOCUMENT_BYTES, Recording, open_recordings, useless_words
from streams.venues.recording.reading import backwards, forwards, too_long

# A thread parses as much in about 10 ms. The event loop shares the interpreter with it, and stays responsive.
CHUNK_BYTES: Final = 128 * 1024
# Of several files as much is held at once; in memory, rows are some thirty times as large.
MERGED_BYTES: Final = 1024 * 1024
_LEAST_CHUNK_BYTES: Final = 1024

_VENUE: Final = re.compile(rf"[a-z0-9_.:-]{{1,{MAX_NAME}}}")


class RecordingFeed(Feed):
    """The trades of files, in the order of time. Formats are found by content, see :mod:`~.opening`.

    ``venues`` read the socket messages in them, and say what their symbols are: the first that counts a symbol does.

    ``speed`` is None for as fast as possible, 1.0 for real speed, and N for N times that. It follows the recorded
    receipt times where a file has them, else event times. Rows without an id get one that tells their place in the
    file. So a file that is sent twice has the same identities. ``venue`` is ``recording:<file stem>`` unless given.

    A batch's ``received_us`` is the recorded receipt time, or 0: the moment of publication. Rows that cannot be
    used become rejects. Raises :class:`BadRecording`, here for a file that cannot be played, and at the end of
    reading for one of which no row could be used.
    """

    progress: ReadProgress

    def __init__(
        self,
        paths: Sequence[Path],
        venues: Iterable[Venue],
        *,
        symbol: str | None = None,
        venue: str | None = None,
        speed: float | None = None,
    ) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise BadRecording(f"the speed of a recording must be above 0, not {speed}")
        if venue is not None and not _VENUE.fullmatch(venue):
            raise BadRecording(f"venue {venue!r} must be 1 to {MAX_NAME} of the characters a-z 0-9 _ . : -")
        self._paths = list(paths)
        self._speed = speed
        with closing(Archives()) as archives:
            self._recordings, self.notes = open_recordings(
                self._paths, list(venues), archives, symbol=symbol, venue=venue
            )
        # Trades that are held back are looked at one by one, and so are messages that are put in order.
        is_simple = len(self._recordings) == 1 or all(recording.has_row_lines for recording in self._recordings)
        self._are_together = speed is None and is_simple
        self.venue = self._recordings[0].venue
        self.tallies = [Tally() for _ in self._recordings]
        name = self._paths[0].name + (f" and {len(self._paths) - 1} more" if len(self._paths) > 1 else "")
        self.progress = ReadProgress(name, sum(recording.part.packed_bytes for recording in self._recordings))

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Read the files, once. They are read no further than the consumer asks."""
        self.progress.begin()
        reader = self._read()
        running: asyncio.Task[list[Batch] | None] | None = None
        clock = None if self._speed is None else Clock(self._speed)
        try:
            while True:
                running = asyncio.create_task(asyncio.to_thread(next, reader, None))
                batches = await asyncio.shield(running)
                if batches is None:
                    break
                for batch in batches:
                    for part in (batch,) if clock is None else clock.slices(batch):
                        if clock is not None:
                            await clock.wait(part)
                        self.progress.rows += len(part.trades)
                        self.progress.rejects += len(part.rejects)
                        yield part
            self._check()
        finally:
            if running is not None:
                # The thread cannot be interrupted, and it still reads from the file.
                await asyncio.wait([running])
            reader.close()
            self.progress.finish()

    def _read(self) -> Generator[list[Batch], None, None]:
        with ExitStack() as exits:
            archives = exits.enter_context(closing(Archives()))
            count = len(self._recordings)
            chunk_bytes = CHUNK_BYTES
            if count > 1:
                chunk_bytes = max(_LEAST_CHUNK_BYTES, min(CHUNK_BYTES, MERGED_BYTES // count))
            files = [
                exits.enter_context(closing(self._one(recording, tally, archives, chunk_bytes)))
                for recording, tally in zip(self._recordings, self.tallies, strict=True)
            ]
            if count == 1:
                yield from files[0]
            else:
                merge = merged_columns if self._are_together else merged
                yield from merge(files, time.time_ns() // 1000)

    def _one(
        self, recording: Recording, tally: Tally, archives: Archives, chunk_bytes: int
    ) -> Generator[list[Batch], None, None]:
        known = recording.make_format()
        read = known.read_together if self._are_together else known.read
        with reading(recording.part.label, "read on"), ExitStack() as exits:
            for chunk in self._chunks(recording, archives, chunk_bytes, exits):
                if isinstance(chunk, Chunk):
                    batches = read(chunk)
                else:
                    batches = [Batch([], 0, [too_long(*chunk, recording.venue)])]
                tally.add(batches)
                yield batches

    def _chunks(
        self, recording: Recording, archives: Archives, chunk_bytes: int, exits: ExitStack
    ) -> Iterator[Chunk | tuple[int, bytes, int]]:
        part, first_line = recording.part, recording.skip_lines + 1
        file = exits.enter_context(archives.open(part))
        if recording.is_newest_first and not part.is_plain:
            file = exits.enter_context(unpacked(file, part.label))
        told = _Meter(self.progress, part, file)
        file.read(recording.skip_bytes)
        told(recording.skip_bytes)
        if recording.is_document:
            document = file.read(MAX_DOCUMENT_BYTES)
            told(len(document))
            yield Chunk([document], 1, 1, 1)
        elif recording.is_newest_first:
            yield from backwards(file, recording.skip_bytes, first_line, chunk_bytes, told)
        else:
            yield from forwards(file, first_line, chunk_bytes, told)

    def _check(self) -> None:
        """Raise :class:`BadRecording` where every row of a file was refused."""
        for recording, tally in zip(self._recordings, self.tallies, strict=True):
            if tally.is_useless:
                raise BadRecording(f"recording {recording.part.label} {useless_words(tally)}")


class _Meter:
    """Counts what has been read of a part, in bytes on disk: the size that a person knows."""

    def __init__(self, progress: ReadProgress, part: Part, file: BinaryIO) -> None:
        self._progress = progress
        self._packed_bytes = part.packed_bytes
        self._file = file
        # Of gzip, the size is known once all of it is unpacked.
        self._bytes = os.fstat(file.fileno()).st_size if part.packing == "gzip" else part.unpacked_bytes
        self._read = 0
        self._told = 0

    def __call__(self, count: int) -> None:
        self._read += count
        if isinstance(self._file, GzipStream):
            reached = self._file.packed_position()
        else:
            reached = self._read * self._packed_bytes // max(self._bytes, 1)
        self._progress.bytes += reached - self._told
        self._told = reached
