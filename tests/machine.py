"""What a machine's processors and processes do, by Linux's own account."""

import os
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

STOPPED_SECONDS = 5.0
POLL_SECONDS = 0.001
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def below(ancestor: int) -> list[int]:
    """Return the processes that a process has started, and those that these have started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {ancestor})


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of processes with all their threads, the kernel's work for them included."""
    return sum(int(fields[11]) + int(fields[12]) for pid in pids if (fields := _stat(pid))) / TICKS_PER_SECOND


def busy_seconds() -> float:
    """Return the time that all processors together were not idle since the machine's start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def until_stopped(pid: int) -> None:
    """Wait until no thread of a process runs any more after SIGSTOP: on a busy machine some go on for a while.

    Raises :class:`TimeoutError`.
    """
    deadline = time.monotonic() + STOPPED_SECONDS
    while any(_stat(f"{pid}/task/{thread.name}")[:1] not in ([], ["T"]) for thread in _threads(pid)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} did not stop in {STOPPED_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def descriptors_raised(least: int) -> Iterator[None]:
    """Let this process have so many files and sockets open in the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, least), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _stat(process: int | str) -> list[str]:
    """Return what follows the name in ``/proc/<process>/stat``; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def resident_bytes(pid: int) -> int:
    """Return how much of a process is in memory; 0 for one that is gone."""
    fields = _stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0
