"""Where the members of the group are, as the broker sees them: not as they say themselves."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.admin import ANSWER_MS, KAFKA
from streams.kafka.security import connection
from streams.settings import Settings
from streams.topics import APP_ID


async def member_hosts(settings: Settings) -> frozenset[str]:
    """Return the addresses that the group's members are connected from.

    Raises :class:`streams.errors.Outage` where the broker does not say.
    """
    with KAFKA.asked("the broker"):
        async with asyncio.timeout(ANSWER_MS / 1000):
            client = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=ANSWER_MS)
            try:
                await client.start()
                answers = await client.describe_consumer_groups([APP_ID])
            finally:
                await client.close()
    # A member: id, client id, host with a slash before it, and what it said and was told.
    return frozenset(str(member[2]).lstrip("/") for answer in answers for group in answer.groups for member in group[5])
