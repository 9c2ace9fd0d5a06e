"""Compare the program with its peers: ``make bench``, or ``python -m tests.benchmarks.bench [options]``."""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bench.broker import FilledKafka
from tests.benchmarks.bench.facts import facts
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.parts import BY_NAME, Part
from tests.benchmarks.bench.results import Row, as_json, as_markdown, row_of
from tests.benchmarks.bench.system import System, WrongTotals
from tests.benchmarks.bench.systems import SYSTEMS, USUAL
from tests.benchmarks.peers.build import PeersUnavailable
from tests.kafka import RealKafka


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def measure(part: Part, systems: list[System], repeats: int, failures: list[str]) -> list[Row]:
    """Return a part's rows. What failed is said, added to ``failures``, and left out."""
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    with tempfile.TemporaryDirectory() as name:
        kafkas = {
            share: _filled(Path(name) / f"share-{share}", part, share) for share in {one.share for one in systems}
        }
        for repeat in range(repeats):
            # Systems take turns: what else the machine does meets all of them.
            for system in systems:
                directory = Path(name) / f"{system.name}-{repeat}"
                directory.mkdir()
                try:
                    run = system.run(kafkas[system.share], directory)
                except (WrongTotals, TimeoutError, PeersUnavailable) as error:
                    failures.append(f"{part.name}, {system.name}: {error}")
                    say(failures[-1])
                    continue
                runs[system.name].append(run)
                cost = f", {1e6 * run.cpu / run.trades:.2f} CPU s a million" if run.trades else ""
                say(f"  {system.name}: {run.seconds:.1f} s{cost}, {run.rss_mb:.0f} MB")
    rows = []
    for system in systems:
        if found := runs[system.name]:
            rows.append(row_of(part.name, system.name, found))
            if system.is_jvm and not part.is_restore:
                rows.append(row_of(part.name, system.name, found, warm=True))
    return rows


def _filled(directory: Path, part: Part, share: float) -> FilledKafka:
    began, some = time.monotonic(), part.scaled(share)
    kafka = FilledKafka(directory, some)
    say(f"{part.name}: {some.trades:,} trades of {part.symbols:,} markets in {time.monotonic() - began:.0f} s")
    return kafka


def chosen(text: str, known: dict[str, object]) -> list[str]:
    """Return the names in a list with commas. Raises ArgumentTypeError for an unknown one."""
    names = [name for name in text.split(",") if name]
    if wrong := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: must be of {', '.join(known)}")
    return names


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", type=lambda text: chosen(text, {**BY_NAME}), help="parts, comma separated")
    parser.add_argument(
        "--systems",
        type=lambda text: chosen(text, {**SYSTEMS}),
        help=f"of {', '.join(SYSTEMS)}; default {','.join(USUAL)}",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each system; default 3")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many trades; default 1")
    parser.add_argument("--json", type=Path, help="file for the list of results")
    parser.add_argument("--markdown", type=Path, help="file for the table, which is printed too")
    return parser.parse_args(words)


def main() -> int:
    """Measure, write what was asked for after each part, print the table; return the exit status."""
    options = parsed()
    # The client warns of each topic that is still missing when it is asked to make them.
    logging.disable(logging.WARNING)
    if (reason := RealKafka.available()) is not None:
        say(f"a real Kafka cannot run here: {reason}")
        return 1
    systems = [SYSTEMS[name] for name in options.systems or USUAL]
    rows: list[Row] = []
    failures: list[str] = []
    for name in options.only or BY_NAME:
        part = BY_NAME[name].scaled(options.scale)
        able = [system for system in systems if system.restores or not part.is_restore]
        rows += measure(part, able, options.repeats, failures)
        if options.json:
            options.json.write_bytes(as_json(rows))
        if options.markdown:
            options.markdown.write_text(as_markdown(rows, facts()))
    sys.stdout.write(as_markdown(rows, facts()))
    for failure in failures:
        say(f"not measured: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
