"""Reading the query of a request: every parameter is known, given once, and what it must be."""

import re
from collections.abc import Collection
from typing import Final

from aiohttp import web

MAX_UNIX_SECONDS: Final = 4_102_444_800
"""The year 2100."""

NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f]{1,100}$"
_NAME: Final = re.compile(NAME_PATTERN)
_INTEGER: Final = re.compile(r"^[0-9]{1,12}$", re.ASCII)


class BadQuery(ValueError):
    """A parameter is unknown, given twice, missing or wrong; the text names it and says what it must be."""


class Query:
    """The parameters of a request. Raises :class:`BadQuery` where one is not among ``known`` or given twice."""

    def __init__(self, request: web.Request, known: Collection[str]) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query.items():
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise BadQuery(f"unknown parameter {name[:40]!r}; there are: {allowed}")
            if name in self._values:
                raise BadQuery(f"{name}: is given twice")
            self._values[name] = value

    def name(self, key: str) -> str | None:
        """Return a venue, symbol or rule; None where it is not given."""
        value = self._values.get(key)
        if value is None:
            return None
        if not _NAME.fullmatch(value) or not _encodes(value):
            raise BadQuery(f"{key}: must be 1 to 100 printable characters")
        return value

    def required(self, key: str) -> str:
        """Return a name that must be given."""
        value = self.name(key)
        if value is None:
            raise BadQuery(f"{key}: is required")
        return value

    def integer(self, key: str, *, low: int, high: int) -> int | None:
        """Return a whole number between ``low`` and ``high``; None where it is not given."""
        value = self._values.get(key)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or not low <= int(value) <= high:
            raise BadQuery(f"{key}: must be a whole number from {low} to {high}")
        return int(value)

    def span(self) -> tuple[int | None, int | None]:
        """Return ``from`` (inclusive) and ``to`` (exclusive), unix seconds; an empty span is no error."""
        return (
            self.integer("from", low=0, high=MAX_UNIX_SECONDS),
            self.integer("to", low=0, high=MAX_UNIX_SECONDS),
        )

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        """Return one of ``choices``."""
        value = self._values.get(key, default)
        if value not in choices:
            raise BadQuery(f"{key}: must be one of {', '.join(choices)}")
        return value

    def choices(self, key: str, choices: Collection[str]) -> tuple[str, ...]:
        """Return some of ``choices``, comma separated; empty where it is not given."""
        value = self._values.get(key)
        if value is None:
            return ()
        found = tuple(dict.fromkeys(value.split(",")))
        if not set(found) <= set(choices):
            raise BadQuery(f"{key}: must be one or more of {', '.join(choices)}, comma separated")
        return found


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
