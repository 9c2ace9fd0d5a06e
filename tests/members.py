"""``liqmon worker --processes N`` as an operator runs it, on ports that are free."""

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from streams.local.members import PORT_STEP
from tests.faults.processes import Process, Processes, http_get, liqmon, sum_of_samples
from tests.kafka.server import HOST, free_ports


class Members:
    """The program with its members. ``process`` is the supervisor, ``ports`` are those of its members in order."""

    def __init__(self, processes: Processes, count: int, environment: Mapping[str, str] | None = None) -> None:
        self.ports = free_row(count)
        self.data = processes.directory / "workers" / "data"
        own = {"WEB_HOST": HOST, "WEB_PORT": str(self.ports[0]), "DATA_DIR": str(self.data)}
        self.process: Process = processes.add(
            "workers",
            liqmon("worker", "--processes", str(count)),
            environment=own | dict(environment or {}),
            port=self.ports[0],
        )

    def pid(self, number: int) -> int:
        """Return the process id of a member, the first is 1, by the note in its directory."""
        return int((self.data / f"worker-{number}" / "lock").read_text().split()[0])

    def pids(self) -> list[int]:
        """Return the process ids of all members."""
        return [self.pid(number) for number in range(1, len(self.ports) + 1)]

    def counted(self) -> float:
        """Return how many trades all members have counted. Raises OSError while one does not answer."""
        return sum(sum_of_samples(http_get(port, "/metrics")[1], "liqmon_trades_total", {}) for port in self.ports)


def free_row(count: int) -> list[int]:
    """Return ports of so many members that are free now."""
    while True:
        (first,) = free_ports(1)
        ports = [first + step * PORT_STEP for step in range(count)]
        if all(map(is_free, ports)):
            return ports


def is_free(port: int) -> bool:
    """Whether something could listen there."""
    with contextlib.suppress(OSError), socket.create_server((HOST, port)):
        return True
    return False


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
