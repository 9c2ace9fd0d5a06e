"""A window's figures as readers outside the program are given them: amounts in USD."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from streams.model.amounts import MICRO_PER_USD
from streams.model.figures import FIGURES, PANE_FIGURES
from tables.market.panes import Pane
from tables.market.windows import WindowFigures, compiled, computed

FIGURE_NAMES: Final = tuple(figure.name for figure in FIGURES)
"""A window's figures, by the names that alerts and dashboards use, in the order in which the stream sends them."""

_PER_USD: Final = f" / {MICRO_PER_USD}"

_in_usd: Final = compiled(
    "figures", [f"figures.{figure.field}{_PER_USD if figure.type.is_amount else ''}" for figure in FIGURES], {}
)


def figure_values(figures: WindowFigures) -> list[float]:
    """Return a window's figures in the order of :data:`FIGURE_NAMES`; each amount is the double nearest to it."""
    values: list[float] = _in_usd(figures)
    return values


def pane_reader(names: Collection[str]) -> Callable[[Pane], list[float]]:
    """Return a function that lists a pane's figures of these names; each amount is the double nearest to it."""
    figures = {figure.name: figure for figure in PANE_FIGURES}
    return compiled(
        "pane",
        [f"{computed('pane', figures[name])}{_PER_USD if figures[name].type.is_amount else ''}" for name in names],
        {figure.field: figure.of for figure in PANE_FIGURES},
    )


def figures_from(values: Sequence[float | None]) -> WindowFigures:
    """Return the figures of which :func:`figure_values` made these; null for what their worker did not know yet."""
    return WindowFigures(
        *(
            round(value * MICRO_PER_USD) if figure.type.is_amount and value is not None else value
            for figure, value in zip(FIGURES, values, strict=True)
        )
    )
