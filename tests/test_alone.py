"""Whoever measures has the machine to itself, and does not wait for ever."""

import fcntl
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.alone import Turns
from tests.waiting import until


async def test_many_share_and_one_is_alone(tmp_path: Path) -> None:
    """Others run side by side; who asks to be alone waits for them, and those that come later wait for it."""
    running: list[str] = []
    leave = {name: threading.Event() for name in ("first", "second", "alone", "late")}

    def run(name: str) -> None:
        turns = Turns(tmp_path)
        with turns.alone() if name == "alone" else turns.shared():
            running.append(name)
            leave[name].wait()
            running.remove(name)

    with ExitStack() as ends:
        threads = {name: threading.Thread(target=run, args=(name,), daemon=True) for name in leave}
        for event in leave.values():
            ends.callback(event.set)
        threads["first"].start()
        threads["second"].start()
        await until(lambda: sorted(running) == ["first", "second"])
        threads["alone"].start()
        await until(lambda: door_is_held(tmp_path))
        threads["late"].start()
        leave["first"].set()
        threads["first"].join()
        assert running == ["second"]
        leave["second"].set()
        await until(lambda: running == ["alone"])
        leave["alone"].set()
        await until(lambda: running == ["late"])


@pytest.mark.timeout(60, method="signal")
def test_a_wait_is_not_the_tests_time(tmp_path: Path) -> None:
    """The test's clock stands still until it is its turn, and goes on from where it was."""
    held, stood_still, ended = (threading.Event() for _ in range(3))

    def hold() -> None:
        with Turns(tmp_path).alone():
            held.set()
            while clock() and not ended.wait(0.005):
                pass
            if not ended.is_set():
                stood_still.set()

    before = clock()
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        assert held.wait(20)
        with Turns(tmp_path).shared():
            assert stood_still.is_set()
            assert 0 < clock() <= before
    finally:
        ended.set()
        thread.join()


def clock() -> float:
    """Return the seconds that are left to this test; 0 where its clock does not run."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


def door_is_held(directory: Path) -> bool:
    """Whether somebody keeps others from beginning."""
    with (directory / "door.lock").open("a") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
