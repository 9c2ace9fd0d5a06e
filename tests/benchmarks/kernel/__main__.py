"""What reading rows in C would save: ``python -m tests.benchmarks.kernel [--symbols N]``. Needs a C compiler.

Rows are those of :mod:`tests.benchmarks.rows`, a bundle at a time. Processor seconds per million rows are printed: of
the reader, of a sketch of it in C with what is left to do in Python, and of sorting by market and cutting into runs.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from agents.counting.row_runs import RowBatch
from streams.model.plain_rows import PlainRows
from streams.settings import load_settings
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues
from streams.worker.bundles import MAX_MESSAGES
from tests.benchmarks.bench import feed
from tests.benchmarks.rows import part_of

BUNDLES = 40
REPEATS = 5
SOURCE = Path(__file__).with_name("sketch.c")
COLUMNS = 9

Read = Callable[[Sequence[bytes]], object]


def built(directory: Path) -> ctypes.CDLL:
    """Return the sketch, compiled."""
    library = directory / "sketch.so"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return ctypes.CDLL(str(library))


def natively(library: ctypes.CDLL) -> Callable[[Sequence[bytes]], tuple[list[bytes], np.ndarray]]:
    """Return what reads rows with the sketch: (symbols, columns) of them."""
    function = library.read_rows
    function.restype = ctypes.c_int64

    def read(texts: Sequence[bytes]) -> tuple[list[bytes], np.ndarray]:
        count = len(texts)
        text = b"".join(texts)
        starts = np.fromiter(accumulate(map(len, texts), initial=0), np.int64, count + 1)
        columns = np.empty((COLUMNS, count), np.int64)
        pointers = [ctypes.c_void_p(column.ctypes.data) for column in columns]
        done = function(text, ctypes.c_void_p(starts.ctypes.data), ctypes.c_int64(count), *pointers)
        assert done == count
        # Symbols become numbers in Python, as venues are asked there.
        at, ends = columns[0].tolist(), (columns[0] + columns[1]).tolist()
        symbols = [text[start:end] for start, end in zip(at, ends, strict=True)]
        numbers = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
        columns[0] = np.fromiter(map(numbers.__getitem__, symbols), np.int64, count)
        return list(numbers), columns

    return read


def seconds(read: Read, bundles: Sequence[Sequence[bytes]]) -> float:
    """Return the least processor time of some runs, in seconds a million rows."""
    used = []
    for _ in range(REPEATS):
        started = time.process_time()
        for bundle in bundles:
            read(bundle)
        used.append(time.process_time() - started)
    return min(used) * 1e6 / sum(map(len, bundles))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, action="append")
    arguments = parser.parse_args()
    reader = PlainReader(make_venues(load_settings()))
    sys.stdout.write("symbols  read in Python  read in C  sorted and cut  (CPU s a million rows)\n")
    with tempfile.TemporaryDirectory() as name:
        native = natively(built(Path(name)))
        for symbols in arguments.symbols or (10, 1000):
            part = part_of(symbols, BUNDLES * MAX_MESSAGES)
            texts = [row for _, row in feed.json_messages(part, feed.columns(part))]
            bundles = [texts[at : at + MAX_MESSAGES] for at in range(0, len(texts), MAX_MESSAGES)]
            found = reader.read(bundles[0])
            assert found is not None
            check(found, native(bundles[0])[1])
            read = {id(bundle): reader.read(bundle) for bundle in bundles}
            received, sizes = np.full(MAX_MESSAGES, 2**60), [1] * MAX_MESSAGES

            def cut(
                bundle: Sequence[bytes],
                read: dict[int, PlainRows | None] = read,
                received: np.ndarray = received,
                sizes: list[int] = sizes,
            ) -> None:
                plain = read[id(bundle)]
                assert plain is not None
                for _ in RowBatch(plain, {}, set(), received, sizes, 0).by_market():
                    pass

            figures = [seconds(work, bundles) for work in (reader.read, native, cut)]
            sys.stdout.write(f"{symbols:7}  {figures[0]:14.2f}  {figures[1]:9.2f}  {figures[2]:14.2f}\n")


def check(plain: PlainRows, columns: np.ndarray) -> None:
    """Raise where the sketch reads other trades."""
    for expected, found in (
        (plain.market, columns[0]),
        (plain.sides, columns[2]),
        (plain.ids, columns[7]),
        (plain.times_us, columns[8]),
        (plain.prices, columns[3] / 10.0 ** columns[4]),
    ):
        assert np.array_equal(expected, found)


if __name__ == "__main__":
    main()
