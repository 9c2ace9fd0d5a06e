"""Faust's own command line, ``faust -A streams.app worker``, without signs for terminals in log files."""

import sys
from typing import Any

from faust import Worker
from faust.cli.worker import worker as worker_command
from mode.utils.logging import level_name

from streams.logs import logging_config


class PlainWorker(Worker):  # type: ignore[misc]
    """Logs as ``liqmon worker`` does, unless a log file was asked for; shows no spinner where nobody sees it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("logging_config") is None and kwargs.get("logfile") is None:
            kwargs["logging_config"] = logging_config(level_name(kwargs.get("loglevel") or "WARN"))
        super().__init__(*args, **kwargs)
        if not _is_terminal(self.stdout):
            self.spinner = None

    def carp(self, msg: str) -> None:
        """Greet a signal on a terminal only."""
        if _is_terminal(self.stderr):
            super().carp(msg)


def keep_banner_on_terminals() -> None:
    """Let Faust's command show its banner on a terminal only."""
    show = worker_command.on_worker_created

    def on_worker_created(self: Any, worker: Any) -> None:
        if _is_terminal(sys.stdout):
            show(self, worker)

    worker_command.on_worker_created = on_worker_created


def _is_terminal(stream: Any) -> bool:
    return bool(getattr(stream, "isatty", bool)())
