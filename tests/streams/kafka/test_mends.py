"""The faults of aiokafka that are mended; its answer without offsets is met in test_transport.py too."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.commit import OffsetFetchResponse_v1, OffsetFetchResponse_v2, OffsetFetchResponse_v3

from streams.kafka.mends import _with_errors_of_groups, group_error, mend_aiokafka
from tests.faults.proxy import Proxy
from tests.kafka import RealKafka
from tests.lost_writes import writes_that_fail

HOST = "127.0.0.1"


def test_a_request_on_a_connection_that_is_gone_is_a_lost_connection() -> None:
    """An error that aiokafka expects: any other ends its task that keeps the metadata, and everybody waits for ever."""

    async def ask() -> AIOKafkaConnection:
        async with await asyncio.start_server(lambda *_: None, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = AIOKafkaConnection(HOST, port)
            connection._reader, writer = await asyncio.open_connection(HOST, port)
            connection._writer = writer
            connection._read_task = asyncio.create_task(asyncio.sleep(0))
            writer.transport.abort()
            await writer.wait_closed()
            with pytest.raises(RuntimeError, match="handler is closed"):
                writer.write(b"x")
            with pytest.raises(KafkaConnectionError, match=f"{HOST}:{port} broken"):
                connection.send(ApiVersionRequest())
            return connection

    mend_aiokafka()
    assert not uvloop.run(ask()).connected()


async def test_a_write_that_asyncio_calls_a_type_error_is_a_lost_connection_too() -> None:
    """As CPython does from 3.12 on where the connection is gone; on one that is open it is a fault of the program."""
    mend_aiokafka()
    async with await asyncio.start_server(lambda *_: None, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection(HOST, port)
        connection._reader, writer = await asyncio.open_connection(HOST, port)
        connection._writer = writer
        connection._read_task = asyncio.create_task(asyncio.sleep(0))
        with writes_that_fail(port):
            with pytest.raises(TypeError):
                connection.send(ApiVersionRequest())
            writer.transport.abort()
            with pytest.raises(KafkaConnectionError, match=f"{HOST}:{port} broken"):
                connection.send(ApiVersionRequest())
        assert not connection.connected()


@pytest.mark.parametrize(
    ("answer", "error", "passes"),
    [
        (OffsetFetchResponse_v3(0, [], 14), GroupLoadInProgressError, True),
        (OffsetFetchResponse_v2([], 16), NotCoordinatorForGroupError, True),
        (OffsetFetchResponse_v3(0, [], 30), GroupAuthorizationFailedError, False),
    ],
)
def test_an_answer_without_offsets_is_the_error_it_carries(answer: Any, error: type[KafkaError], passes: bool) -> None:
    """Aiokafka would take it for a group that has committed nothing; it asks again after what passes."""
    found = group_error(answer, "group")
    assert isinstance(found, error)
    assert found.retriable is passes


@pytest.mark.parametrize(
    "answer", [OffsetFetchResponse_v3(0, [("trades", [(3, 17, "", 0)])], 0), OffsetFetchResponse_v1([]), None]
)
def test_an_answer_that_carries_no_error_of_the_group_is_none(answer: Any) -> None:
    """Errors of single partitions are aiokafka's."""
    assert group_error(answer, "group") is None


@pytest.mark.parametrize(("code", "has_moved"), [(14, False), (15, True), (16, True), (30, False)])
async def test_a_coordinator_that_has_moved_is_looked_for_again(
    kafka: RealKafka, network: Proxy, code: int, has_moved: bool
) -> None:
    """A broker on its own never says so: the answer is made up, the client and who it asks next are real."""

    async def send(_: Any, request: Any) -> OffsetFetchResponse_v3:
        return OffsetFetchResponse_v3(0, [], code)

    async with AIOKafkaConsumer(bootstrap_servers=kafka.address, group_id="test-client") as consumer:
        coordinator = consumer._coordinator
        await coordinator.ensure_coordinator_known()
        with pytest.raises(for_code(code)):
            await _with_errors_of_groups(send)(coordinator, None)
        assert (coordinator.coordinator_id is None) is has_moved
        await coordinator.ensure_coordinator_known()
        assert coordinator.coordinator_id is not None
