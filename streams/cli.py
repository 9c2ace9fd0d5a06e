"""The command ``liqmon``."""

import argparse
import asyncio
import logging
import logging.config
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import uvloop

from streams.data_directory import hold_directory
from streams.errors import BadRecording, MonitorError
from streams.logs import logging_config
from streams.preflight import all_of, check_port
from streams.settings import Settings, load_settings
from streams.settings_names import check_names
from streams.settings_texts import number_text
from streams.tls import check_client_files
from streams.words import counted, time_span

EXAMPLES: Final = """examples:
  liqmon run --duration 60                      everything on this machine, on the simulated market
  liqmon run --feed recording --file XBTUSD.csv --report report.json
  liqmon produce                                only a producer: the real Kraken, unless FEED says otherwise
  liqmon worker                                 only a worker, which uses one core
  liqmon worker --processes 4                   four of them as one program, for four cores
  liqmon topic trades --limit 10                read a topic as JSON lines

Every setting is an environment variable or a line of .env; .env.example lists them all."""

WORKER_EXAMPLES: Final = """examples:
  liqmon worker                                 on one core, at WEB_PORT, with its tables in DATA_DIR
  liqmon worker --processes 4                   on four: ports 6066, 6076, 6086 and 6096 of WEB_PORT=6066, tables in
                                                DATA_DIR/worker-1 to worker-4; every page shows all of them

TOPIC_PARTITIONS (4) is best a multiple of N. Ctrl-C or SIGTERM ends all. A member that dies is started again; the
program ends where that does not help."""

MAX_PORT: Final = 2**16
# More than any machine that one person starts programs on has cores.
MAX_PROCESSES: Final = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code. What went wrong is one line on standard error, never a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.call is None:
        parser.print_help()
        return 0
    try:
        return int(options.call(options))
    except MonitorError as error:
        sys.stderr.write(f"liqmon: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # What is still buffered would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmon",
        description="Watches Kraken's trades, keeps rolling windows per market and alerts when they run away.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(call=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="run everything on this machine: servers, feed, producer, worker")
    run.add_argument("--feed", choices=("simulator", "live", "recording"), help="where trades come from (FEED)")
    _add_recording_options(run)
    run.add_argument(
        "--duration",
        type=_duration,
        metavar="SECONDS",
        help="end after so long: 60, 10m; default: until Ctrl-C",
    )
    run.add_argument("--report", type=Path, metavar="FILE", help="write the summary and every alert row as JSON")
    run.add_argument("--seed", type=int, help="seed of the simulated market (default 1)")
    run.add_argument("--rate", type=_positive, help="trades a second of the simulated market (default 100)")
    run.set_defaults(call=_run)

    produce = commands.add_parser("produce", help="publish trades to Kafka: the real Kraken's, unless FEED is set")
    _add_recording_options(produce)
    produce.add_argument("--venue", help="venue written on a recording's trades; default: made from the file's name")
    produce.add_argument(
        "--pace", action="store_true", help="keep within what the embedded broker holds: wait for the worker"
    )
    produce.set_defaults(call=_produce)

    worker = commands.add_parser(
        "worker",
        help="keep windows, raise alerts, serve the web view",
        epilog=WORKER_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    worker.add_argument(
        "--processes", type=_processes, default=1, metavar="N",
        help="run N workers, one core each, as one program (default 1)",
    )  # fmt: skip
    worker.set_defaults(call=_worker)

    simulate = commands.add_parser("simulate", help="serve a simulated Kraken: both WebSocket feeds on one port")
    simulate.add_argument("--port", type=_port, default=0, help="port to listen on; default: a free one")
    simulate.add_argument("--seed", type=int, default=1, help="seed of the market (default 1)")
    simulate.add_argument("--rate", type=_positive, default=100.0, help="trades a second (default 100)")
    simulate.set_defaults(call=_simulate)

    topic = commands.add_parser("topic", help="print what a topic holds, one JSON object a line")
    topic.add_argument("name", choices=("trades", "alerts", "dead-letters"), help="the topic")
    topic.add_argument("--limit", type=_natural, metavar="N", help="stop after N records; default: at the end")
    topic.add_argument("--follow", action="store_true", help="wait for more at the end")
    topic.set_defaults(call=_topic)

    markets = commands.add_parser("markets", help="bring a market back whose clock ran ahead of the time")
    actions = markets.add_subparsers(required=True, metavar="ACTION")
    reset = actions.add_parser("reset", help="forget what a market holds of times that are still to come")
    reset.add_argument("venue", help="the market's venue, such as kraken_spot")
    reset.add_argument("symbol", help="the market's symbol, such as BTC/USD")
    reset.set_defaults(call=_reset_market)
    return parser


def _add_recording_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file", type=Path, action="append", default=[], metavar="FILE",
        help="a recording; several play together in the order of time. Read are CSV (Kraken's timestamp,price,volume, "
        "or with a header that names time, price and qty, and perhaps side, trade_id, symbol), pages of Kraken's REST "
        "Trades or futures history, and JSON lines of socket messages; each also as .gz or .zip",
    )  # fmt: skip
    parser.add_argument("--symbol", help="the recording's market, where it does not tell, such as BTC/USD")
    parser.add_argument(
        "--speed", type=_positive, help="multiple of a recording's real speed; default: as fast as possible"
    )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def _duration(text: str) -> float:
    try:
        return _positive(number_text("duration_seconds", text))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, such as 60 or 10m, not {text!r}") from None


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _processes(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_PROCESSES):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MAX_PROCESSES}, not {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < MAX_PORT):
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {MAX_PORT - 1}, not {text!r}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from streams.local.run import RunOptions, run  # noqa: PLC0415 - the embedded servers are an extra of the installation

    return run(
        RunOptions(
            feed=options.feed,
            files=options.file,
            symbol=options.symbol,
            speed=options.speed,
            seed=options.seed,
            rate=options.rate,
            duration_seconds=options.duration,
            report=options.report,
        )
    )


def _produce(options: argparse.Namespace) -> int:
    from streams.kafka.mends import mend_aiokafka  # noqa: PLC0415 - only running commands need the clients

    settings = _settings()
    mend_aiokafka()
    uvloop.run(_produce_until_stopped(settings, options))
    return 0


async def _produce_until_stopped(settings: Settings, options: argparse.Namespace) -> None:
    from agents.rules.book import rule_book  # noqa: PLC0415 - only this command needs the rules
    from streams.publish.pacer import LagPacer  # noqa: PLC0415 - only this command needs the clients
    from streams.publish.producer import produce  # noqa: PLC0415
    from streams.publish.published_ids import published_ids  # noqa: PLC0415
    from streams.redis_start import check_redis  # noqa: PLC0415
    from streams.topics import APP_ID  # noqa: PLC0415
    from streams.venues.registry import make_feeds  # noqa: PLC0415

    check_client_files(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await check_redis(settings, has_tables=False)
    feeds = make_feeds(settings, files=options.file, symbol=options.symbol, speed=options.speed, venue=options.venue)
    pace = LagPacer(settings, APP_ID) if options.pace else None
    # A recording is sent to be counted, also where an earlier run has sent the same (docs/decisions).
    is_recording = settings.feed == "recording" or bool(options.file)
    published = None if is_recording else published_ids(settings)
    says_ends = is_recording and rule_book(settings).waits_for_panes
    summary = await produce(settings, feeds, stop=stop, pace=pace, published_ids=published, says_ends=says_ends)
    logging.getLogger(__name__).info(
        "published %s in %s, refused %d%s, in %s",
        counted(summary.trades, "trade"),
        counted(summary.frames, "frame"),
        summary.rejects,
        f" ({summary.reasons})" if summary.rejects else "",
        time_span(summary.seconds),
    )
    if is_recording and summary.rejects and not summary.trades and not stop.is_set():
        raise BadRecording(f"no row of the recording could be used, of {summary.rejects:,} read ({summary.reasons})")


def _worker(options: argparse.Namespace) -> int:
    settings = _settings()
    if options.processes > 1:
        from streams.local.group import run_members  # noqa: PLC0415 - one worker needs no supervisor

        return run_members(settings, options.processes)
    checks: list[Callable[[], object]] = [lambda: check_port(settings.web_host, settings.web_port, "WEB_PORT")]
    if settings.table_store.startswith("rocksdb:"):
        checks.append(lambda: hold_directory(settings.data_dir))
    checks.append(lambda: check_client_files(settings))
    all_of(*checks)

    from streams.app import create_app  # noqa: PLC0415 - declaring the app reads every setting; help must not

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    app = create_app(settings)
    app.finalize()
    worker = app.Worker(loglevel=settings.log_level, quiet=False, logging_config=logging_config(settings.log_level))
    worker.execute_from_commandline()
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from streams.venues.simulator.run import run_simulator  # noqa: PLC0415

    settings = _settings()

    async def serve() -> None:
        task = asyncio.ensure_future(run_simulator(settings, port=options.port, seed=options.seed, rate=options.rate))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return

    uvloop.run(serve())
    return 0


def _topic(options: argparse.Namespace) -> int:
    from streams.kafka.topic_reader import print_topic  # noqa: PLC0415

    # The client logs what is also raised.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = check_names(load_settings())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(print_topic(settings, options.name, limit=options.limit, follow=options.follow))
    return 0


def _reset_market(options: argparse.Namespace) -> int:
    from streams.kafka.market_reset import reset_market  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    partition = asyncio.run(reset_market(check_names(load_settings()), options.venue, options.symbol))
    sys.stdout.write(
        f"the worker of partition {partition} was asked to turn {options.venue} {options.symbol} back; "
        "its log says from when to when\n"
    )
    return 0


def _settings() -> Settings:
    """Return the settings of a process that logs, with its logging set up. Raises :class:`BadSetting`."""
    settings = load_settings()
    logging.config.dictConfig(logging_config(settings.log_level))
    return check_names(settings)


if __name__ == "__main__":
    sys.exit(main())
