"""A market as the items of a store: what is read makes a market, and what changed in one is written."""

from collections.abc import Iterable, Iterator
from typing import Final

from tables.market.chunk import Chunk
from tables.market.chunks import HEAD, Head, chunk_key, decode_chunk, decode_head, encode, head_key, prefix
from tables.market.span import Span
from tables.market.state import Market

_HEAD: Final = HEAD.encode()


# As many chunks of 32 panes take about 5 ms.
VALUES_A_STEP: Final = 32


def market_from(items: Iterable[tuple[bytes, bytes]], venue: str, symbol: str, span: Span) -> Market | None:
    """Return the market that these items of it make, None where they hold nothing that this release reads.

    Raises :class:`tables.market.formats.NewerState` where a newer release wrote them.
    """
    *_, market = market_steps(items, venue, symbol, span)
    return market


def market_steps(items: Iterable[tuple[bytes, bytes]], venue: str, symbol: str, span: Span) -> Iterator[Market | None]:
    """Yield None between the steps of :func:`market_from`, so that others may go on, and at last its result."""
    head: Head | None = None
    chunks: list[Chunk] = []
    start = len(prefix(venue, symbol))
    for number, (key, value) in enumerate(items, 1):
        part = key[start:]
        if part == _HEAD:
            head = decode_head(key, value)
        elif part.isdigit():
            chunk = decode_chunk(key, value)
            # At once: as objects the panes of an hour take ten times the memory.
            chunk.rest()
            chunks.append(chunk)
        if number % VALUES_A_STEP == 0:
            yield None
    if head is None and not chunks:
        yield None
        return
    market = Market(venue, symbol, span)
    market.restore(head, chunks)
    yield market


def taken_from(markets: Iterable[Market], span: Span) -> dict[bytes, bytes]:
    """Return what changed in markets since the last call, by key. Each market's head comes before its chunks.

    What a market that was turned back has forgotten comes before its head. A flush that is cut short in between leaves
    a clock that is ahead: the record is read again, and turns it back once more.
    """
    items = {}
    for market in markets:
        for chunk in market.take_emptied():
            items[chunk_key(market.venue, market.symbol, chunk.number)] = encode(chunk)
        head, chunks = market.take_dirty()
        # The head first: a replay over chunks without what it says of their alerts could raise others.
        items[head_key(market.venue, market.symbol)] = encode(head)
        for chunk in chunks:
            slot = chunk.number % span.slots
            items[chunk_key(market.venue, market.symbol, slot)] = encode(chunk)
        market.rest()
    return items
