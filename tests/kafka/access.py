"""A Kafka that refuses: what a group has committed is told to nobody for as long as a test wants.

The only client here that can change access rights is librdkafka's. It runs in a process of its own,
``python -m tests.kafka.access deny|allow ADDRESS GROUP``: in that of the tests it once crashed while others ran.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
ATTEMPTS = 5
EVERYBODY = ("User:ANONYMOUS", "*")


@contextmanager
def refused(address: str, group: str) -> Iterator[None]:
    """Let the broker at ``address``, started with ``ACCESS_CONTROL``, refuse whoever asks about a consumer group."""
    _change("deny", address, group)
    try:
        yield
    finally:
        _change("allow", address, group)


def _change(*arguments: str) -> None:
    """Make a change, once more where the client crashed: it is the same however often it is made."""
    command = [sys.executable, "-m", "tests.kafka.access", *arguments]
    for _ in range(ATTEMPTS):
        done = subprocess.run(command, check=False, timeout=5 * ANSWER_SECONDS)
        if done.returncode != -signal.SIGSEGV:
            break
    done.check_returncode()


def main(what: str, address: str, group: str) -> None:
    """Change what the broker tells, and return when it does so."""
    groups = (ResourceType.GROUP, group, ResourcePatternType.LITERAL)
    admin = AdminClient({"bootstrap.servers": address})
    if what == "deny":
        denied = AclBinding(*groups, *EVERYBODY, AclOperation.DESCRIBE, AclPermissionType.DENY)
        changes, wanted = list(admin.create_acls([denied]).values()), KafkaError.GROUP_AUTHORIZATION_FAILED
    else:
        everything = AclBindingFilter(*groups, *EVERYBODY, AclOperation.ANY, AclPermissionType.ANY)
        changes, wanted = list(admin.delete_acls([everything]).values()), KafkaError.NO_ERROR
    for done in changes:
        done.result(ANSWER_SECONDS)
    wait_until(lambda: _code(admin, group) == wanted, ANSWER_SECONDS, f"the broker to {what}")


def _code(admin: AdminClient, group: str) -> int:
    """Return what the broker answers with to whoever asks about a group."""
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
    try:
        asked.result(ANSWER_SECONDS)
    except KafkaException as error:
        return int(error.args[0].code())
    return int(KafkaError.NO_ERROR)


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)
