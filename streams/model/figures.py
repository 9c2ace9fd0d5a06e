"""The figures of a window: one line each, of which records, rows, statements, the API's schema and docs are made.

A figure that joins is one more line at the end of :class:`Figures`, wrapped in :func:`later`, and a column of
``liquidation_alerts`` and ``window_stats`` in a migration. The tests say which statement is missing.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Annotated, Any, Final, Generic, NamedTuple, Protocol, Self, TypeVar, cast, overload

import msgspec
from msgspec.structs import FieldInfo

from streams.model.amounts import REST_PER_MICRO, UNITS_PER_BASE

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Record = TypeVar("Record", bound=msgspec.Struct)


class PaneSums(Protocol):
    """What the trades of one pane or of several add up to; :class:`tables.market.panes.Pane` tells the units."""

    count: int
    notional: int
    rest: int
    whole: int
    fraction: int
    buy: int
    sell: int
    long_liquidated: int
    short_liquidated: int
    largest: int
    first_price: float
    last_price: float
    high: float
    low: float


class Sums(PaneSums, Protocol):
    """What a window's panes add up to."""

    realized_volatility: float


class ValueType(NamedTuple, Generic[T_co]):
    """What a figure's number counts, and its type in Postgres and JSON.

    ``is_amount``: integers of micro-USD in the program, USD with six decimals in rows and JSON. A figure that
    ``needs_trades`` is 0 in the API and null in ``window_stats`` where the window is empty.
    """

    unit: str
    sql: str
    json: type[int] | type[float]
    is_amount: bool
    needs_trades: bool


AMOUNT: Final = ValueType[int]("USD, six decimals", "numeric(24,6)", float, is_amount=True, needs_trades=False)
NUMBER: Final = ValueType[int]("", "bigint", int, is_amount=False, needs_trades=False)
PRICE: Final = ValueType[float]("quote currency", "double precision", float, is_amount=False, needs_trades=True)
PERCENTAGE: Final = ValueType[float]("per cent", "double precision", float, is_amount=False, needs_trades=True)
RATIO: Final = ValueType[float]("1 is 100 %", "double precision", float, is_amount=False, needs_trades=True)


class Figure(Generic[T_co]):
    """One figure: its type, its meaning in a few words, and the sum that it is, by name, or how it follows from them.

    ``field`` names it where amounts are micro-USD, ``name`` where they are USD: in rows, API and Redis.
    A figure that ``is_later`` is null in what a worker wrote that did not know it yet. ``label`` heads it in messages:
    those of one label stand side by side, and one without a label is not shown there.
    """

    field: str
    name: str
    is_later: bool = False

    def __init__(
        self, kind: ValueType[T_co], meaning: str, of: str | Callable[[Sums], T_co], *, label: str = ""
    ) -> None:
        self.type = kind
        self.meaning = meaning
        self.of = of
        self.label = label

    def __set_name__(self, owner: type, field: str) -> None:
        self.field = field
        self.name = field.replace("_micro_usd", "_usd") if self.type.is_amount else field

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type) -> T_co: ...
    def __get__(self, record: object, owner: type) -> Self | T_co:
        if record is None:
            return self
        raise AttributeError(f"{owner.__name__} lacks {self.field}: decorate it with with_figures()")

    @property
    def description(self) -> str:
        """Meaning and unit, for the API's schema."""
        parts = (self.meaning, self.type.unit, "0 in an empty window" if self.type.needs_trades else "")
        return "; ".join(part for part in parts if part)


def later(figure: Figure[T]) -> Figure[T | None]:
    """Mark a figure that joined after rows and messages without it were written."""
    figure.is_later = True
    return cast("Figure[T | None]", figure)


def vwap_of(sums: PaneSums) -> float:
    """Return the double nearest to the exact quotient of 1e-15 USD and 1e-14 base units, each brought to 1e-15."""
    quantity = sums.whole * UNITS_PER_BASE + sums.fraction
    return (sums.notional * REST_PER_MICRO + sums.rest) / (quantity * 10) if quantity else 0.0


def change_pct(first_price: float, last_price: float) -> float:
    """Return how far the last price is from the first, in per cent; 0 where nothing traded."""
    return (last_price - first_price) / first_price * 100 if first_price else 0.0


_SIDES: Final = "Buy / sell"
_LIQUIDATED: Final = "Liquidated long / short"
_EXTREMES: Final = "High / low"


class Figures:
    """The table. As a base of a record that has :func:`with_figures` it tells the figures' types."""

    __slots__ = ()

    count = Figure(NUMBER, "trades counted: fills and liquidations", "count", label="Trades")
    total_volume_micro_usd = Figure(AMOUNT, "notional traded, fills and liquidations", "notional", label="Volume")
    buy_volume_micro_usd = Figure(AMOUNT, "notional of trades whose taker bought", "buy", label=_SIDES)
    sell_volume_micro_usd = Figure(AMOUNT, "notional of trades whose taker sold", "sell", label=_SIDES)
    liquidation_volume_micro_usd = Figure(
        AMOUNT, "notional of liquidations, longs and shorts", lambda sums: sums.long_liquidated + sums.short_liquidated
    )
    liquidation_long_micro_usd = Figure(
        AMOUNT, "longs liquidated: the taker sold", "long_liquidated", label=_LIQUIDATED
    )
    liquidation_short_micro_usd = Figure(
        AMOUNT, "shorts liquidated: the taker bought", "short_liquidated", label=_LIQUIDATED
    )
    largest_trade_micro_usd = Figure(AMOUNT, "greatest notional of one trade", "largest", label="Largest trade")
    vwap = Figure(PRICE, "average price: sum of price x quantity over sum of quantity", vwap_of, label="VWAP")
    price_change_pct = Figure(
        PERCENTAGE,
        "last price against the first",
        lambda sums: change_pct(sums.first_price, sums.last_price),
        label="Change",
    )
    realized_volatility = Figure(
        RATIO, "root of summed squared log returns, not annualised", "realized_volatility", label="Volatility"
    )
    first_price = Figure(PRICE, "price of the first trade by (time, id)", "first_price")
    last_price = Figure(PRICE, "price of the last trade by (time, id)", "last_price")
    high = Figure(PRICE, "highest price", "high", label=_EXTREMES)
    low = Figure(PRICE, "lowest price", "low", label=_EXTREMES)


FIGURES: Final = tuple(
    sorted((one for one in vars(Figures).values() if isinstance(one, Figure)), key=lambda figure: figure.is_later)
)
"""In the order of rows and of the stream's columns: later ones come last."""

_OPTIONS: Final = ("frozen", "eq", "order", "array_like", "gc", "omit_defaults", "forbid_unknown_fields")


def with_figures(*, after: str = "", in_usd: bool = False) -> Callable[[type[Record]], type[Record]]:
    """Give a record a field for each figure behind its field ``after``; later ones come last and may be null.

    ``in_usd``: by the names and in the units of rows and API, with descriptions; else as the program computes them.
    Raises :class:`ValueError` where the record has no such field.
    """

    def extend(record: type[Record]) -> type[Record]:
        own = [_own_field(one) for one in msgspec.structs.fields(record)]
        at = [name for name, *_ in own].index(after) + 1 if after else 0
        first = [_field(figure, in_usd=in_usd) for figure in FIGURES if not figure.is_later]
        last = [(*_field(figure, in_usd=in_usd), None) for figure in FIGURES if figure.is_later]
        members = (FunctionType, property, classmethod, staticmethod)
        kept = {name: one for name, one in vars(record).items() if isinstance(one, members) or name == "__doc__"}
        made = msgspec.defstruct(
            record.__name__,
            [*own[:at], *first, *own[at:], *last],
            bases=record.__bases__,
            namespace=kept,
            module=record.__module__,
            **{name: getattr(record.__struct_config__, name) for name in _OPTIONS},
        )
        return cast("type[Record]", made)

    return extend


def _own_field(field: FieldInfo) -> tuple[Any, ...]:
    if field.required:
        return field.name, field.type
    if field.default is msgspec.NODEFAULT:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    return field.name, field.type, field.default


def _field(figure: "Figure[Any]", *, in_usd: bool) -> tuple[str, Any]:
    plain: Any = figure.type.json if in_usd or not figure.type.is_amount else int
    kind: Any = plain | None if figure.is_later else plain
    if in_usd:
        return figure.name, Annotated[kind, msgspec.Meta(description=figure.description)]
    return figure.field, kind
