"""The table of docs/figures.md, made of the table of figures: ``python -m tests.figures_page`` writes it."""

from pathlib import Path

from streams.model.figures import FIGURES

PAGE = Path(__file__).parents[1] / "docs" / "figures.md"
RULE = "|---|---|---|---|---|\n"


def page(text: str) -> str:
    """Return the page with the rows that its table should have."""
    before, _, rest = text.partition(RULE)
    lines = rest.splitlines(keepends=True)
    rows = [
        f"| `{figure.name}` | {figure.meaning} | {figure.type.unit or '-'} | `{figure.type.sql}` "
        f"| {'null' if figure.type.needs_trades else '0'} |\n"
        for figure in FIGURES
    ]
    return before + RULE + "".join([*rows, *(line for line in lines if not line.startswith("|"))])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
