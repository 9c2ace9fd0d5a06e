"""``liqmon worker``: the Faust worker."""

import asyncio

import uvloop

from streams.logs import logging_config
from streams.preflight import check_data_dir, check_port
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
