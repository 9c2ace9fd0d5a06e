"""What topics are configured with: read, and changed where an earlier release made them."""

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

log = logging.getLogger(__name__)

UNANSWERED: Final = (KafkaError, OSError, AttributeError, NotImplementedError)
"""What asking raises of a broker that is away, or does not know the question: the embedded one does not."""

# What Kafka calls a configuration that somebody set for this topic.
_SET_FOR_TOPIC: Final = 1


class Configured(NamedTuple):
    """The value of one configuration of a topic, and whether it was set for that topic."""

    value: str
    is_own: bool


async def configuration(client: AIOKafkaAdminClient, topic: str) -> dict[str, Configured]:
    """Return a topic's configuration. Raises what the client raises."""
    found: dict[str, Configured] = {}
    for answer in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]):
        resources: list[Any] = answer.resources
        for code, message, _kind, _topic, entries in resources:
            if code:
                raise for_code(code)(message)
            for entry in entries:
                name, value, _read_only, source = entry[:4]
                found[name] = Configured(value, source == _SET_FOR_TOPIC)
    return found


async def alter(
    client: AIOKafkaAdminClient, topic: str, found: Mapping[str, Configured], wanted: Mapping[str, str]
) -> None:
    """Set these configurations of a topic; the others that were set for it stay. Raises what the client raises."""
    # The request replaces all that was set for the topic.
    kept = {name: each.value for name, each in found.items() if each.is_own}
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {**kept, **wanted})
    for answer in await client.alter_configs([resource]):
        for code, message, *_ in answer.resources:
            if code:
                raise for_code(code)(message)


async def bring_up_to_date(
    client: AIOKafkaAdminClient, topic: str, wanted: Mapping[str, str], former: Mapping[str, str]
) -> None:
    """Give a topic of an earlier release the configuration of this one. What an operator has set stays.

    ``former`` is what earlier releases set. A broker that does not permit it, or is away, leaves the topic as it is.
    """
    try:
        found = await configuration(client, topic)
        due = {
            name: value
            for name, value in wanted.items()
            if name in found
            and found[name].value != value
            and (not found[name].is_own or found[name].value == former.get(name))
        }
        if due:
            await alter(client, topic, found, due)
            log.info("topic %s: set %s", topic, ", ".join(f"{name}={value}" for name, value in sorted(due.items())))
    except UNANSWERED as error:
        log.debug("topic %s stays as it is: %s", topic, error)
