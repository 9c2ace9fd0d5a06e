"""Rows as CSV, for spreadsheets."""

import asyncio
import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from aiohttp import hdrs, web

FORMULA_STARTS: Final = frozenset("=+-@\t\r\n")
"""A spreadsheet runs a cell that begins with one of these as a formula. Some take wide, small and raised signs alike,
and pass over what is not seen before them.
"""

UNSEEN: Final = frozenset(("Cc", "Cf", "Zs"))

ROWS_BETWEEN_TURNS: Final = 100
"""Measured: writing so many rows takes 2 to 3 ms."""


async def csv_text(columns: Iterable[str], rows: Iterable[object]) -> str:
    """Return rows as CSV with a heading: ranges as ``low-high``, several of them separated by spaces.

    The stream's messages have their turn between some rows and the next.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    names = list(columns)
    writer.writerow(names)
    for number, row in enumerate(rows, 1):
        writer.writerow([_cell(getattr(row, name)) for name in names])
        if number % ROWS_BETWEEN_TURNS == 0:
            await asyncio.sleep(0)
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if is_formula(value) else value
    if isinstance(value, list):
        return _cell(" ".join(_joined(value)))
    return value.isoformat() if isinstance(value, datetime) else value


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a text as a formula."""
    seen = next((sign for sign in text if unicodedata.category(sign) not in UNSEEN), "")
    return bool(FORMULA_STARTS & {text[:1], *unicodedata.normalize("NFKC", seen)})


def _joined(values: list[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            low, high = value
            yield str(low) if low == high else f"{low}-{high}"
        else:
            yield str(value)


def csv_response(name: str, text: str) -> web.Response:
    """Return CSV as a download. ``name`` is the file's, made of letters, digits and dashes by the caller."""
    return web.Response(
        text=text,
        content_type="text/csv",
        charset="utf-8",
        headers={hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}.csv"'},
    )
