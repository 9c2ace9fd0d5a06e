"""Whose time the records of ``trades`` have: the broker's, wherever that can be set.

Publishers set record times as they like. What the broker sets nobody else can, and every worker reads the same again.
"""

import logging
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.topic_config import UNANSWERED, alter, configuration
from streams.settings import Settings
from streams.topics import TRADES

log = logging.getLogger(__name__)

NAME: Final = "message.timestamp.type"
BROKERS_TIME: Final = "LogAppendTime"
STAMPED: Final = {NAME: BROKERS_TIME}
"""The configuration of a topic whose records get the broker's time."""

CLOCK_CONFIG: Final = {**STAMPED, "cleanup.policy": "delete", "retention.ms": "3600000", "segment.ms": "3600000"}
"""The topic ``clock`` is only written to: what a broker answers says its time."""


async def stamp_by_broker(settings: Settings, client: AIOKafkaAdminClient) -> bool | None:
    """See that the broker stamps the records of ``trades``; return whether it does, None where it does not say.

    An existing topic is altered where ``CREATE_TOPICS`` allows it and the broker permits. Its other settings stay.
    """
    try:
        found = await configuration(client, TRADES)
        if NAME not in found:
            return None
        if found[NAME].value == BROKERS_TIME:
            return True
        if not settings.create_topics:
            return False
        await alter(client, TRADES, found, STAMPED)
    except UNANSWERED as error:
        log.debug("%s cannot be given %s: %s", TRADES, NAME, error)
        return None if not settings.create_topics else False
    log.warning("topic %s: %s is %s from now on, so that no publisher's clock decides", TRADES, NAME, BROKERS_TIME)
    return True
