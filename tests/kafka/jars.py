"""Fetches Kafka's jars by Maven, once, into a cache outside the repository."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

POM = Path(__file__).with_name("pom.xml")
MINIMUM_JAVA = 17
FETCH_SECONDS = 300


class KafkaUnavailable(Exception):
    """A real Kafka cannot run here; the text says in one line what is missing."""


def version() -> str:
    """Return the version of Kafka that ``pom.xml`` names."""
    text = ET.parse(POM).findtext(".//{*}properties/{*}kafka.version")
    assert text, "pom.xml names kafka.version"
    return text


def cache_directory() -> Path:
    """Return where the jars are kept; a changed ``pom.xml`` has a directory of its own."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return root / "liqmon" / f"kafka-{version()}-{digest}"


@cache
def java() -> str:
    """Return the path of a Java that can run the broker. Raises :class:`KafkaUnavailable`."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if path is None:
        raise KafkaUnavailable("Java is not installed")
    answer = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    if found is None or int(found[1]) < MINIMUM_JAVA:
        raise KafkaUnavailable(f"Java {MINIMUM_JAVA} or later is needed, not {found[1] if found else 'an unknown one'}")
    return path


@cache
def class_path() -> str:
    """Return the class path of the broker, fetching its jars first where they are not kept yet.

    Raises :class:`KafkaUnavailable`.
    """
    directory = cache_directory()
    if not directory.is_dir():
        _fetch(directory)
    return f"{directory}/*"


def _fetch(directory: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable("Maven is not installed and Kafka's jars are not in the cache")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Complete or absent: another process may fetch at the same time.
        unfinished = Path(tempfile.mkdtemp(prefix=".fetch-", dir=directory.parent))
    except OSError as error:
        raise KafkaUnavailable(f"{directory.parent} cannot be written: {error.strerror}") from None
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"]
    command = [maven, "--quiet", "--batch-mode", "--file", str(POM), *goal]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        if done.returncode:
            lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
            raise KafkaUnavailable(
                f"Maven could not fetch Kafka's jars: {lines[0][8:] if lines else done.stderr[:200]}"
            )
        unfinished.rename(directory)
    except subprocess.TimeoutExpired:
        raise KafkaUnavailable(f"Maven did not fetch Kafka's jars within {FETCH_SECONDS} s") from None
    except OSError:
        if not directory.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
