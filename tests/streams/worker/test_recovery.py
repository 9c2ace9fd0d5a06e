"""A rebalance whose broker does not answer, and what its recovery leaves in the queues."""

import asyncio
from pathlib import Path
from typing import cast

import faust
import pytest
from faust.tables.recovery import ServiceStopped

from streams.app import create_app
from streams.errors import Outage
from streams.settings import load_settings
from streams.worker.recovery import Recovery, TableManager


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


async def test_queues_are_emptied_when_the_flow_goes_on_and_not_again(tmp_path: Path) -> None:
    """A recovery lets it go on repeatedly; meanwhile standbys have records to apply, and streams messages."""
    app = create_app(load_settings(data_dir=tmp_path, table_store="memory://", web_port=0))
    queues = [app.FlowControlQueue(maxsize=10, clear_on_resume=True), app.tables.changelog_queue]
    for queue in queues:
        queue.put_nowait("of another assignment")
    app.flow_control.resume()
    assert [queue.qsize() for queue in queues] == [0, 0]
    for queue in queues:
        await queue.put("taken")
    app.flow_control.resume()
    assert [queue.get_nowait() for queue in queues] == ["taken", "taken"]
    app.flow_control.suspend()
    assert not app.flow_control.is_active()
    for queue in queues:
        queue.put_nowait("before it is suspended")
    app.flow_control.clear()
    assert [queue.qsize() for queue in queues] == [0, 0]
