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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from streams.data_directory import lock_directory, make_private
from streams.errors import BadSetting, Fatal, MonitorError
from streams.local.embedded.broker import PARTITIONS, EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.valkey import HOST, EmbeddedRedis, free_port
from streams.local.plan import Plan, command
from streams.local.playing import suited
from streams.local.supervisor import Supervisor
from streams.local.terminal import say
from streams.preflight import all_of, check_file, check_network, check_port, check_report, check_token
from streams.secret_files import without_files
from streams.secured import ENCRYPTING
from streams.settings import Settings, load_settings
from streams.settings_names import check_names
from streams.tls import check_client_files, of_web_servers
from streams.venues.registry import make_feeds, make_venues

RUN_PREFIX: Final = "run-"
# What a shell says of a process that SIGINT ended: 128 + 2.
INTERRUPTED: Final = 130
# The embedded broker lets a fetch wait for this long, whatever arrives. Alerts are promised within 50 ms.
EMBEDDED_FETCH_WAIT_MS: Final = 20
EMBEDDED_SPEAK_NO_TLS: Final = "the servers that this command starts itself speak no TLS"
LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class RunOptions:
    """What the command line may say; everything else comes from the settings.

    ``feed`` overrides FEED; ``files`` and ``symbol`` override the environment's FILE and SYMBOL.
    ``speed`` is the multiple of real speed at which
    recordings are replayed, None for as fast as possible. ``seed`` and ``rate`` (trades a second) are the simulator's.
    """

    feed: str | None = None
    files: Sequence[Path] = ()
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
        return _run(options)
    except MonitorError as error:
        sys.stderr.write(f"liqmon: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("liqmon: stopped before it was ready\n")
        return INTERRUPTED


def _run(options: RunOptions) -> int:
    settings, recording = _resolve(options)
    _check_secured(settings)
    check_token(settings)
    check_report(options.report)
    if settings.feed == "live":
        asyncio.run(check_network(url for venue in make_venues(settings) for url in venue.addresses()))
    data = settings.data_dir.resolve()
    with ExitStack() as exits:
        # From here on there is something to stop, and nothing is imported any more.
        exits.enter_context(_stoppable())
        ports = _claim(settings, data, exits)
        logs = data / "logs"
        make_private(logs)
        # What libraries have to say is for whoever looks into a fault, not for the terminal.
        logging.basicConfig(filename=logs / "run.log", format=LOG_FORMAT, force=True)
        environment = without_files(os.environ, start_servers(settings, data, logs, exits))
        environment |= {"FEED": str(settings.feed), **ports}
        if recording is not None and options.speed is None:
            environment |= suited(settings)
        environment.setdefault("PRODUCER_URLS", f"{settings.web_scheme}://{HOST}:{ports['PRODUCER_METRICS_PORT']}")
        environment |= {"DATA_DIR": str(_worker_directory(settings, data, exits)), "PYTHONUNBUFFERED": "1"}
        simulator = _simulator(options, environment) if settings.feed == "simulator" else None
        plan = Plan(
            settings=load_settings(**_as_settings(environment)),
            environment=environment,
            logs=logs,
            simulator=simulator,
            producer=_producer(options, settings, recording),
            worker=command("worker"),
            duration_seconds=options.duration_seconds,
            report=options.report,
        )
        return asyncio.run(Supervisor(plan, exits).run())


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


def _check_secured(settings: Settings) -> None:
    """Raise :class:`BadSetting` where TLS or a login is asked of a server that this run would start itself.

    Also where a file with a certificate, for whichever connection, cannot be used.
    """
    given, protocol, mode = settings.model_fields_set, settings.kafka_security_protocol, settings.postgres_sslmode
    if "kafka_bootstrap_servers" not in given and protocol != "PLAINTEXT":
        raise BadSetting(f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_BOOTSTRAP_SERVERS: {EMBEDDED_SPEAK_NO_TLS}")
    if "postgres_host" not in given and mode in ENCRYPTING:
        raise BadSetting(f"POSTGRES_SSLMODE={mode} needs POSTGRES_HOST: {EMBEDDED_SPEAK_NO_TLS}")
    check_client_files(settings)
    of_web_servers(settings)


def _check_options(options: RunOptions, feed: str) -> None:
    """Raise :class:`BadSetting` where an option is of another feed and would do nothing."""
    of_feeds: dict[str, dict[str, object]] = {
        "recording": {"--file": options.files, "--symbol": options.symbol, "--speed": options.speed},
        "simulator": {"--seed": options.seed, "--rate": options.rate},
    }
    for other, values in of_feeds.items():
        given = [name for name, value in values.items() if value not in (None, (), [])]
        if given and other != feed:
            raise BadSetting(f"{given[0]} is for FEED={other}, and this is FEED={feed}: leave it out")


@dataclass(frozen=True)
class _Recording:
    files: list[Path]
    symbol: str | None


def _resolve(options: RunOptions) -> tuple[Settings, _Recording | None]:
    """Return settings and recording. Nothing that is wrong with either is left for a process that starts later."""
    files = list(options.files) or ([Path(os.environ["FILE"])] if os.environ.get("FILE") else [])
    settings = check_names(load_settings())
    feed = options.feed or settings.feed or ("recording" if files else "simulator")
    settings = load_settings(feed=feed)
    _check_options(options, feed)
    if feed != "recording":
        return settings, None
    checked = [check_file(file) for file in files] or [check_file(None)]
    recording = _Recording(checked, options.symbol or os.environ.get("SYMBOL") or None)
    for played in make_feeds(settings, files=checked, symbol=recording.symbol, speed=options.speed):
        for note in played.notes:
            say(note)
    return settings, recording


def _claim(settings: Settings, data: Path, exits: ExitStack) -> dict[str, str]:
    """Hold the data directory and return the ports. Raises one :class:`Fatal` that names all that others have."""
    host, web, producer = settings.web_host, settings.web_port, settings.producer_metrics_port
    if web == producer != 0:
        raise BadSetting(f"WEB_PORT and PRODUCER_METRICS_PORT are both {web}: set another for one of them")
    ports: dict[str, str] = {}

    def take(name: str, port: int) -> None:
        ports[name] = str(check_port(host, port, name))

    all_of(
        lambda: exits.enter_context(lock_directory(data)),
        lambda: take("WEB_PORT", web),
        lambda: take("PRODUCER_METRICS_PORT", producer),
    )
    return ports


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


def _producer(options: RunOptions, settings: Settings, recording: _Recording | None) -> list[str]:
    arguments = ["produce"]
    if recording is not None:
        for file in recording.files:
            arguments += ["--file", str(file)]
        arguments += ["--symbol", recording.symbol] if recording.symbol else []
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
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the start in order, so that what was started is stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
