"""A rebalance whose broker does not answer."""

import asyncio
from typing import cast

import faust
import pytest
from faust.tables.recovery import ServiceStopped

from streams.errors import Outage
from streams.recovery import Recovery, TableManager


@pytest.fixture
async def recovery() -> Recovery:
    """Give the recovery of an application that never starts."""
    app = faust.App("recovery", broker="kafka://127.0.0.1:1", store="memory://", TableManager=TableManager)
    return cast("Recovery", app.tables.recovery)


async def test_a_step_that_takes_too_long_is_an_error(recovery: Recovery) -> None:
    """Faust takes it for an order to stop; the worker would keep its partitions and never be ready again."""
    with pytest.raises(Outage, match=r"more than 0\.01 s"):
        await recovery._wait(asyncio.Event().wait(), timeout=0.01)


async def test_an_order_to_stop_is_one(recovery: Recovery) -> None:
    """Also in a step that may take only so long."""
    recovery._stopped.set()
    with pytest.raises(ServiceStopped):
        await recovery._wait(asyncio.Event().wait(), timeout=5)
