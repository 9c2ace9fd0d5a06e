"""Names that are no settings: in ``.env`` they stop the start, in the environment a misspelt one is said.

:func:`known_names` is the one place that says which names are read.
"""

import contextlib
import difflib
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream
from pydantic_settings import BaseSettings

from streams.errors import BadSetting
from streams.secret_files import file_names
from streams.settings import Settings, VenueSettings

log = logging.getLogger(__name__)

REMOVED: Final = {"pane_ms": "panes are one second wide"}
"""Settings of earlier versions, and why nobody needs them any more: who still sets one is told, and nothing else."""

COMPOSE: Final = frozenset({"grafana_password"})
"""Names that ``docker-compose.yml`` takes from ``.env`` for programs beside this one."""

ARGUMENTS: Final = {"file": "FEED=recording FILE=XBTUSD.csv", "symbol": "FEED=recording FILE=trades.csv SYMBOL=BTC/USD"}
"""What belongs to one run, not into ``.env``, and how it is given."""

# Compose passes all of .env to the containers: what it reads itself, and what interpreters and libraries read there.
_OTHERS: Final = re.compile(r"compose_.*|docker_.*|buildkit_.*|python.*|faust_.*|tz|(https?|no)_proxy")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
# A short name is within two letters of too many others: DB_HOST is none of WEB_HOST, nor WINDOWID of WINDOWS.
_SHORT: Final = 8
_MOST_EDITS: Final = 2


def known_names(modules: Iterable[str] = ()) -> frozenset[str]:
    """Return every name that is read, in lower case: the program's settings, and those of venues.

    ``modules`` are the venues' modules that may not be imported yet. One that cannot be is refused elsewhere.
    """
    for module in modules:
        with contextlib.suppress(Exception):
            import_module(module)
    kinds: list[type[BaseSettings]] = [Settings, *_below(VenueSettings)]
    return frozenset(name.lower() for kind in kinds for name in (*kind.model_fields, *file_names(kind)))


def check_names(settings: Settings) -> Settings:
    """Return the settings, once every name in ``.env`` is known and what looks misspelt elsewhere was said.

    Raises :class:`BadSetting` that names every line of ``.env`` that nobody reads, each with the nearest setting. What
    others read there, and what was removed, is logged as a warning.
    """
    known = known_names(settings.venues)
    wrong: list[str] = []
    for place, name in _lines():
        if name is None:
            wrong.append(f"{place} is no NAME=value")
        elif name.lower() in REMOVED:
            _warn_removed(name.lower())
        elif name.lower() in COMPOSE or _OTHERS.fullmatch(name.lower()):
            _warn(f"{place}: {name} is no setting of liqmon; in .env only the compose file and its containers read it")
        elif name.lower() in ARGUMENTS:
            wrong.append(f"{place}: {name} belongs to the command: make run {ARGUMENTS[name.lower()]}")
        elif name.lower() not in known:
            wrong.append(f"{place}: {name} is no setting{_did_you_mean(name, known)}")
    if wrong:
        raise BadSetting(f"{'; '.join(wrong)}. Correct these lines or delete them; .env.example lists every setting")
    for name in os.environ:
        if name.lower() in REMOVED:
            _warn_removed(name.lower())
        elif name.lower() not in known and (meant := misspelt(name.lower(), known)):
            _warn(f"the environment has {name}, which is no setting and does nothing: is {meant.upper()} meant?")
    return settings


def misspelt(name: str, known: Collection[str]) -> str | None:
    """Return the setting that a name is one or two edits away from: a letter more, less, other, or two swapped.

    Both begin with the same letter, as nearly all misspelt words do. A short name may differ by one edit only.
    """
    for one in sorted(known):
        most = _MOST_EDITS if len(one) >= _SHORT else 1
        if one[0] == name[:1] and abs(len(one) - len(name)) <= most and 0 < edits(name, one) <= most:
            return one
    return None


def edits(one: str, other: str) -> int:
    """Return how many letters are added, taken, changed or swapped with the next between two words."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, last = last, current
    return last[-1]


def _below(kind: type[VenueSettings]) -> Iterator[type[VenueSettings]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _lines() -> Iterator[tuple[str, str | None]]:
    """Yield where each line of ``.env`` stands, and its name: None where it has none, or nothing after it.

    What is no name is never shown: it may be a secret that was pasted.
    """
    files = Settings.model_config.get("env_file") or ()
    encoding = Settings.model_config.get("env_file_encoding")
    for file in (files,) if isinstance(files, str | os.PathLike) else files:
        path = Path(file)
        if not path.is_file():
            continue
        with path.open(encoding=encoding) as stream:
            for found in parse_stream(stream):
                text = found.original.string
                # Empty lines before a line belong to it.
                line = found.original.line + text[: len(text) - len(text.lstrip())].count("\n")
                place = f"{path.name}, line {line}"
                if found.error or (found.key is not None and found.value is None):
                    yield place, None
                elif found.key is not None:
                    yield place, found.key if _NAME.fullmatch(found.key) else None


def _did_you_mean(name: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    return f" (is {nearest[0].upper()} meant?)" if nearest else ""


@cache
def _warn(text: str) -> None:
    """Say something once for the process."""
    log.warning("%s", text)


@cache
def _warn_removed(name: str) -> None:
    log.warning("the setting %s was removed and does nothing: %s; delete its line", name.upper(), REMOVED[name])
