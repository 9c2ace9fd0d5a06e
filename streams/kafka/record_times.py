"""Whose time the records of ``trades`` have: the broker's, wherever that can be set.

Publishers set record times as they like. What the broker sets nobody else can, and every worker reads the same again.
"""

import logging
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from streams.settings import Settings
from streams.topics import TRADES

log = logging.getLogger(__name__)

NAME: Final = "message.timestamp.type"
BROKERS_TIME: Final = "LogAppendTime"
STAMPED: Final = {NAME: BROKERS_TIME}
"""The configuration of a topic whose records get the broker's time."""

CLOCK_CONFIG: Final = {**STAMPED, "cleanup.policy": "delete", "retention.ms": "3600000", "segment.ms": "3600000"}
"""The topic ``clock`` is only written to: what a broker answers says its time."""

# What Kafka calls a configuration that somebody set for this topic.
_SET_FOR_TOPIC: Final = 1


async def stamp_by_broker(settings: Settings, client: AIOKafkaAdminClient) -> bool | None:
    """See that the broker stamps the records of ``trades``; return whether it does, None where it does not say.

    An existing topic is altered where ``CREATE_TOPICS`` allows it and the broker permits. Its other settings stay.
    """
    try:
        found = await _configuration(client)
        if found is None:
            return None
        if found[NAME][0] == BROKERS_TIME:
            return True
        if not settings.create_topics:
            return False
        # The request replaces all that was set for the topic.
        kept = {name: value for name, (value, source) in found.items() if source == _SET_FOR_TOPIC}
        resource = ConfigResource(ConfigResourceType.TOPIC, TRADES, {**kept, **STAMPED})
        for answer in await client.alter_configs([resource]):
            for code, message, *_ in answer.resources:
                if code:
                    raise for_code(code)(message)
    except (KafkaError, OSError, AttributeError, NotImplementedError) as error:
        log.debug("%s cannot be given %s: %s", TRADES, NAME, error)
        return None if not settings.create_topics else False
    log.warning("topic %s: %s is %s from now on, so that no publisher's clock decides", TRADES, NAME, BROKERS_TIME)
    return True


async def _configuration(client: AIOKafkaAdminClient) -> dict[str, tuple[str, int]] | None:
    """Return each configuration of ``trades`` with its value and source, None where the broker does not say."""
    found: dict[str, tuple[str, int]] = {}
    for answer in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TRADES)]):
        resources: list[Any] = answer.resources
        for code, message, _kind, _topic, entries in resources:
            if code:
                raise for_code(code)(message)
            for entry in entries:
                name, value, _read_only, source = entry[:4]
                found[name] = value, source
    return found if NAME in found else None
