"""Which venues there are, and which feeds the settings and the command line ask for.

Kraken's are always there. VENUES names the modules of others; each has a function ``venues(settings)`` that returns
:class:`~streams.venues.base.Venue` objects.
"""

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from streams.errors import BadSetting, Fatal
from streams.model.kinds import MAX_NAME
from streams.model.trade import is_market_name
from streams.settings import Settings
from streams.unexpected import in_a_line
from streams.venues.base import Feed, Venue
from streams.venues.recording.feed import RecordingFeed

KRAKEN: Final = "streams.venues.kraken.venue"


def make_venues(settings: Settings) -> list[Venue]:
    """Return every venue, Kraken's first. Raises :class:`BadSetting` for a module of VENUES that gives none."""
    venues: list[Venue] = []
    for name in (KRAKEN, *settings.venues):
        venues += _venues_of(name, settings)
    names = [venue.name for venue in venues]
    for name in names:
        if names.count(name) > 1:
            raise BadSetting(f"two venues are called {name!r}: give one of them another name")
    return venues


def listed_markets(venues: Iterable[Venue]) -> frozenset[tuple[str, str]]:
    """Return the (venue, symbol) of every market that the settings list. Raises :class:`BadSetting` like the venues."""
    found: set[tuple[str, str]] = set()
    for venue in venues:
        try:
            found.update((venue.name, symbol) for symbol in venue.symbols())
        except BadSetting:
            raise
        except Exception as error:  # noqa: BLE001 - a venue can be anybody's code
            raise BadSetting(f"symbols() of venue {venue.name!r} raised {in_a_line(error)}: mend that module") from None
    return frozenset(found)


def make_feeds(
    settings: Settings,
    *,
    files: Sequence[Path] = (),
    symbol: str | None = None,
    speed: float | None = None,
    venue: str | None = None,
) -> list[Feed]:
    """Return the feeds that the settings and the command line ask for. Raises :class:`Fatal` without any.

    Of ``files``, recordings, each is opened and its first rows are read. Raises :class:`BadRecording` that says what
    was found in one that cannot be played.
    """
    if settings.feed == "recording" or files:
        if not files:
            raise Fatal("FEED=recording needs a recording: --file XBTUSD.csv")
        return [RecordingFeed(files, make_venues(settings), symbol=symbol, venue=venue, speed=speed)]
    if settings.feed == "simulator":
        _check_simulator(settings)
    feeds = [feed for one in make_venues(settings) if (feed := one.feed()) is not None]
    if not feeds:
        others = f", and no venue of {', '.join(settings.venues)} has a feed" if settings.venues else ""
        raise Fatal(f"there is nothing to watch: SPOT_SYMBOLS and FUTURES_SYMBOLS are both empty{others}")
    return feeds


def _check_simulator(settings: Settings) -> None:
    asked = {"SPOT_WS_URL": settings.spot_symbols, "FUTURES_WS_URL": settings.futures_symbols}
    real = [name for name, symbols in asked.items() if symbols and name.lower() not in settings.model_fields_set]
    if real:
        raise BadSetting(
            f"FEED=simulator is the market that `liqmon run` starts, and {' and '.join(real)} would be the real "
            "Kraken's: set FEED=live to watch that, or set what `liqmon simulate` prints"
        )


def _venues_of(name: str, settings: Settings) -> list[Venue]:
    try:
        module = import_module(name)
    except ImportError as error:
        raise BadSetting(
            f"VENUES names {name!r}, which cannot be imported ({error}): install it, or put its directory on PYTHONPATH"
        ) from None
    except Exception as error:  # noqa: BLE001 - a venue can be anybody's code
        raise BadSetting(f"VENUES names {name!r}, whose import raised {in_a_line(error)}: mend that module") from None
    make = getattr(module, "venues", None)
    if not callable(make):
        raise BadSetting(f"VENUES names {name!r}, which has no function venues(settings)")
    try:
        venues = list(make(settings))
    except BadSetting:
        raise
    except Exception as error:  # noqa: BLE001 - a venue can be anybody's code
        raise BadSetting(f"venues(settings) of {name!r} raised {in_a_line(error)}: mend that module") from None
    for venue in venues:
        if not isinstance(venue, Venue):
            raise BadSetting(f"venues(settings) of {name!r} must return streams.venues.base.Venue objects")
        called = getattr(venue, "name", None)
        if not isinstance(called, str) or not is_market_name(called):
            raise BadSetting(
                f"a venue of {name!r} is called {called!r}: its name must be 1 to {MAX_NAME} printable characters "
                "other than '|', and its __init__ must pass it on"
            )
    return venues
