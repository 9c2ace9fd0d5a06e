"""Recorded trades as a feed: a file read in bounded memory, at real speed, at a multiple of it, or without pauses."""

import asyncio
import re
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from streams.errors import BadRecord, Fatal
from streams.model.deadletters import MAX_PAYLOAD_BYTES
from streams.model.kinds import MAX_NAME
from streams.model.products import Product
from streams.model.trade import Batch, Trade
from streams.progress import ReadProgress
from streams.venues.base import Feed, Venue
from streams.venues.recording.json_lines import JsonFormat, decode_keys, is_page, pair_of_page, product_in
from streams.venues.recording.lines import MICROS, CsvFormat, Format, is_header, reject
from streams.venues.recording.names import QUOTES, symbol_of_file, symbol_of_pair, venue_of_file

# A thread parses as much in about 10 ms. The event loop shares the interpreter with it, and stays responsive.
CHUNK_BYTES: Final = 128 * 1024
# A REST page of 1000 rows has 80 kB, a futures snapshot 20 kB. A longer line is not one of a recording.
MAX_LINE_BYTES: Final = 8 * 1024 * 1024
# A REST answer that is printed over many lines is read at once, so its size bounds memory.
MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
# At a given speed, trades due within this time of each other go out together.
SLICE_SECONDS: Final = 0.01

# A recorded session begins with heartbeats and acknowledgements, a CSV perhaps with a line that is damaged.
_SNIFFED_LINES: Final = 20
_BOM: Final = b"\xef\xbb\xbf"
_TIME_AND_SALES: Final = re.compile(rb"\s*\d+(\.\d+)?\s*,\s*\d[\d.eE+-]*\s*,\s*\d[\d.eE+-]*\s*")
_VENUE: Final = re.compile(rf"[a-z0-9_.:-]{{1,{MAX_NAME}}}")


class RecordingFeed(Feed):
    """The trades of a file. The format is detected from its content, see :mod:`streams.venues.recording.lines`.

    ``venues`` read the socket messages in it, and say what its symbols are: the first that counts a symbol does.

    ``speed`` is None for as fast as possible, 1.0 for real speed, and N for N times that. It follows the recorded
    receipt times where the file has them, else event times. Rows of CSV have no ids, and get the number of their line,
    counted from 1. So a file that is sent twice has the same identities. ``venue`` is ``recording:<file stem>`` unless
    given.

    A batch's ``received_us`` is the recorded receipt time, or 0: the moment of publication. Rows that cannot be
    used become rejects. Raises :class:`Fatal` for a file that is missing, empty or of no known format, and for a
    market that is not quoted in USD.
    """

    progress: ReadProgress

    def __init__(
        self,
        path: Path,
        venues: Iterable[Venue],
        *,
        symbol: str | None = None,
        venue: str | None = None,
        speed: float | None = None,
    ) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise Fatal(f"the speed of a recording must be above 0, not {speed}")
        self.venue = venue or venue_of_file(path)
        if not _VENUE.fullmatch(self.venue):
            raise Fatal(f"venue {self.venue!r} must be 1 to {MAX_NAME} of the characters a-z 0-9 _ . : -")
        self._path = path
        self._speed = speed
        self._venues = {one.name: one.called(self.venue) for one in venues}
        try:
            self.progress = ReadProgress(path.name, path.stat().st_size)
            with path.open("rb") as file:
                self._whole = False
                self._format, self._skip_bytes = self._detect(file, symbol)
        except OSError as error:
            raise Fatal(f"recording {path} cannot be read: {error.strerror or error}") from None

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Read the file, once. The file is read no further than the consumer asks."""
        self.progress.begin()
        reader = self._read()
        reading: asyncio.Task[list[Batch] | None] | None = None
        clock = None if self._speed is None else _Clock(self._speed)
        try:
            while True:
                reading = asyncio.create_task(asyncio.to_thread(next, reader, None))
                batches = await asyncio.shield(reading)
                if batches is None:
                    break
                for batch in batches:
                    for part in (batch,) if clock is None else clock.slices(batch):
                        if clock is not None:
                            await clock.wait(part)
                        self.progress.rows += len(part.trades)
                        self.progress.rejects += len(part.rejects)
                        yield part
        finally:
            if reading is not None:
                # The thread cannot be interrupted, and it still reads from the file.
                await asyncio.wait([reading])
            reader.close()
            self.progress.finish()

    def _read(self) -> Generator[list[Batch], None, None]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._skip_bytes)
                self.progress.bytes = self._skip_bytes
                yield from self._chunks(file)
        except OSError as error:
            raise Fatal(f"recording {self._path} cannot be read on: {error.strerror or error}") from None

    def _chunks(self, file: BinaryIO) -> Iterator[list[Batch]]:
        if self._whole:
            document = file.read(MAX_DOCUMENT_BYTES)
            self.progress.bytes += len(document)
            yield self._format.read([document], 1)
            return
        number, rest, dropped = 1, b"", 0
        while chunk := file.read(CHUNK_BYTES):
            self.progress.bytes += len(chunk)
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if lines and dropped:
                dropped, lines[0] = 0, b""
            if lines:
                yield self._format.read(lines, number)
                number += len(lines)
            if len(rest) > MAX_LINE_BYTES:
                if not dropped:
                    detail = f"line {number}: longer than {MAX_LINE_BYTES} bytes"
                    yield [Batch([], 0, [reject("magnitude", detail, rest[: MAX_PAYLOAD_BYTES + 1], self.venue)])]
                dropped, rest = dropped + len(rest), b""
        if rest and not dropped:
            yield self._format.read([rest], number)

    def _detect(self, file: BinaryIO, symbol: str | None) -> tuple[Format, int]:
        """Return the format and how many bytes stand before its first data line."""
        head = file.read(len(_BOM))
        skip = len(_BOM) if head == _BOM else 0
        file.seek(skip)
        first = file.readline(MAX_LINE_BYTES)
        lines = [first, *(file.readline(MAX_LINE_BYTES) for _ in range(_SNIFFED_LINES))]
        if not b"".join(lines).strip():
            raise Fatal(f"recording {self._path} is empty")
        if is_header(first):
            return CsvFormat(self.venue, *self._market(symbol), first.strip()), skip + len(first)
        json = JsonFormat(self.venue, self._venues, symbol)
        for line in lines:
            if _TIME_AND_SALES.fullmatch(line):
                return CsvFormat(self.venue, *self._market(symbol), None), skip
            if self._is_json(json, line, symbol):
                return json, skip
        if first.lstrip().startswith(b"{") and self.progress.total_bytes <= MAX_DOCUMENT_BYTES:
            file.seek(skip)
            if self._is_json(json, file.read(), symbol):
                self._whole = True
                return json, skip
        raise Fatal(
            f"recording {self._path} has no known format: it must be Kraken's timestamp,price,volume CSV, a CSV with "
            "the header time_ms,side,price,qty, REST Trades JSON, or JSON lines of socket messages (unpacked)"
        )

    def _is_json(self, json: JsonFormat, line: bytes, symbol: str | None) -> bool:
        try:
            keys = decode_keys(line)
        except BadRecord:
            return False
        if is_page(keys) and (pair := pair_of_page(keys)) is not None:
            self._counted(symbol or symbol_of_pair(pair), f"its pair {pair!r}")
        return json.knows(keys)

    def _market(self, symbol: str | None) -> tuple[str, Product]:
        return self._counted(symbol or symbol_of_file(self._path), "its name")

    def _counted(self, symbol: str | None, where: str) -> tuple[str, Product]:
        """Return a symbol as venues write it, and what its trades are."""
        if symbol is None:
            raise Fatal(f"recording {self._path}: no market can be told from {where}; give it with --symbol BASE/QUOTE")
        # XBT/USD is BTC/USD, whatever its quote is called.
        symbol = symbol_of_pair(symbol, (*QUOTES, symbol.partition("/")[2])) or symbol
        try:
            return symbol, product_in(self._venues, symbol)
        except BadRecord as error:
            raise Fatal(
                f"recording {self._path} is of {symbol}, which no venue counts in USD ({error.detail}); "
                "it would need a conversion rate, which does not exist yet"
            ) from None


class _Clock:
    """Holds trades back until they are due, ``speed`` seconds of the recording to one of ours."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first_us: int | None = None
        self._started = 0.0

    def slices(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch without receipt time where its trades are due apart."""
        if batch.received_us or not batch.trades or batch.trades[0].is_snapshot:
            yield batch
            return
        slice_us = SLICE_SECONDS * self._speed * MICROS
        rejects = batch.rejects
        part: list[Trade] = []
        for trade in batch.trades:
            if part and abs(trade.time_us - part[0].time_us) > slice_us:
                yield Batch(part, 0, rejects)
                part, rejects = [], []
            part.append(trade)
        yield Batch(part, 0, rejects)

    async def wait(self, batch: Batch) -> None:
        """Return when the batch is due; at once where its time lies before that of an earlier one."""
        # A snapshot without receipt time can begin hours before the recording: it goes out at once.
        time_us = batch.received_us or next((trade.time_us for trade in batch.trades if not trade.is_snapshot), 0)
        if not time_us:
            return
        now = asyncio.get_running_loop().time()
        if self._first_us is None:
            self._first_us, self._started = time_us, now
        await asyncio.sleep(max(0.0, self._started + (time_us - self._first_us) / MICROS / self._speed - now))
