"""``liqmon worker``: the Faust worker with this project's logging and exit codes."""

import asyncio
import logging

import uvloop

from streams.preflight import check_data_dir, check_port
from streams.quiet import Repeats
from streams.settings import Settings


def run_worker(settings: Settings) -> int:
    """Run the Faust worker until it is told to stop. Raises :class:`Fatal` where it cannot start."""
    check_port(settings.web_host, settings.web_port, "WEB_PORT")
    check_data_dir(settings.data_dir)

    from streams.app import create_app  # noqa: PLC0415 - declaring the app reads every setting; help must not

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    app = create_app(settings)
    app.finalize()
    worker = app.Worker(loglevel=settings.log_level, quiet=False, logging_config=logging_config(settings.log_level))
    worker.execute_from_commandline()
    return 0


def logging_config(level: str) -> dict[str, object]:
    """Return logging to standard error, one line a record; Faust's own tables and banners at warning only."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "filters": {"repeats": {"()": Repeats}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["repeats"]}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            name: {"level": "DEBUG" if level == "debug" else logging.getLevelName(logging.WARNING)}
            for name in ("faust", "mode", "aiokafka", "asyncio")
        },
    }
