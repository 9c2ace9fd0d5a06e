"""Repairs, for this process, three faults of the Kafka client aiokafka that a worker cannot live with.

What a batch may unpack to is in :mod:`streams.kafka.unpacking`.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchResponse_v2, OffsetFetchResponse_v3

from streams.kafka import unpacking

T = TypeVar("T")

ELSEWHERE: Final = (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)


def _with_lost_connections(send: Callable[..., T]) -> Callable[..., T]:
    """Let a write to a connection that is gone be a lost connection, whatever the loop calls it.

    uvloop raises RuntimeError where asyncio only counts. From CPython 3.12 on a write may raise TypeError. aiokafka
    expects OSError. So its task that keeps the metadata ends, and everything that waits for metadata waits for ever
    (aio-libs/aiokafka issue 1038).
    """

    @functools.wraps(send)
    def wrapped(connection: AIOKafkaConnection, *args: Any, **kwargs: Any) -> T:
        try:
            return send(connection, *args, **kwargs)
        except KafkaError:
            raise
        except Exception as error:
            writer = connection._writer
            if writer is None or not writer.transport.is_closing():
                raise
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    return wrapped


def _with_errors_of_groups(send: Callable[[GroupCoordinator, Any], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Let an answer without offsets be the error that it carries.

    Since version 2 of OffsetFetch (KIP-88) an error of the whole group stands beside an empty list of partitions. One
    example is a coordinator that has moved. aiokafka reads the list only, takes it that nothing was ever committed, and
    a worker would begin at the beginning. Once such errors are raised, aiokafka asks again after those that pass.
    """

    @functools.wraps(send)
    async def wrapped(coordinator: GroupCoordinator, request: Any) -> Any:
        answer = await send(coordinator, request)
        error = group_error(answer, coordinator.group_id)
        if isinstance(error, ELSEWHERE):
            coordinator.coordinator_dead()
        if error is not None:
            raise error
        return answer

    return wrapped


def group_error(answer: Any, group: str) -> KafkaError | None:
    """Return the error of a whole group that an answer to OffsetFetch carries; None for any other answer."""
    if isinstance(answer, OffsetFetchResponse_v2 | OffsetFetchResponse_v3) and answer.error_code:
        error: KafkaError = for_code(answer.error_code)(group)
        return error
    return None


MENDED: Final = (
    (AIOKafkaConnection, "send", _with_lost_connections(AIOKafkaConnection.send)),
    (AIOKafkaConnection, "_send_sasl_token", _with_lost_connections(AIOKafkaConnection._send_sasl_token)),
    (GroupCoordinator, "_send_req", _with_errors_of_groups(GroupCoordinator._send_req)),
    *unpacking.MENDED,
)


def mend_aiokafka() -> None:
    """Put aiokafka's functions right; a second time changes nothing."""
    for owner, name, function in MENDED:
        setattr(owner, name, function)
