"""What a venue is, and what a feed is: all that the producer and the worker know of where trades come from."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from copy import copy
from typing import NamedTuple, Self

from streams.errors import BadRecord
from streams.model.connection import Connection
from streams.model.products import Product
from streams.model.trade import Batch, Trade
from streams.progress import ReadProgress
from streams.venues.parsed import Parsed


class Feed(ABC):
    """Trades as they arrive. A recording ends; a socket does not.

    ``connected`` says whether trades can arrive at present. ``progress`` is how far a recording has been read.
    ``notes`` are what a person must know before it is played.
    """

    connected: bool = True
    progress: ReadProgress | None = None
    notes: Sequence[str] = ()

    @abstractmethod
    def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what arrives. The producer asks for no more while it has no room."""

    def connection(self) -> Connection | None:
        """Return what is known of the feed's socket, None where it has none."""
        return None


class PlainFields(NamedTuple):
    """What a row's fields are called that hold these.

    A row with all of them, and no other field by which a venue is recognised, is a fill, on the side ``buy`` or
    ``sell``. Price and quantity are numbers, the id an integer, the time a text of ISO 8601 with its zone.
    """

    symbol: str
    side: str
    price: str
    quantity: str
    trade_id: str
    time: str


class PlainMessage(NamedTuple):
    """What messages look like that hold plain rows: a list ``rows`` of them, and nothing beside it but ``marks``.

    Marks are fields with the text that each has. Messages of other texts or fields are others.
    """

    marks: tuple[tuple[str, str], ...]
    rows: str


class Venue(ABC):
    """An exchange, or a part of one: its name on trades, its markets, its feed, its messages and its rows.

    ``name`` is part of every market's identity. A module that VENUES names returns its venues from a function
    ``venues(settings)``; see :mod:`streams.venues.registry`. Callers ask through :mod:`streams.venues.asking`: what
    ``product_of``, ``read_message`` and ``read_row`` raise beside :class:`BadRecord` is logged as a fault of the venue.
    """

    row_fields: tuple[str, ...] = ()
    """Keys of a row of this venue as JSON, by which it is recognised. Without any, its trades come in frames only."""

    plain_fields: PlainFields | None = None
    """Fields of rows that are read many at once, without :meth:`read_row`, with the same trades. Their quantities are
    in base currency, and what else a row holds does not matter. Whoever writes another :meth:`read_row` says None."""

    plain_message: PlainMessage | None = None
    """Recorded messages that are read many at once, without :meth:`read_message`, with the same trades: their rows have
    the plain fields. Whoever writes another :meth:`read_message` says None."""

    message_fields: tuple[str, ...] = ()
    """Keys of its socket's messages, by which a recorded one is recognised that names no venue."""

    numbers_trades: bool = False
    """Whether the integer ids of a market's trades rise by one from trade to trade. A number that was left out is then
    a trade that is missing."""

    symbols_setting: str = ""
    """The setting that says which of its symbols to watch: named where none of them can be."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ")

    def called(self, name: str) -> Self:
        """Return this venue under another name. A recording of its trades has a name of its own."""
        other = copy(self)
        other.name = name
        return other

    @abstractmethod
    def product_of(self, symbol: str) -> Product:
        """Return what trades of a symbol are: kind of market, width of ids, notional and base quantity.

        Every trade of this venue gets its product here. Raises :class:`BadRecord` for a symbol whose notional in USD
        is not known.
        """

    @abstractmethod
    def feed(self) -> Feed | None:
        """Return the feed that the settings ask for, None where they ask for nothing of this venue.

        Raises :class:`streams.errors.BadSetting` where they ask for what it cannot give.
        """

    def symbols(self) -> Sequence[str]:
        """Return the symbols that the settings list: workers keep their markets, whatever else is on the topic."""
        return ()

    def addresses(self) -> Sequence[str]:
        """Return the addresses of the sockets that its feed opens: ``liqmon run`` tries them before it starts."""
        return ()

    @abstractmethod
    def read_message(self, data: bytes) -> Parsed:
        """Return what one message of its socket holds, live or recorded.

        Raises :class:`BadRecord` for one of which nothing can be used.
        """

    def read_row(self, row: bytes) -> Trade:
        """Return the trade that one row of JSON describes. Raises :class:`BadRecord`."""
        raise BadRecord("wrong_type", f"{self.name} has no rows of JSON; its trades come in frames ({row[:40]!r})")
