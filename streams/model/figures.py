"""The figures of a window: one line each, of which records, rows, statements, the API's schema and docs are made.

To add one, write a line at the end of :class:`Figures`, wrapped in :func:`later`. A migration adds its column to
``liquidation_alerts`` and ``window_stats``; a test prints the statements.
"""

from collections.abc import Callable, Collection, Sequence
from types import FunctionType
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, Protocol, Self, TypeVar, cast, overload

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
    """What a figure's number counts, and its type in Postgres and JSON. ``name`` tells pages how to write it.

    ``is_amount``: integers of micro-USD in the program, USD with six decimals in rows and JSON. A figure that
    ``needs_trades`` is 0 in the API and null in ``window_stats`` where the window is empty.
    """

    name: str
    unit: str
    sql: str
    json: type[int] | type[float]
    is_amount: bool
    needs_trades: bool


_DOUBLE: Final = "double precision"

AMOUNT: Final = ValueType[int]("usd", "USD, six decimals", "numeric(24,6)", float, is_amount=True, needs_trades=False)
NUMBER: Final = ValueType[int]("count", "", "bigint", int, is_amount=False, needs_trades=False)
PRICE: Final = ValueType[float]("price", "quote currency", _DOUBLE, float, is_amount=False, needs_trades=True)
PERCENTAGE: Final = ValueType[float]("percent", "per cent", _DOUBLE, float, is_amount=False, needs_trades=True)
RATIO: Final = ValueType[float]("ratio", "1 is 100 %", _DOUBLE, float, is_amount=False, needs_trades=True)


Combined = Literal["sum", "max", "min", "first", "last"]
"""How the figures of some panes make the figure of all of them."""


class Figure(Generic[T_co]):
    """One figure: its type, its meaning in a few words, and the sum that it is, by name, or how it follows from them.

    ``field`` names it where amounts are micro-USD, ``name`` where they are USD: in rows, API and Redis.
    A figure that ``is_later`` is null in what a worker wrote that did not know it yet. ``combined`` lets pages draw it
    over time, from panes; None where more than the panes' own figures is needed. ``is_of_panes``: a single pane has it.
    ``heading`` heads it in messages: those of one heading stand side by side, and one without is not shown there.
    """

    field: str
    name: str
    is_later: bool = False

    def __init__(
        self,
        value_type: ValueType[T_co],
        meaning: str,
        of: str | Callable[[Sums], T_co],
        combined: Combined | None = None,
        *,
        is_of_panes: bool = True,
        label: str = "",
        heading: str = "",
    ) -> None:
        self.type = value_type
        self.meaning = meaning
        self.of = of
        self.combined = combined
        self.is_of_panes = is_of_panes
        self._label = label
        self.heading = heading

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
    def label(self) -> str:
        """Its name for people: its own without the unit, such as ``largest trade``, where none was given."""
        return self._label or self.name.removesuffix("_usd").removesuffix("_pct").replace("_", " ")

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

    count = Figure(NUMBER, "trades counted: fills and liquidations", "count", "sum", label="trades", heading="Trades")
    total_volume_micro_usd = Figure(
        AMOUNT, "notional traded, fills and liquidations", "notional", "sum", heading="Volume"
    )
    buy_volume_micro_usd = Figure(AMOUNT, "notional of trades whose taker bought", "buy", "sum", heading=_SIDES)
    sell_volume_micro_usd = Figure(AMOUNT, "notional of trades whose taker sold", "sell", "sum", heading=_SIDES)
    liquidation_volume_micro_usd = Figure(
        AMOUNT,
        "notional of liquidations, longs and shorts",
        lambda sums: sums.long_liquidated + sums.short_liquidated,
        "sum",
    )
    liquidation_long_micro_usd = Figure(
        AMOUNT,
        "longs liquidated: the taker sold",
        "long_liquidated",
        "sum",
        label="longs liquidated",
        heading=_LIQUIDATED,
    )
    liquidation_short_micro_usd = Figure(
        AMOUNT,
        "shorts liquidated: the taker bought",
        "short_liquidated",
        "sum",
        label="shorts liquidated",
        heading=_LIQUIDATED,
    )
    largest_trade_micro_usd = Figure(
        AMOUNT, "greatest notional of one trade", "largest", "max", heading="Largest trade"
    )
    vwap = Figure(
        PRICE, "average price: sum of price x quantity over sum of quantity", vwap_of, label="VWAP", heading="VWAP"
    )
    price_change_pct = Figure(
        PERCENTAGE,
        "last price against the first",
        lambda sums: change_pct(sums.first_price, sums.last_price),
        heading="Change",
    )
    realized_volatility = Figure(
        RATIO,
        "root of summed squared log returns, not annualised",
        "realized_volatility",
        is_of_panes=False,
        heading="Volatility",
    )
    first_price = Figure(PRICE, "price of the first trade by (time, id)", "first_price", "first")
    last_price = Figure(PRICE, "price of the last trade by (time, id)", "last_price", "last")
    high = Figure(PRICE, "highest price", "high", "max", heading=_EXTREMES)
    low = Figure(PRICE, "lowest price", "low", "min", heading=_EXTREMES)


FIGURES: Final = tuple(
    sorted((one for one in vars(Figures).values() if isinstance(one, Figure)), key=lambda figure: figure.is_later)
)
"""In the order of rows and of the stream's columns: later ones come last."""

PANE_FIGURES: Final = tuple(figure for figure in FIGURES if figure.is_of_panes)
"""Those that a single pane has."""

_OPTIONS: Final = ("frozen", "eq", "order", "array_like", "gc", "omit_defaults", "forbid_unknown_fields")


def with_figures(
    *, after: str = "", in_usd: bool = False, figures: Sequence[Figure[Any]] | None = None, joined: Collection[str] = ()
) -> Callable[[type[Record]], type[Record]]:
    """Give a record a field for each figure behind its field ``after``; later ones come last and may be null.

    ``in_usd``: by the names and in the units of rows and API, with descriptions; else as the program computes them.
    ``figures`` are those of the table, all by default. ``joined`` are fields of figures that are later in this record,
    though other records had them before.
    Raises :class:`ValueError` where the record has no such field.
    """

    def is_later(figure: Figure[Any]) -> bool:
        return figure.is_later or figure.field in joined

    def extend(record: type[Record]) -> type[Record]:
        own = [_own_field(one) for one in msgspec.structs.fields(record)]
        at = [name for name, *_ in own].index(after) + 1 if after else 0
        wanted = FIGURES if figures is None else figures
        first = [_field(one, in_usd=in_usd, may_be_null=False) for one in wanted if not is_later(one)]
        last = [(*_field(one, in_usd=in_usd, may_be_null=True), None) for one in wanted if is_later(one)]
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


def _field(figure: "Figure[Any]", *, in_usd: bool, may_be_null: bool) -> tuple[str, Any]:
    plain: Any = figure.type.json if in_usd or not figure.type.is_amount else int
    json_type: Any = plain | None if may_be_null else plain
    if in_usd:
        return figure.name, Annotated[json_type, msgspec.Meta(description=figure.description)]
    return figure.field, json_type
