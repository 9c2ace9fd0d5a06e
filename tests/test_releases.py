"""What a release must not forget: upgrades are tested from the last one, and no shim outlives its time."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.faults.previous import COMMIT, ROOT, commit_of, last_release

MARKER = re.compile(r"May go in (\d+)\.(\d+)")
CODE = [*ROOT.glob("streams/**/*.py"), *ROOT.glob("tables/**/*.py"), *ROOT.glob("agents/**/*.py")]


def test_upgrades_are_tested_from_the_last_release() -> None:
    """COMMIT in ``tests/faults/previous.py`` is moved right after a release (CONTRIBUTING, "Cut a release")."""
    release = last_release()
    if release is None:
        # Nothing is tagged yet, or there is no history here: what was deployed is 0.1.
        assert COMMIT == "1a202df"
        return
    assert commit_of(COMMIT) == release, "move COMMIT in tests/faults/previous.py to the last release"


def test_shims_go_in_time() -> None:
    """What stands for the sake of a release that is gone says since when, and is not kept longer."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    present = tuple(map(int, version.split(".")[:2]))
    marked = {
        str(path.relative_to(ROOT)): (int(found[1]), int(found[2]))
        for path in CODE
        for found in MARKER.finditer(path.read_text())
    }
    assert "agents/delivery/claims.py" in marked
    assert [path for path, release in marked.items() if release <= present] == []


def a_repository(directory: Path, *steps: str) -> None:
    """Make a repository of commits and tags, in this order: a step that begins with v is a tag."""
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    for step in steps:
        what = (
            ["tag", "-a", step, "-m", step] if step.startswith("v") else ["commit", "-q", "--allow-empty", "-m", step]
        )
        subprocess.run(["git", "-C", str(directory), *name, *what], check=True)


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (["one", "two"], None),
        (["one", "v0.2.0"], None),
        (["one", "v0.2.0", "two"], "v0.2.0"),
        (["one", "v0.2.0", "two", "v0.3.0"], "v0.2.0"),
        (["one", "v0.2.0", "two", "v0.3.0", "three"], "v0.3.0"),
    ],
)
def test_the_last_release_is_the_tag_before_the_present_commit(
    tmp_path: Path, steps: list[str], found: str | None
) -> None:
    """A commit that is a release itself is tested against the one before it."""
    try:
        a_repository(tmp_path, *steps)
    except OSError:
        pytest.skip("git is not installed")
    assert last_release(tmp_path) == (None if found is None else commit_of(found, tmp_path))


def test_without_history_there_is_no_last_release(tmp_path: Path) -> None:
    """As in what ``git archive`` makes."""
    assert last_release(tmp_path) is None
