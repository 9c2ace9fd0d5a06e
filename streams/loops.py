"""The event loop of the program's processes."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from streams.client import mend_aiokafka

T = TypeVar("T")


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run something on uvloop until it ends, as :func:`asyncio.run` does."""
    mend_aiokafka()
    return uvloop.run(work)
