"""Builds the peers in Java by Maven, once for each state of their sources, in a cache outside the repository."""

import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from tests.kafka.jars import KafkaUnavailable, cache_directory

SOURCES: Final = Path(__file__).with_name("java")
BUILD_SECONDS: Final = 600
# By default a JVM takes a quarter of the machine, which says nothing of what it needs.
JVM_OPTIONS: Final = ("-Xmx1g",)


class PeersUnavailable(Exception):
    """Peers in Java cannot be built here; the text says in one line why."""


def directory() -> Path:
    """Return where the peers of these sources are built."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(SOURCES)).encode() + path.read_bytes())
    return cache_directory().parent / f"peers-{digest.hexdigest()[:8]}"


@cache
def class_path(module: str) -> str:
    """Return the class path of a module's peers, building all first. Raises :class:`PeersUnavailable`."""
    built = directory()
    if not built.is_dir():
        try:
            _build(built)
        except (OSError, subprocess.TimeoutExpired, KafkaUnavailable) as error:
            raise PeersUnavailable(f"peers in Java could not be built: {error}") from None
    target = built / module / "target"
    return f"{target}/{module}-1.jar:{target}/lib/*"


def _build(built: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise PeersUnavailable("Maven is not installed, so peers in Java cannot be built")
    built.parent.mkdir(parents=True, exist_ok=True)
    # Complete or absent: another process may build at the same time.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=built.parent) as name:
        unfinished = Path(name) / "peers"
        shutil.copytree(SOURCES, unfinished)
        command = [maven, "--quiet", "--batch-mode", "--file", str(unfinished / "pom.xml"), "package"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if done.returncode:
            lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
            raise PeersUnavailable(f"Maven could not build the peers: {lines[0][8:] if lines else done.stderr[:200]}")
        unfinished.rename(built)
