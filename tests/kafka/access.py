"""A Kafka that refuses: what a group has committed is told to nobody for as long as a test wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.faults.processes import wait_until

ACCESS_CONTROL: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""Settings of a broker that can refuse."""

ANSWER_SECONDS = 10


@contextmanager
def refused(address: str, group: str) -> Iterator[None]:
    """Let the broker at ``address``, started with ``ACCESS_CONTROL``, refuse whoever asks about a consumer group."""
    what = (ResourceType.GROUP, group, ResourcePatternType.LITERAL)
    whom = ("User:ANONYMOUS", "*")
    admin = AdminClient({"bootstrap.servers": address})
    denied = AclBinding(*what, *whom, AclOperation.DESCRIBE, AclPermissionType.DENY)
    for done in admin.create_acls([denied]).values():
        done.result(ANSWER_SECONDS)
    try:
        wait_until(partial(_refuses, admin, group), ANSWER_SECONDS, "the broker to refuse")
        yield
    finally:
        for done in admin.delete_acls(
            [AclBindingFilter(*what, *whom, AclOperation.ANY, AclPermissionType.ANY)]
        ).values():
            done.result(ANSWER_SECONDS)
        wait_until(lambda: not _refuses(admin, group), ANSWER_SECONDS, "the broker to answer again")


def _refuses(admin: AdminClient, group: str) -> bool:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
    try:
        asked.result(ANSWER_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise
        return True
    return False
