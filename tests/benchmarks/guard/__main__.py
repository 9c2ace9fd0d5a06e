"""Print what the hot path costs beside what is stored: ``python -m tests.benchmarks.guard [--write] [NAME...]``.

With ``--write`` what was found is stored as the new measure of ``make test``.
"""

import argparse
import sys

from tests.benchmarks.guard import stored
from tests.benchmarks.guard.cost import ROUNDS, cost_of
from tests.benchmarks.guard.paths import PATHS


def main() -> None:
    """Measure all, or what is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store what was found")
    parser.add_argument("--rounds", type=int, default=3 * ROUNDS, help=f"default {3 * ROUNDS}")
    parser.add_argument("names", nargs="*", choices=[*PATHS, []], metavar="NAME", help=", ".join(PATHS))
    options = parser.parse_args()
    before = stored.baseline() if stored.BASELINE.exists() else {}
    found = {}
    sys.stdout.write(f"{'piece':27} {'steps a trade':>20} {'time a trade':>20}\n")
    for name in options.names or PATHS:
        now = found[name] = cost_of(PATHS[name], rounds=options.rounds)
        was = before.get(name, now)
        cells = (f"{new:9.3f} ({new / old - 1:+7.1%})" for new, old in ((now.steps, was.steps), (now.time, was.time)))
        sys.stdout.write(f"{name:27} {' '.join(f'{cell:>20}' for cell in cells)}\n")
        sys.stdout.flush()
    if options.write:
        stored.write({name: cost for name, cost in {**before, **found}.items() if name in PATHS})


if __name__ == "__main__":
    main()
