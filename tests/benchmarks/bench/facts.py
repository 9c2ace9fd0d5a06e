"""What the figures depend on: machine, versions, seeds."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.benchmarks.bench.parts import SEED
from tests.benchmarks.bench.system import System
from tests.benchmarks.peers import build
from tests.kafka import jars

PACKAGES: Final = ("liquidation-monitor", "faust-streaming", "aiokafka", "msgspec", "rocksdict")
UNEQUAL: Final = (
    "Unequal, in the program's disfavour: it keeps the ids of all trades, 4 200 panes of a market, its rules and four "
    "windows. Peers keep the last id, 300 panes and one window."
)
UNMEASURED: Final = (
    "Flink has no row for a restore. It would read a snapshot from this machine's disk, where the others read topics."
)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _java() -> str:
    answer = subprocess.run([jars.java(), "-version"], capture_output=True, text=True, timeout=60, check=False)
    return answer.stderr.splitlines()[0]


def _peers() -> str:
    pom = ET.parse(build.SOURCES / "pom.xml")
    named = (("Kafka Streams", "kafka.version"), ("Flink", "flink.version"))
    return ", ".join(f"{name} {pom.findtext(f'.//{{*}}properties/{{*}}{key}')}" for name, key in named)


def _commit() -> str:
    """Return which commit was measured; nothing where this is no checkout."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        said = subprocess.run(git, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except OSError:
        return ""
    return f"Commit {said}. " if said else ""


def facts(systems: Iterable[System], scale: float = 1.0, missing: Sequence[str] = ()) -> list[str]:
    """Return a line each; ``scale`` is how many times their trades parts had, ``missing`` are parts without rows."""
    fewer = [f"{one.name} {one.share:.0%}" for one in systems if one.share < 1]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return [
        f"Machine: {os.cpu_count()} x {_processor()}, {memory:.0f} GiB, {system}. Its load was {load} at the end.",
        f"{_commit()}Python {platform.python_version()}, {versions}.",
        f"Kafka {jars.version()}, {_peers()}, {_java()}, `{' '.join(build.JVM_OPTIONS)}`.",
        f"Seed {SEED}. Figures are medians, with the least and the most of the runs. Systems take turns.",
        "Processor time is the measured process's own, from the first trade it has counted to the last. "
        "Systems named -warm are the second half of the same runs.",
        "Seconds are those of counting. Of a restore, they go from a start with empty tables to whole answers. "
        "Of memory, they go from the start to whole answers. Of a latency, they are the 99th percentile.",
        UNEQUAL,
        UNMEASURED,
        *([f"Parts that count had {scale:g} times their trades."] if scale != 1 else []),
        *([f"Not measured here: {', '.join(missing)}."] if missing else []),
        *([f"Slow systems read fewer trades: {', '.join(fewer)}."] if fewer else []),
    ]
