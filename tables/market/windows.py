"""The figures of a window, which follow from the sums of its panes."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from streams.model.figures import FIGURES, Figure, Figures, Sums, with_figures
from tables.market.panes import Pane


def compiled(argument: str, values: Iterable[str], names: dict[str, Any]) -> Callable[[Any], list[Any]]:
    """Return a function of one argument that lists these expressions.

    Every look at a market computes its windows anew: a loop over the table takes three times as long.
    """
    made: Callable[[Any], list[Any]] = eval(f"lambda {argument}: [{', '.join(values)}]", names)  # noqa: S307 - the table's names
    return made


def computed(sums: str, figure: Figure[Any]) -> str:
    """Return the expression that computes a figure from what ``sums`` names; it calls functions by figures' fields."""
    return f"{sums}.{figure.of}" if isinstance(figure.of, str) else f"{figure.field}({sums})"


_computed: Final = compiled(
    "sums", [computed("sums", figure) for figure in FIGURES], {figure.field: figure.of for figure in FIGURES}
)


@with_figures()
class WindowFigures(Figures, msgspec.Struct, frozen=True, gc=False):
    """A window's figures. Amounts are integers in micro-USD, prices doubles in the quote currency.

    All are 0 in an empty window.
    """


class WindowSums(Pane):
    """A window's panes added up, and the volatility of their last prices."""

    realized_volatility: float = 0.0


def figures_of(sums: Sums) -> WindowFigures:
    """Return the figures that follow from a window's sums."""
    return WindowFigures(*_computed(sums))
