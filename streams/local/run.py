"""``liqmon run``: the whole chain on one machine, from the embedded servers to the alerts on the terminal.

Servers, simulator, producer and worker are child processes. This process only starts, watches and stops them.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from streams.errors import Fatal, MonitorError
from streams.local.embedded.broker import PARTITIONS, EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.process import lock_directory
from streams.local.embedded.valkey import HOST, EmbeddedRedis, free_port
from streams.local.supervisor import Plan, Supervisor
from streams.preflight import check_file, check_network, check_port, check_report
from streams.settings import Settings, load_settings
from streams.venues.registry import make_venues

RUN_PREFIX: Final = "run-"
# What a shell says of a process that SIGINT ended: 128 + 2.
INTERRUPTED: Final = 130
# The embedded broker lets a fetch wait for this long, whatever arrives. Alerts are promised within 50 ms.
EMBEDDED_FETCH_WAIT_MS: Final = 20
LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class RunOptions:
    """What the command line may say; everything else comes from the settings.

    ``feed`` overrides FEED and ``file`` the environment's FILE. ``speed`` is the multiple of real speed at which a
    recording is replayed, None for as fast as possible. ``seed`` and ``rate`` (trades a second) are the simulator's.
    """

    feed: str | None = None
    file: Path | None = None
    symbol: str | None = None
    speed: float | None = None
    seed: int | None = None
    rate: float | None = None
    duration_seconds: float | None = None
    report: Path | None = None


def run(options: RunOptions) -> int:
    """Run until told to stop, the duration is over or the recording is processed; return the exit code.

    What stops it from running is one line on standard error.
    """
    try:
        with _terminable():
            return _run(options)
    except MonitorError as error:
        sys.stderr.write(f"liqmon: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("liqmon: stopped before it was ready\n")
        return INTERRUPTED


def _run(options: RunOptions) -> int:
    settings, file = _resolve(options)
    check_report(options.report)
    web_port = check_port(settings.web_host, settings.web_port, "WEB_PORT")
    producer_port = check_port(settings.web_host, settings.producer_metrics_port, "PRODUCER_METRICS_PORT")
    if settings.feed == "live":
        asyncio.run(check_network(url for venue in make_venues(settings) for url in venue.addresses()))
    data = settings.data_dir.resolve()
    with lock_directory(data), ExitStack() as exits:
        logs = _fresh_logs(data)
        # What libraries have to say is for whoever looks into a fault, not for the terminal.
        logging.basicConfig(filename=logs / "run.log", format=LOG_FORMAT, force=True)
        environment = {**os.environ, **start_servers(settings, data, logs, exits)}
        environment |= {"FEED": settings.feed, "WEB_PORT": str(web_port), "PRODUCER_METRICS_PORT": str(producer_port)}
        environment.setdefault("PRODUCER_URLS", f"http://{HOST}:{producer_port}")
        environment |= {"DATA_DIR": str(_worker_directory(settings, data, exits)), "PYTHONUNBUFFERED": "1"}
        simulator = _simulator(options, environment) if settings.feed == "simulator" else None
        plan = Plan(
            settings=load_settings(**_as_settings(environment)),
            environment=environment,
            logs=logs,
            simulator=simulator,
            producer=_producer(options, settings, file),
            worker=command("worker"),
            duration_seconds=options.duration_seconds,
            report=options.report,
        )
        return asyncio.run(Supervisor(plan, exits).run())


def command(*arguments: str) -> list[str]:
    """Return the command that runs ``liqmon`` with these arguments in this interpreter."""
    return [sys.executable, "-m", "streams.cli", *arguments]


def start_servers(settings: Settings, data: Path, logs: Path, exits: ExitStack) -> dict[str, str]:
    """Start the servers whose addresses are not set, and return their settings by environment variable.

    Each is stopped when ``exits`` closes. Raises :class:`Fatal` when one does not start.
    """
    given = settings.model_fields_set
    found: dict[str, str] = {}
    broker = None
    if "kafka_bootstrap_servers" not in given:
        broker = exits.enter_context(EmbeddedBroker(log=logs / "broker.log"))
    if "redis_url" not in given:
        found["REDIS_URL"] = exits.enter_context(
            EmbeddedRedis(log=logs / "redis.log", password=secrets.token_urlsafe(24))
        ).url
    if "postgres_host" not in given:
        postgres = EmbeddedPostgres(data / "postgres", log=logs / "postgres.log")
        found |= exits.enter_context(postgres).settings
    if broker is not None:
        found["KAFKA_BOOTSTRAP_SERVERS"] = broker.address
        # It makes topics by itself, always with as many partitions.
        found |= {"CREATE_TOPICS": "false", "TOPIC_PARTITIONS": str(PARTITIONS)}
        found |= {"FETCH_MAX_WAIT_MS": str(EMBEDDED_FETCH_WAIT_MS)}
    return found


def _resolve(options: RunOptions) -> tuple[Settings, Path | None]:
    file = options.file or (Path(os.environ["FILE"]) if os.environ.get("FILE") else None)
    settings = load_settings(**({"feed": options.feed} if options.feed else {}))
    if file is not None and "feed" not in settings.model_fields_set:
        settings = load_settings(feed="recording")
    return settings, check_file(file) if settings.feed == "recording" else None


def _fresh_logs(data: Path) -> Path:
    logs = data / "logs"
    with _writing(logs):
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(exist_ok=True)
    return logs


def _worker_directory(settings: Settings, data: Path, exits: ExitStack) -> Path:
    """Return where the worker keeps its tables. The embedded broker starts empty, so with it they do too."""
    if "kafka_bootstrap_servers" in settings.model_fields_set:
        return data / "worker"
    for left in data.glob(f"{RUN_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    with _writing(data):
        directory = tempfile.mkdtemp(prefix=RUN_PREFIX, dir=data)
    exits.callback(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def _simulator(options: RunOptions, environment: dict[str, str]) -> list[str]:
    """Point the feeds at the simulator, under venues of their own, and return its command."""
    port = free_port()
    environment |= {
        "SPOT_WS_URL": f"ws://{HOST}:{port}/v2",
        "FUTURES_WS_URL": f"ws://{HOST}:{port}/ws/v1",
        "SPOT_VENUE": "sim_spot",
        "FUTURES_VENUE": "sim_futures",
    }
    arguments = ["simulate", "--port", str(port)]
    arguments += ["--seed", str(options.seed)] if options.seed is not None else []
    arguments += ["--rate", str(options.rate)] if options.rate is not None else []
    return command(*arguments)


def _producer(options: RunOptions, settings: Settings, file: Path | None) -> list[str]:
    arguments = ["produce"]
    if file is not None:
        arguments += ["--file", str(file)]
        arguments += ["--symbol", options.symbol] if options.symbol else []
        arguments += ["--speed", str(options.speed)] if options.speed is not None else []
        if "kafka_bootstrap_servers" not in settings.model_fields_set:
            arguments.append("--pace")
    return command(*arguments)


def _as_settings(environment: dict[str, str]) -> dict[str, Any]:
    return {name: environment[name.upper()] for name in Settings.model_fields if name.upper() in environment}


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Fatal(f"DATA_DIR {directory} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the start as Ctrl-C does, so that what was started is stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
