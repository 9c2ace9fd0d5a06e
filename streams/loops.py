"""uvloop, and what aiokafka has to know of it."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

T = TypeVar("T")


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run something on uvloop until it ends, as :func:`asyncio.run` does."""
    teach_aiokafka()
    return uvloop.run(work)


def _broken(send: Callable[..., T]) -> Callable[..., T]:
    """Let a write to a connection that is gone be a lost connection, whatever the loop calls it.

    uvloop raises RuntimeError where asyncio only counts, and aiokafka expects OSError: its task that keeps the
    metadata ends, everything that waits for metadata waits for ever (aio-libs/aiokafka issue 1038).
    """

    @functools.wraps(send)
    def sent(connection: AIOKafkaConnection, *args: Any, **kwargs: Any) -> T:
        try:
            return send(connection, *args, **kwargs)
        except KafkaError:
            raise
        except RuntimeError as error:
            writer = connection._writer
            if writer is None or not writer.transport.is_closing():
                raise
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    return sent


SENDS: Final = {name: _broken(getattr(AIOKafkaConnection, name)) for name in ("send", "_send_sasl_token")}


def teach_aiokafka() -> None:
    """Let aiokafka take an error of uvloop for what it is; it changes nothing on other loops."""
    for name, send in SENDS.items():
        setattr(AIOKafkaConnection, name, send)
