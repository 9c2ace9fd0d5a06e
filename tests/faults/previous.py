"""The version before: the last release, from the history of this repository, and programs that run as it.

Until a version is tagged, that is what was deployed without one: commit 1a202df, called 0.1.
"""

import json
import os
import subprocess
import sys
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from tables.market.chunks import HEAD, decode_head, encode
from tables.market.coverage import SINCE
from tests.faults.ledger import Entry
from tests.faults.processes import KEPT_ENVIRONMENT, Process

COMMIT = "1a202df"
"""The commit or tag of the last release. CONTRIBUTING says when to move it, `tests/test_releases.py` whether it is."""

ROOT = Path(__file__).parents[2]
REFOLD = Path(__file__).with_name("refold.py")
REFOLD_SECONDS = 120

Items = dict[tuple[int, bytes], bytes]
"""Values of a table by partition and key."""


def checked_out(directory: Path, commit: str = COMMIT) -> Path:
    """Lay the version before, or another commit, out in a directory, and return it."""
    found = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=False)
    if found.returncode:
        pytest.fail(
            f"the history here lacks commit {commit}, an earlier version ({found.stderr.decode().strip()}): "
            "test in a clone that is not shallow (git fetch --unshallow)"
        )
    with tarfile.open(fileobj=BytesIO(found.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def last_release(repository: Path = ROOT) -> str | None:
    """Return the commit of the last version that was tagged before the present one; None without tag or history."""
    try:
        tag = _git(repository, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD~1")
        return commit_of(tag, repository)
    except (OSError, subprocess.CalledProcessError):
        return None


def commit_of(name: str, repository: Path = ROOT) -> str:
    """Return the whole name of a commit or tag. Raises :class:`subprocess.CalledProcessError`."""
    return _git(repository, "rev-parse", f"{name}^{{commit}}")


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=True, text=True)
    return done.stdout.strip()


def run_as(process: Process, version: Path) -> None:
    """Let a process be of a version from its next start on."""
    process.environment = {**process.environment, "PYTHONPATH": str(version)}


def refolded(
    version: Path, messages: Sequence[Entry], items: Items, environment: Mapping[str, str], directory: Path
) -> Items:
    """Return the state that a version makes of messages, beginning with what another one stored.

    It reads and writes every value of that, also where no message changes it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    base = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    own = {"PYTHONPATH": str(version), "DATA_DIR": str(directory), "TABLE_STORE": "memory://"}
    work = {
        "messages": [[one.partition, one.offset, b64encode(one.value).decode()] for one in messages],
        "items": [[partition, _text(key), _text(value)] for (partition, key), value in items.items()],
    }
    # Without -P the modules beside the program would hide others of their name.
    done = subprocess.run(
        [sys.executable, "-P", str(REFOLD)],
        input=json.dumps(work).encode(),
        capture_output=True,
        check=False,
        cwd=directory,
        env={**base, **environment, **own},
        timeout=REFOLD_SECONDS,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    assert Path(answer["program"]).is_relative_to(version), answer["program"]
    return {(partition, b64decode(key)): b64decode(value) for partition, key, value in answer["items"]}


def unadded(items: Items) -> Items:
    """Return state without what this release adds to every head, and 0.1 drops: since when a market was counted."""
    found = dict(items)
    for key, value in items.items():
        if key[1].endswith(f"|{HEAD}".encode()):
            head = decode_head(key[1], value)
            found[key] = encode(msgspec.structs.replace(head, tail=head.tail.without(SINCE)))
    return found


def _text(value: bytes) -> str:
    return b64encode(value).decode()
