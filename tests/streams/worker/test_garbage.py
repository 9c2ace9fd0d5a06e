"""A worker looks for cycles seldom, and what is dropped in cycles still goes. Freed memory is given back."""

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


FREED = """
from streams.worker.garbage import give_back
from tests.machine import resident_bytes
import os

def resident():
    return resident_bytes(os.getpid())

before = resident()
held = [bytes(4000) for _ in range(50_000)]
kept = held[::1000]
full = resident()
del held
give_back()
assert full - before > 150_000_000
assert resident() - before < 50_000_000, (before, full, resident())
"""


def test_what_is_freed_between_what_is_kept_is_given_back() -> None:
    """The C library keeps it otherwise, for as long as something above it is in use."""
    done = subprocess.run([sys.executable, "-c", FREED], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
