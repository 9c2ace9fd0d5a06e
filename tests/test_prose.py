"""Sentences in documents and code are short, and the files that they name exist."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MODULES = sorted(path for name in ("streams", "tables", "agents") for path in (ROOT / name).rglob("*.py"))
MOST_WORDS = 25
# Tables, and the tree of errors.
DRAWN = re.compile(r"(?m)^=+ +=(?s:.*?)^=+ +=[= ]*$(?s:.*?^=+ +=[= ]*$)?|^.*[├└│].*$")

CODE_BLOCK = re.compile(r"(?ms)^```.*?^```$")
NEW_BLOCK = re.compile(r"(?m)^(?=\s*(?:[-*] |\d+\. |#|\|))")
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)]*)\)")
# A full stop with a space behind it: not the one in 0.22 or settings.py. Names such as uvloop begin sentences too.
SENTENCE_END = re.compile(r"(?<=[.!?])[)\"*]*\s+")
# Files are named from the root, with a folder: `streams/app.py`. Others are examples.
FILE = re.compile(r"`((?:streams|tables|agents|tests|docs|prometheus)/[\w/.-]*\w)`")


def blocks(text: str) -> Iterator[str]:
    """Yield paragraphs, items of lists and headings, each on one line; code blocks and tables are left out."""
    for paragraph in CODE_BLOCK.sub("", text).split("\n\n"):
        for block in NEW_BLOCK.split(paragraph):
            if block.strip() and not block.lstrip().startswith("|"):
                yield " ".join(block.split())


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a document. A piece of code is one word, and so is a link's address."""
    for block in blocks(text):
        yield from SENTENCE_END.split(LINK.sub(r"\1", re.sub(r"`[^`]*`", "CODE", block)))


def prose_of(source: str) -> str:
    """Return the docstrings and comments of a module, each a paragraph of its own."""
    tree = ast.parse(source)
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    paragraphs = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, holders)]
    lines = [""]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            lines.append(token.string.lstrip("# "))
        elif token.type not in (tokenize.NL, tokenize.COMMENT):
            lines.append("")
    return DRAWN.sub("", "\n\n".join([*paragraphs, "\n".join(lines)]).replace("``", "`"))


def words(sentence: str) -> int:
    """Return how many words a sentence has; lone signs are none."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_are_short(path: Path) -> None:
    """One thought a sentence: at most 25 words."""
    assert [one for one in sentences(path.read_text()) if words(one) > MOST_WORDS] == []


def test_sentences_in_code_are_short() -> None:
    """Docstrings and comments are held to the same."""
    long = [
        (str(path.relative_to(ROOT)), one)
        for path in MODULES
        for one in sentences(prose_of(path.read_text()))
        if words(one) > MOST_WORDS
    ]
    assert long == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_documents_name_exist(path: Path) -> None:
    """Whoever follows a name or a link finds something."""
    text = path.read_text()
    links = [target.partition("#")[0] for _, target in LINK.findall(text) if "://" not in target]
    wanted = [*(path.parent / link for link in links if link), *(ROOT / name for name in FILE.findall(text))]
    assert [str(place) for place in wanted if not place.exists() and not place.with_suffix(".py").exists()] == []


def test_every_decision_is_in_the_index() -> None:
    """The map lists each decision under its subject."""
    targets = {target for _, target in LINK.findall((ROOT / "docs" / "architecture.md").read_text())}
    assert [
        path.name for path in (ROOT / "docs" / "decisions").iterdir() if f"decisions/{path.name}" not in targets
    ] == []


def test_commands_of_the_fault_table_choose_tests() -> None:
    """Each name after ``-k`` in docs/faults.md is part of a test's name."""
    tests = " ".join(path.name + path.read_text() for path in (ROOT / "tests" / "faults").glob("test_*.py"))
    cells = [
        line.split("|")[-2].strip(" `")
        for line in (ROOT / "docs" / "faults.md").read_text().splitlines()
        if "|" in line
    ]
    names = [
        name for cell in cells if re.fullmatch(r"[a-z_0-9]+( or [a-z_0-9]+)*", cell) for name in cell.split(" or ")
    ]
    assert len(names) > len(cells) / 2
    assert [name for name in names if name not in tests] == []


def test_long_sentences_are_found() -> None:
    """The count sees through wrapped lines, code and links, and leaves tables and code blocks alone."""
    long = " ".join(["Word", *["word"] * 25])
    text = f"# Title\n\nShort. {long[:60]}\n{long[60:]}. See [one\ntwo](a b c) and `d e f`.\n\n"
    text += f"| {long} |\n\n```\n{long}\n```\n"
    assert [words(one) for one in sentences(text)] == [1, 1, 26, 5]


def test_long_sentences_in_code_are_found() -> None:
    """Docstrings and blocks of comments count, statements and texts do not."""
    long = " ".join(["word"] * 26)
    source = f'"""{long.capitalize()}."""\n# {long[:60]}\n# {long[60:]}\nx = "{long}"\n\n\ndef f():\n    """Short."""\n'
    assert sorted(words(one) for one in sentences(prose_of(source))) == [1, 26, 26]
