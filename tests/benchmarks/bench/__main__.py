"""Compare the program with its peers: ``make bench``, or ``python -m tests.benchmarks.bench [options]``."""

import argparse
import logging
import sys
import time
from pathlib import Path

from tests.benchmarks.bench.facts import facts
from tests.benchmarks.bench.measure import Bench, say
from tests.benchmarks.bench.parts import PARTS, Part, named
from tests.benchmarks.bench.results import Row, as_json, as_markdown
from tests.benchmarks.bench.sizing import as_lines
from tests.benchmarks.bench.system import System
from tests.benchmarks.bench.systems import SYSTEMS, USUAL
from tests.kafka import RealKafka


def chosen(text: str, known: dict[str, object]) -> list[str]:
    """Return the names in a list with commas. Raises ArgumentTypeError for an unknown one."""
    names = [name for name in text.split(",") if name]
    if wrong := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: must be of {', '.join(known)}")
    return names


def parts_of(text: str) -> list[Part]:
    """Return the parts in a list with commas. Raises ArgumentTypeError for an unknown one."""
    try:
        return [part for name in text.split(",") if name for part in named(name)]
    except KeyError as error:
        known = ", ".join(part.name for part in PARTS)
        raise argparse.ArgumentTypeError(
            f"{error.args[0]}: must be of {known}, or what some of them begin with"
        ) from None


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", type=parts_of, default=list(PARTS), metavar="PARTS", help=", ".join(part.name for part in PARTS)
    )
    parser.add_argument(
        "--systems",
        type=lambda text: chosen(text, {**SYSTEMS}),
        help=f"of {', '.join(SYSTEMS)}; default {','.join(USUAL)}",
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each part; default 3")
    parser.add_argument(
        "--minutes",
        type=float,
        default=34,
        help="fewer rounds, then fewer systems, where all would take longer than this; default 34",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="times as many trades; default 1")
    parser.add_argument("--json", type=Path, help="file for the list of results")
    parser.add_argument("--markdown", type=Path, help="file for the table, which is printed too")
    return parser.parse_args(words)


def page(rows: list[Row], systems: list[System], scale: float) -> str:
    """Return all that was found, as Markdown."""
    deployments = as_lines(rows)
    more = "\n" + "\n".join(deployments) + "\n" if deployments else ""
    measured = {row.result.name for row in rows}
    missing = [part.name for part in PARTS if part.name not in measured]
    return as_markdown(rows, facts(systems, scale, missing)) + more


def main() -> int:
    """Measure, write what was asked for after each part, print the table; return the exit status."""
    options = parsed()
    # The client reports each topic that is still missing when it is asked to make them.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if (reason := RealKafka.available()) is not None:
        say(f"a real Kafka cannot run here: {reason}")
        return 1
    systems = [SYSTEMS[name] for name in options.systems or USUAL]
    bench = Bench(systems, options.repeats, seconds=60 * options.minutes)
    bench.prepare()
    parts = [part.scaled(options.scale) for part in options.only]
    rows: list[Row] = []
    try:
        for at, part in enumerate(parts):
            now = time.monotonic()
            # What one part leaves of its share, those behind it have.
            rows += bench.rows(part, now + (bench.ends - now) / (len(parts) - at))
            if options.json:
                options.json.write_bytes(as_json(rows))
            if options.markdown:
                options.markdown.write_text(page(rows, systems, options.scale))
    except KeyboardInterrupt:
        bench.failures.append(f"{part.name} and what follows: ended by hand")
    sys.stdout.write(page(rows, systems, options.scale))
    for failure in bench.failures:
        say(f"not measured: {failure}")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
