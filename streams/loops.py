"""uvloop for a whole process, and what aiokafka has to know of it."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

T = TypeVar("T")


def use_uvloop() -> None:
    """Make uvloop the loop of this process and of its threads."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    _teach_aiokafka()


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run something on uvloop until it ends, as :func:`asyncio.run` does."""
    _teach_aiokafka()
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
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    return sent


SENDS: Final = {name: _broken(getattr(AIOKafkaConnection, name)) for name in ("send", "_send_sasl_token")}


def _teach_aiokafka() -> None:
    for name, send in SENDS.items():
        setattr(AIOKafkaConnection, name, send)
