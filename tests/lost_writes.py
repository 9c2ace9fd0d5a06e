"""Connections whose writes raise what no client documents, as those that are lost do on some loops and Pythons."""

import asyncio
import contextlib
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from collections.abc import Callable, Iterator
from typing import Any

import pytest

WRITES = ("write", "writelines")


@contextlib.contextmanager
def writes_that_fail(*ports: int) -> Iterator[list[int]]:
    """Let every write to these ports raise TypeError, as asyncio does from CPython 3.12 on when a connection is lost.

    It happens within a few microseconds there: here it happens each time, on every Python. The list holds the port of
    each write that failed.
    """
    failed: list[int] = []

    def broken(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(transport: asyncio.Transport, *data: Any) -> Any:
            peer = transport.get_extra_info("peername")
            if peer and peer[1] in ports:
                failed.append(peer[1])
                raise TypeError("'NoneType' object is not callable")
            return write(transport, *data)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(_SelectorSocketTransport, name, broken(getattr(_SelectorSocketTransport, name)))
        yield failed
