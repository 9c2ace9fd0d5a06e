"""``liqmon markets reset``: asks the owner of a market to turn it back, by a record among the market's trades.

Its place in the topic says when. So every owner does the same there, and every replay.
"""

import asyncio
from typing import Final

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from streams.errors import Fatal
from streams.kafka.admin import open_producer
from streams.kafka.broker_clock import wall_us
from streams.kafka.partitioning import partition_of
from streams.kafka.refusal import refusal, unanswered
from streams.model.frames import encode_reset
from streams.model.kinds import MAX_NAME
from streams.model.trade import is_market_name
from streams.settings import Settings
from streams.topics import TRADES

# A broker that is there answers within milliseconds, and whoever typed the command waits.
ANSWER_SECONDS: Final = 15.0


async def reset_market(settings: Settings, venue: str, symbol: str) -> int:
    """Publish the record and return its partition once the broker has it.

    Raises :class:`streams.errors.Outage` where no broker answers. Raises :class:`Fatal` for a name that no market
    can have, where there is no such topic, and where the broker refuses the login.
    """
    if not (is_market_name(venue) and is_market_name(symbol)):
        raise Fatal(f"venue and symbol must be 1 to {MAX_NAME} printable characters other than '|'")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            producer = await open_producer(settings)
            try:
                partition = partition_of(symbol, len(await producer.partitions_for(TRADES)))
                frame = encode_reset(venue, symbol, wall_us())
                await producer.send_and_wait(TRADES, frame, symbol.encode(), partition)
                return partition
            finally:
                await producer.stop()
    except UnknownTopicOrPartitionError:
        raise Fatal(f"Kafka at {settings.kafka_bootstrap_servers} has no topic {TRADES} yet") from None
    except (KafkaError, OSError) as error:  # TimeoutError is one
        raise (await refusal(settings) or unanswered(error, settings)) from None
