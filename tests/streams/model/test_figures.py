"""One table of figures: records, rows, statements and docs follow it, and what older workers wrote is still read."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.alerts.history import AlertRow
from streams.model import figures as table
from streams.model.alert import Alert
from streams.model.figures import AMOUNT, FIGURES, Figure, Figures, later, with_figures
from tables.market.values import figure_values
from tables.market.windows import WindowFigures, WindowSums, figures_of
from tables.web.api.openapi import document
from tables.web.api.rows import WindowRow
from tests.agents.factories import an_alert
from tests.figures_page import PAGE, page
from tests.oracle import Oracle, in_usd
from tests.recordings import SCENARIOS

ROOT = Path(__file__).parents[3]

FIRST = (
    "count", "total_volume_usd", "buy_volume_usd", "sell_volume_usd", "liquidation_volume_usd", "liquidation_long_usd",
    "liquidation_short_usd", "largest_trade_usd", "vwap", "price_change_pct", "realized_volatility", "first_price",
    "last_price", "high", "low",
)  # fmt: skip
"""What messages and rows have held from the start, in that order."""

MESSAGE = (
    '{"rule":"volume","venue":"kraken_spot","symbol":"BTC/USD","pane":1000,"severity":"MEDIUM",'
    '"threshold_micro_usd":1000000000000,"episode":1000,"window_seconds":300,"window_start":1561939265,'
    '"window_end":1561939565,"count":469,"total_volume_micro_usd":2023806241207,"buy_volume_micro_usd":523806241207,'
    '"sell_volume_micro_usd":1500000000000,"liquidation_volume_micro_usd":0,"liquidation_long_micro_usd":0,'
    '"liquidation_short_micro_usd":0,"largest_trade_micro_usd":107250000000,"vwap":10705.537729348083,'
    '"price_change_pct":-1.493853753,"realized_volatility":0.0123,"first_price":10800.0,"last_price":10638.7,'
    '"high":10810.5,"low":10600.1,"received_us":0,"partition":2,"offset":41'
)
"""An alert as the first workers wrote it, without the brace at its end."""


class Known(msgspec.Struct, frozen=True):
    """A record with a field on either side of its figures."""

    before: int
    after: str = "x"

    @property
    def twice(self) -> int:
        """A member that stays."""
        return self.before * 2


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> "Figure[Any]":
    """Give a figure that joined later."""

    class More:
        mean_trade_micro_usd = later(Figure(AMOUNT, "notional of an average trade", lambda sums: sums.notional))

    monkeypatch.setattr(table, "FIGURES", (*FIGURES, More.mean_trade_micro_usd))
    return More.mean_trade_micro_usd


def test_what_joined_after_the_first_figures_may_be_missing() -> None:
    """Else messages and rows of workers that do not know it yet would be refused."""
    for figure in FIGURES:
        assert figure.is_later == (figure.name not in FIRST), f"wrap {figure.name} in later()"
    assert tuple(figure.name for figure in FIGURES)[: len(FIRST)] == FIRST


def test_an_alerts_message_begins_as_it_always_did() -> None:
    """Byte for byte, so that workers of any version read it; what joined comes behind."""
    assert msgspec.json.encode(an_alert(pane=1000)).decode().startswith(MESSAGE)
    assert msgspec.json.decode(MESSAGE + "}", type=Alert) == an_alert(pane=1000)


def test_every_record_has_every_figure() -> None:
    """By its name in the program or its name in rows, in the order of the table."""
    fields, names = [one.field for one in FIGURES], [one.name for one in FIGURES]
    assert WindowFigures.__struct_fields__ == tuple(fields)
    assert [name for name in Alert.__struct_fields__ if name in fields] == fields
    for row in (WindowRow, AlertRow):
        assert [name for name in row.__struct_fields__ if name in names] == names


def test_the_oracle_computes_every_figure_in_its_own_way() -> None:
    """A figure without a judge would be whatever the program says."""
    trades = SCENARIOS["several markets"](3)
    ((venue, symbol), *_) = (oracle := Oracle(trades)).markets()
    judged = oracle.window(venue, symbol, oracle.watermark(venue, symbol)) or {}
    missing = [figure.field for figure in FIGURES if figure.field not in judged or figure.name not in in_usd(judged)]
    assert missing == [], "compute these in tests/oracle.py, and name amounts in its AMOUNTS"


def test_a_record_keeps_what_it_had() -> None:
    """Its own fields on either side, defaults, options, members and docstring."""
    record: Any = with_figures(after="before")(Known)
    assert record.__struct_fields__ == ("before", *(one.field for one in FIGURES if not one.is_later), "after",
                                        *(one.field for one in FIGURES if one.is_later))  # fmt: skip
    made = record(1, *[0] * len(FIRST))
    assert (made.after, made.twice, record.__doc__, record.__name__) == ("x", 2, Known.__doc__, "Known")
    with pytest.raises(AttributeError, match="immutable"):
        made.before = 2


def test_a_record_without_the_named_field_is_refused() -> None:
    """A field that was renamed must not move the figures."""
    with pytest.raises(ValueError, match="elsewhere"):
        with_figures(after="elsewhere")(Known)


@pytest.mark.parametrize("in_usd", [False, True])
def test_a_figure_that_joined_comes_last_and_may_be_missing(joined: "Figure[Any]", *, in_usd: bool) -> None:
    """Records of workers that do not know it are read with null in its place."""
    record: Any = with_figures(after="before", in_usd=in_usd)(Known)
    name = joined.name if in_usd else joined.field
    assert record.__struct_fields__[-1] == name
    older = msgspec.to_builtins(record(1, *[0] * len(FIRST)))
    del older[name]
    assert getattr(msgspec.convert(older, record), name) is None
    assert getattr(msgspec.convert(older | {name: 7}, record), name) == 7


def test_a_record_that_lacks_its_figures_says_so() -> None:
    """The base alone gives types, not fields."""

    class Bare(Figures):
        pass

    with pytest.raises(AttributeError, match=r"Bare lacks vwap: decorate it with with_figures"):
        _ = Bare().vwap


def test_amounts_are_the_doubles_nearest_to_them() -> None:
    """A division by a double first would round twice."""
    sums = WindowSums([], notional=2**62 - 1, largest=9_007_199_254_740_993)
    values = dict(zip((one.name for one in FIGURES), figure_values(figures_of(sums)), strict=True))
    assert values["total_volume_usd"] == (2**62 - 1) / 10**6
    assert values["largest_trade_usd"] == 9_007_199_254.740993
    assert isinstance(values["count"], int)


def test_the_schema_says_what_the_table_says() -> None:
    """Of windows and of alerts."""
    schemas = document(AlertRow, (), ())["components"]["schemas"]
    for figure in FIGURES:
        for row in ("WindowRow", "AlertRow"):
            assert schemas[row]["properties"][figure.name]["description"] == figure.description


def test_the_docs_have_every_figure() -> None:
    """One table, made of the one in the program."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run python -m tests.figures_page"


def test_the_readme_names_figures_that_exist() -> None:
    """Its table has some of them."""
    _, _, rows = (ROOT / "README.md").read_text(encoding="utf-8").partition("| figure | meaning |\n|---|---|\n")
    cells = [line.split(" | ")[0] for line in rows.partition("\n\n")[0].splitlines()]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named <= {figure.name for figure in FIGURES}
    assert named
