"""What a machine's processors do, by Linux's own counting: so that a measurement can tell its own work from others'."""

import os
from collections.abc import Iterable
from pathlib import Path

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


def _stat(pid: int) -> list[str]:
    """Return what follows the name in ``/proc/<pid>/stat``; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
