"""Finds what the first lines of a recording are: their format, their market, and whether rows have ids. No I/O."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

from streams.errors import BadRecord, BadRecording
from streams.venues.base import Venue
from streams.venues.recording.columns import Columns, UnknownColumns, fields_of, find_columns, is_header
from streams.venues.recording.csv_columns import CsvColumns
from streams.venues.recording.csv_rows import KINDS, CsvFormat, identity_of
from streams.venues.recording.json_lines import JsonFormat, decode_keys
from streams.venues.recording.lines import Format
from streams.venues.recording.markets import Market, Markets
from streams.venues.recording.names import symbol_of_file, symbol_of_name, symbol_of_pair
from streams.venues.recording.pages import HISTORY, Keys, Pages, has_ids, is_page, pair_of_page, refuse_other_answers

READ_HERE: Final = (
    "CSV of Kraken's timestamp,price,volume or with a header that names time, price and qty; "
    "pages of Kraken's REST Trades or futures history; JSON lines of socket messages; each also as .gz or .zip"
)


# Rows of CSV are all alike; the first of them may be damaged.
_SNIFFED_LINES: Final = 100


class OtherMarket(BadRecording):
    """A part is of a market that is not played. An archive's member is left out then."""


@dataclass(frozen=True)
class Found:
    """A format that was found. ``make`` is given the number that made ids are counted on from.

    It is asked once per reading: a format counts rows. With ``is_document`` all of the part is one JSON object. With
    ``has_row_lines`` each line is a row, else a line is a message or a page of many.
    """

    make: Callable[[int], Format]
    has_header: bool = False
    has_row_lines: bool = False
    is_document: bool = False


class Finder:
    """Finds the format of one part. ``label`` is its name for people, ``tells`` the one that may tell its market.

    ``venues`` are those that may count it, called as the recording is. ``symbol`` is its market where that was given.
    Everything raises :class:`BadRecording` that says what was found.
    """

    def __init__(self, label: str, tells: PurePath, name: str, venues: Mapping[str, Venue], symbol: str | None) -> None:
        self._label = label
        self._tells = tells
        self._name = name
        self._venues = venues
        self._markets = Markets(venues)
        self._symbol = symbol

    def check_name(self) -> None:
        """Raise :class:`OtherMarket` where the name says another market than was given for all parts."""
        told = symbol_of_file(self._tells)
        given = (self._symbol and symbol_of_name(self._symbol)) or self._symbol
        if told is not None and told != given:
            raise OtherMarket(
                f"recording {self._label} is of {told} by its name, and --symbol {given} is for all files: "
                "play it in a run of its own"
            )

    def find(self, lines: Sequence[bytes], document: Callable[[], bytes]) -> Found:
        """Return the format of a part that begins with these lines; ``document`` returns all of it."""
        filled = [line for line in lines if line.strip()]
        if not filled:
            raise self.refused("is empty")
        first, some = filled[0].lstrip(), filled[:_SNIFFED_LINES]
        try:
            columns = find_columns(some) if _has_header(first) else None
            if columns is None:
                found = self._json_lines(filled)
                if found is not None:
                    return found
                if first.startswith(b"{"):
                    return self._json_document(document())
                if first.startswith(b"["):
                    raise self.refused("is a list of JSON: give each message or page as an object on a line of its own")
                columns = find_columns(some)
        except UnknownColumns as error:
            raise self.refused(f"is CSV, but {error}") from None
        if columns is None:
            raise self.refused(f"has no known format: what is read is {READ_HERE}")
        return self._csv(columns, some)

    def refused(self, what: str) -> BadRecording:
        """Return the error that says what was found."""
        return BadRecording(f"recording {self._label} {what}")

    def _csv(self, columns: Columns, lines: Sequence[bytes]) -> Found:
        rows = [fields for line in lines if len(fields := _fields(line, columns.delimiter)) == columns.width]
        rows = [fields for fields in rows if not is_header(fields)]
        if columns.kind is not None and not any(row[columns.kind].strip().lower() in KINDS for row in rows):
            # The type of an order, such as limit or market, is of no use here.
            columns = replace(columns, kind=None)
        if columns.symbol is not None and self._symbol is not None:
            raise self.refused("names its markets in a column: leave --symbol out")
        market = self._market() if columns.symbol is None else None
        numbered = not self._have_ids(columns, rows, market)

        def make(ids_before: int) -> Format:
            return CsvColumns(
                CsvFormat(self._name, columns, self._markets, market, numbered=numbered, ids_before=ids_before)
            )

        return Found(make, has_header=bool(columns.header), has_row_lines=True)

    def _have_ids(self, columns: Columns, rows: Sequence[Sequence[str]], market: Market | None) -> bool:
        """Whether rows have identities of their own: any but 0, as wide as those of their market.

        One that all of different rows share is none: it may be the exchange's number, or a placeholder.
        """
        if columns.identity is None:
            return False
        identities: set[tuple[str, int]] = set()
        different: set[tuple[str, ...]] = set()
        for row in rows:
            try:
                symbol, product = market or self._markets.named(row[columns.symbol or 0])
                identity = identity_of(row[columns.identity], wide=product.kind.has_wide_ids)
            except BadRecord:
                continue
            if identity is not None:
                identities.add((symbol, identity))
                different.add(tuple(row))
        return len(identities) > 1 or len(different) == 1

    def _json_lines(self, lines: Sequence[bytes]) -> Found | None:
        for line in lines:
            keys = _keys_of(line) if line.lstrip().startswith(b"{") else None
            if keys is not None and (found := self._json(keys)) is not None:
                return found
        return None

    def _json_document(self, document: bytes) -> Found:
        keys = _keys_of(document)
        if keys is None:
            raise self.refused("begins as JSON, and is cut off or damaged")
        found = self._json(keys)
        if found is None:
            raise self.refused(f"is JSON with keys of no known message ({', '.join(keys)[:100]}): {READ_HERE} are read")
        return replace(found, is_document=True)

    def _json(self, keys: Keys) -> Found | None:
        market: Market | None = None
        numbered = False
        if is_page(keys):
            refuse_other_answers(self._label, keys)
            market = self._market() if HISTORY in keys or self._symbol else None
            numbered = not has_ids(keys)
            pair = None if HISTORY in keys else pair_of_page(keys)
            if pair is not None and (market is None or symbol_of_pair(pair) is not None):
                named, _ = self._counted(pair)
                if market is not None and named != market[0]:
                    raise self.refused(f"names its market, {named}: leave --symbol {self._symbol} out")

        def make(ids_before: int) -> JsonFormat:
            pages = Pages(self._name, self._markets, market, numbered=numbered, ids_before=ids_before)
            return JsonFormat(self._name, self._venues, pages)

        if make(0).knows(keys):
            return Found(make)
        refuse_other_answers(self._label, keys)
        return None

    def _market(self) -> Market:
        symbol = self._symbol or symbol_of_file(self._tells)
        if symbol is None:
            raise BadRecording(
                f"recording {self._label}: no market can be told from its name; give it as SYMBOL=BTC/USD with make, "
                "else as --symbol BTC/USD"
            )
        return self._counted(symbol)

    def _counted(self, symbol: str) -> Market:
        try:
            return self._markets.named(symbol)
        except BadRecord as error:
            raise OtherMarket(
                f"recording {self._label} is of {symbol}, which no venue counts in USD ({error.detail}); "
                "it would need a conversion rate, which does not exist yet"
            ) from None


def _has_header(line: bytes) -> bool:
    return any(is_header(_fields(line, delimiter)) for delimiter in ",;\t")


def _fields(line: bytes, delimiter: str) -> list[str]:
    try:
        return fields_of(line, delimiter)
    except csv.Error:
        return []


def _keys_of(line: bytes) -> Keys | None:
    try:
        return decode_keys(line)
    except BadRecord:
        return None
