"""Draw where a worker's time goes while it reads a part of the bench: ``python -m tests.benchmarks.flame PART FILE``.

``py-spy`` looks at the worker a hundred times a second, from the first trade it has counted to the last. It notes the
thread that runs Python. Each box of the drawing is a function, as wide as its share of the looks, below the one that
called it. ``py-spy`` has an environment of its own, as peers have. Linux lets it look at another process as root, or
with ``kernel.yama.ptrace_scope=0``.
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.liqmon import Liqmon
from tests.benchmarks.bench.parts import BY_NAME, Part
from tests.benchmarks.peers import environments
from tests.faults.processes import Process

PY_SPY: Final = "py-spy==0.4.1"
LOOKS_A_SECOND: Final = 100
SECONDS_AT_MOST: Final = 120


class Looked(Liqmon):
    """A worker that is looked at while it counts."""

    def __init__(self, drawing: Path) -> None:
        self._drawing = drawing
        self._looking: subprocess.Popen[bytes] | None = None

    def counting(self, worker: Process) -> None:
        """Begin to look."""
        program = Path(environments.python((PY_SPY,))).with_name("py-spy")
        words = ["record", "--gil", "--function", "--rate", str(LOOKS_A_SECOND)]
        words += ["--pid", str(worker.pid), "--output", str(self._drawing)]
        self._looking = subprocess.Popen([str(program), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def counted(self) -> None:
        """Draw. Raises RuntimeError where nothing could be seen."""
        assert self._looking is not None
        self._looking.send_signal(signal.SIGINT)
        _, said = self._looking.communicate(timeout=SECONDS_AT_MOST)
        if not self._drawing.exists():
            raise RuntimeError(said.decode())


def draw(part: Part, drawing: Path) -> None:
    """Let a worker read the part and draw. Raises RuntimeError where it cannot be looked at."""
    environments.python((PY_SPY,))
    with tempfile.TemporaryDirectory() as name:
        kafka = FilledKafka(Path(name), part)
        (directory := Path(name) / "run").mkdir()
        made = Path(name) / "drawing.svg"
        with kafka.fresh() as address:
            Looked(made).count(kafka, address, directory)
        text = made.read_text()
    title = f"Where a worker's time goes: {part.name}"
    drawing.write_text(re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{title}", text).rstrip() + "\n")


def main() -> None:
    """Draw one part."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flame", description=__doc__)
    parser.add_argument("part", choices=BY_NAME)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    draw(BY_NAME[options.part], options.file)
    sys.stdout.write(f"{options.file}\n")


if __name__ == "__main__":
    main()
