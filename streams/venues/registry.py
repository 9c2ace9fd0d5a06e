"""Makes the sources that the settings and the command line ask for."""

from pathlib import Path

from streams.errors import Fatal
from streams.publish.producer import Source
from streams.settings import Settings
from streams.venues.kraken.futures import FuturesSource
from streams.venues.kraken.spot import SpotSource
from streams.venues.recording.source import RecordingSource


def make_sources(
    settings: Settings,
    *,
    file: Path | None = None,
    symbol: str | None = None,
    speed: float | None = None,
    venue: str | None = None,
) -> list[Source]:
    """Return the sources that the settings and the command line ask for. Raises :class:`Fatal` without any."""
    if settings.feed == "recording" or file is not None:
        if file is None:
            raise Fatal("FEED=recording needs a recording: --file FILE")
        return [RecordingSource(file, symbol=symbol, venue=venue, speed=speed, usd_quotes=settings.usd_quotes)]
    sources: list[Source] = []
    if settings.spot_symbols:
        sources.append(SpotSource.of(settings))
    if settings.futures_symbols:
        sources.append(FuturesSource.of(settings))
    if not sources:
        raise Fatal("there is nothing to watch: SPOT_SYMBOLS and FUTURES_SYMBOLS are both empty")
    return sources
