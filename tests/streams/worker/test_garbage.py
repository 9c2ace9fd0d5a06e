"""A worker's pace of looking for cycles: seldom, and what is dropped in cycles still goes."""

import subprocess
import sys

LOOK = """
import gc, weakref
from streams.worker.garbage import YOUNG, look_seldom

class Node:
    pass

look_seldom()
assert gc.get_freeze_count() > 0
assert gc.get_threshold()[0] == YOUNG

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

first = cycle()
for _ in range(2 * YOUNG):
    cycle()
assert first() is None
"""


def test_cycles_still_go() -> None:
    """In a process of its own: the pace is a process's."""
    done = subprocess.run([sys.executable, "-c", LOOK], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
