"""Each part of the program imports what docs/architecture.md lets it; the table there is the only list."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
MAP = ROOT / "docs" / "architecture.md"
PACKAGES = ("streams", "tables", "agents")
NAME = re.compile(r"`([\w/]+)`")


class Row(NamedTuple):
    """A row of the table: its parts, as dotted names, what they may import, and whether they do no I/O."""

    parts: tuple[str, ...]
    allowed: frozenset[str]
    is_pure: bool


def dotted(cell: str) -> tuple[str, ...]:
    """Return the names in a cell of the table as Python writes them."""
    return tuple(name.replace("/", ".") for name in NAME.findall(cell))


@cache
def table() -> tuple[Row, ...]:
    """Return the rows of the table, in its order."""
    rows: list[Row] = []
    for line in MAP.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        parts = dotted(cells[0])
        above = [part for row in rows for part in row.parts]
        allowed = [*dotted(cells[2]), *(above if "everything above" in cells[2] else ())]
        if "the basics" in cells[2]:
            allowed += rows[0].parts
        rows.append(Row(parts, frozenset(allowed), cells[1].endswith("Pure.")))
    return tuple(rows)


@cache
def io_libraries() -> frozenset[str]:
    """Return the libraries that pure parts keep away from."""
    match = re.search(r"(?m)^Pure parts import none of (.*(?:\n.+)*)$", MAP.read_text())
    assert match
    return frozenset(dotted(match[1]))


@cache
def modules() -> Mapping[str, Path]:
    """Return every module of the program by its dotted name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports_in(source: str, known: Iterable[str]) -> Iterator[str]:
    """Yield what a module imports, wherever it stands in it: in functions and under TYPE_CHECKING too.

    Where a module calls ``import_module``, each text in it that names a module of the program is an import too.
    """
    names = frozenset(known)
    tree = ast.parse(source)
    by_name = any(isinstance(node, ast.Name) and node.id == "import_module" for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "imports are written from the root"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in names else node.module
        elif by_name and isinstance(node, ast.Constant) and node.value in names:
            yield node.value


RULES = "agents.rules"
BOOK = f"{RULES}.book"


@cache
def imported() -> Mapping[str, frozenset[str]]:
    """Return what each module imports, the program's modules and libraries alike.

    The book of rules imports every module beside it by a name that it makes up.
    """
    found = {name: frozenset(imports_in(path.read_text(), modules())) for name, path in modules().items()}
    return found | {BOOK: found[BOOK] | {name for name in modules() if is_in(name, RULES)} - {RULES, BOOK}}


def is_in(module: str, part: str) -> bool:
    """Whether a module is a part, or inside of it."""
    return module == part or module.startswith(f"{part}.")


def part_of(module: str, parts: Iterable[str]) -> str | None:
    """Return the part that a module belongs to: of those that hold it the one named most closely."""
    return max((part for part in parts if is_in(module, part)), key=len, default=None)


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node, each in order, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for following in graph.get(node, ()):
            if following not in index:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], index[following])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_every_module_has_a_row() -> None:
    """A module that no row of the table holds has no place on the map, unless it only names its package."""
    parts = [part for row in table() for part in row.parts]
    assert [name for name in modules() if name not in PACKAGES and part_of(name, parts) is None] == []


def test_every_name_in_the_table_exists() -> None:
    """A row whose part is gone, and a right to import what is gone, go too."""
    named = {name for row in table() for name in (*row.parts, *row.allowed)}
    assert sorted(named - modules().keys()) == []


def test_rows_build_on_rows_above_them() -> None:
    """The table reads from the bottom up: nothing may import what stands below it."""
    above: set[str] = set()
    for row in table():
        own = {*row.parts, *above}
        assert [name for name in sorted(row.allowed) if part_of(name, own) is None] == []
        above = own


@pytest.mark.parametrize("row", table(), ids=lambda row: row.parts[0])
def test_parts_import_what_they_may(row: Row) -> None:
    """The modules of a row import each other, libraries, and what the table lets them."""
    parts = [part for each in table() for part in each.parts]
    allowed = (*row.parts, *row.allowed)
    wrong = [
        f"{name} imports {target}"
        for name, targets in sorted(imported().items())
        if part_of(name, parts) in row.parts
        for target in sorted(targets)
        if target in modules() and part_of(target, allowed) is None
    ]
    assert wrong == []


def says_pure(path: Path) -> bool:
    """Whether a module's docstring says that it is pure."""
    return re.search(r"\bPure\b", ast.get_docstring(ast.parse(path.read_text())) or "") is not None


def pure_modules() -> list[str]:
    """Return the modules that the table or their own docstring calls pure."""
    parts = [part for row in table() if row.is_pure for part in row.parts]
    return [name for name, path in modules().items() if part_of(name, parts) or says_pure(path)]


@pytest.mark.parametrize("module", pure_modules())
def test_what_is_pure_reaches_no_client_and_no_clock(module: str) -> None:
    """It imports none of the libraries that do I/O, nor anything of the program that does."""
    waiting, reached = [module], {module}
    while waiting:
        fresh = (imported()[waiting.pop()] & modules().keys()) - reached
        reached |= fresh
        waiting += fresh
    wrong = [
        f"{name} imports {target}"
        for name in sorted(reached)
        for target in sorted(imported()[name])
        if part_of(target, io_libraries()) is not None
    ]
    assert wrong == []


def test_modules_import_in_no_circle() -> None:
    """Each module can be read with only what it imports, down to the libraries."""
    assert circles({name: targets & modules().keys() for name, targets in imported().items()}) == []


def test_circles_are_found() -> None:
    """The search finds a circle of two and one of three, and no other."""
    graph = {"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["e"], "e": ["c", "f"], "f": []}
    assert sorted(circles(graph)) == [["a", "b"], ["c", "d", "e"]]


def test_hidden_imports_are_seen() -> None:
    """Imports inside of functions and for type checking only count like all others."""
    source = "if TYPE_CHECKING:\n    from a import b\n\ndef f():\n    import c.d\n    from a import name\n"
    assert sorted(imports_in(source, {"a", "a.b", "c.d"})) == ["a", "a.b", "c.d"]


def test_modules_that_are_imported_by_name_are_seen() -> None:
    """A constant that ``import_module`` is given is an import; the same text elsewhere is an argument like others."""
    source = "NAME = 'a.b'\ntext = 'see a.b'\n"
    assert sorted(imports_in(source + "import_module(NAME)\n", {"a.b"})) == ["a.b"]
    assert sorted(imports_in(source + "run('python', '-m', NAME)\n", {"a.b"})) == []
