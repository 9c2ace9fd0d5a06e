"""One Kafka node (KRaft, broker and controller in one) as a child process that tests stop, kill, freeze and wipe."""

import base64
import contextlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from streams.local.embedded.process import Child
from tests.kafka import jars
from tests.kafka.jars import KafkaUnavailable
from tests.machine import until_stopped

HOST = "127.0.0.1"
LOWEST_PORT = 10_000
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
START_SECONDS = 60
STOP_SECONDS = 30

# Client compiler and serial collector halve the start, which tests pay often; the heap leaves room for the rest.
JVM_OPTIONS = ("-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")

STARTED = b"Kafka Server started"

LOGGING = """\
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c)%n
"""


def free_ports(count: int) -> list[int]:
    """Return different TCP ports of the loopback address that are free now.

    Where there is room, none of them is one that the system gives to outgoing connections. So a server that ends finds
    its port free when it starts again.
    """
    found: list[int] = []
    with contextlib.ExitStack() as probes:
        while len(found) < count:
            port = random.SystemRandom().randrange(LOWEST_PORT, _highest_port())
            with contextlib.suppress(OSError):
                probes.enter_context(socket.create_server((HOST, port)))
                found.append(port)
    return found


def _highest_port() -> int:
    """Return where the ports of outgoing connections begin (Linux; elsewhere IANA's); the end where that is too low."""
    try:
        lowest = int(OUTGOING_PORTS.read_text().split()[0])
    except OSError:
        lowest = 49_152
    return lowest if lowest >= LOWEST_PORT + 1000 else 65_536


class RealKafka:
    """A Kafka node in ``directory``, which keeps its data, settings and log.

    Clients use :attr:`address`. With ``advertised_port`` the node sends them on to that port, where a test has its
    proxy; :attr:`direct_address` always leads past it. Topics are not created by themselves. Methods block; start
    it from the main thread, since the node dies with the thread that started it. ``overrides`` are further broker
    settings. ``doors`` are further listeners, each with its security protocol; ``format_options`` go to the command
    that makes an empty node.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        advertised_port: int | None = None,
        overrides: Mapping[str, str] | None = None,
        doors: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.log = directory / "kafka.log"
        self._data = directory / "data"
        self._properties = directory / "server.properties"
        self._logging = directory / "log4j2.properties"
        self._doors = dict(doors or {})
        self._format_options = format_options
        client, self._direct_port, self._controller_port, *others = free_ports(3 + len(self._doors))
        self._door_ports = dict(zip(self._doors, others, strict=True))
        self.port = port or client
        self.advertised_port = advertised_port or self.port
        self._overrides = overrides or {}
        self._child: Child | None = None
        self._log_start = 0

    @staticmethod
    def available() -> str | None:
        """Return None where a real Kafka can run (fetching its jars at the first time), else the reason in one line."""
        try:
            jars.java()
            jars.class_path()
        except KafkaUnavailable as reason:
            return str(reason)
        return None

    @property
    def address(self) -> str:
        """The ``host:port`` for clients: the advertised one."""
        return f"{HOST}:{self.advertised_port}"

    @property
    def direct_address(self) -> str:
        """The ``host:port`` that leads past any proxy."""
        return f"{HOST}:{self._direct_port}"

    def door(self, name: str) -> str:
        """Return the ``host:port`` of one of its further listeners."""
        return f"{HOST}:{self._door_ports[name]}"

    @property
    def running(self) -> bool:
        """Whether its process lives; a frozen one does."""
        return self._child is not None and self._child.exit_code is None

    def start(self) -> Self:
        """Start, or start again on the same data, and wait until it serves.

        Raises :class:`KafkaUnavailable` where it cannot run, :class:`streams.errors.Fatal` when it does not start.
        """
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def launch(self) -> None:
        """Start its process without waiting for more; an empty node is formatted first (about a second)."""
        if self.running:
            raise RuntimeError("this Kafka is already running")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._logging.write_text(LOGGING)
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        if not (self._data / "meta.properties").exists():
            self._format()
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        command = [*self._java(), "kafka.Kafka", str(self._properties)]
        self._child = Child("Kafka", command, environment=self._environment(), log=self.log)

    def wait_ready(self, timeout_seconds: float = START_SECONDS) -> None:
        """Wait until clients are served. Raises :class:`streams.errors.Fatal` when that takes too long."""
        assert self._child is not None, "launch it first"
        self._child.wait_until(self._serves, timeout_seconds)

    def stop(self) -> None:
        """Shut it down as an operator would; its data stay."""
        if self._child is not None:
            self.resume()
            self._child.stop(grace_seconds=STOP_SECONDS)

    def kill(self) -> None:
        """Kill it (SIGKILL); its data stay."""
        if self._child is not None:
            self._child.kill()

    def wipe(self) -> None:
        """Delete its data: the next start is a new cluster. Only when it does not run."""
        if self.running:
            raise RuntimeError("stop this Kafka before wiping it")
        shutil.rmtree(self._data, ignore_errors=True)

    def freeze(self) -> None:
        """Stop its process from running (SIGSTOP); connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        if self._child is not None and self.running:
            until_stopped(self._child.pid)

    def resume(self) -> None:
        """Let a frozen process run on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self.running:
            os.kill(self._child.pid, number)

    def _settings(self) -> dict[str, str]:
        doors = "".join(f",{name}://{self.door(name)}" for name in self._doors)
        protocols = "".join(f",{name}:{protocol}" for name, protocol in self._doors.items())
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "listeners": f"CLIENT://{HOST}:{self.port},DIRECT://{HOST}:{self._direct_port},"
            f"CONTROLLER://{HOST}:{self._controller_port}{doors}",
            "advertised.listeners": f"CLIENT://{HOST}:{self.advertised_port},DIRECT://{HOST}:{self._direct_port}"
            f"{doors}",
            "listener.security.protocol.map": f"CLIENT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}",
            "inter.broker.listener.name": "DIRECT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            # One node: nothing can be replicated, and 50 internal partitions would only slow the start.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # A killed node may come back only when its former self has timed out: 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # 3 s by default, for groups of many members that start together.
            "group.initial.rebalance.delay.ms": "0",
            # 128 MB by default, more than a third of the heap.
            "log.cleaner.dedupe.buffer.size": "8388608",
            **self._overrides,
        }

    def _environment(self) -> dict[str, str]:
        # JAVA_TOOL_OPTIONS and the like could undo the options chosen here.
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        return {name: os.environ[name] for name in kept if name in os.environ}

    def _java(self) -> list[str]:
        options = [*JVM_OPTIONS, f"-Dlog4j2.configurationFile={self._logging}"]
        return [jars.java(), *options, "-cp", jars.class_path()]

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # The option parser takes a leading dash for a flag.
        arguments = ["format", f"--cluster-id={cluster}", "--config", str(self._properties), *self._format_options]
        command = [*self._java(), "kafka.tools.StorageTool", *arguments]
        with self.log.open("ab") as log:
            subprocess.run(command, env=self._environment(), stdout=log, stderr=log, timeout=START_SECONDS, check=True)

    def _serves(self) -> bool:
        """Whether all its ports are open, by its log, and it answers.

        Asks for the metadata of no topic (version 1): the answer lists the broker once it takes requests.
        """
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            if STARTED not in log.read():
                return False
        request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
        try:
            with socket.create_connection((HOST, self._direct_port), timeout=1) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                answer = connection.recv(12, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(answer) == 12 and bool(struct.unpack(">iii", answer)[2] > 0)
