"""aiokafka on uvloop, whose closed connections have an error of their own."""

import asyncio

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from streams.loops import run_on_uvloop

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
            await asyncio.sleep(0.1)
            with pytest.raises(RuntimeError, match="handler is closed"):
                writer.write(b"x")
            with pytest.raises(KafkaConnectionError, match=f"{HOST}:{port} broken"):
                connection.send(ApiVersionRequest())
            return connection

    assert not run_on_uvloop(ask()).connected()
