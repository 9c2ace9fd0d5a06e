"""What the terminal hears of alerts: each once, and again when it says something else."""

import asyncio

import msgspec
from aiokafka import AIOKafkaProducer

from streams.local.embedded.broker import EmbeddedBroker
from streams.local.following import AlertFollower
from streams.model.alert import Alert
from streams.settings import load_settings
from streams.topics import ALERTS
from tests.agents.factories import PANE, a_move, an_alert
from tests.waiting import until


async def test_an_alert_is_shown_again_when_it_says_something_else(fresh_broker: EmbeddedBroker) -> None:
    """A higher severity, a retraction, and its end; new figures alone, and what a replay repeats, say nothing new."""
    raised = a_move(count=10, severity="LOW")
    risen = a_move(count=12, severity="HIGH")
    retracted = a_move(count=13, severity="HIGH", retracted=True)
    stands = a_move(count=15, severity="HIGH")
    other = an_alert(pane=PANE + 1)
    sent = [
        raised,
        a_move(count=11, severity="LOW"),
        risen,
        raised,
        risen,
        retracted,
        a_move(count=14, severity="HIGH", retracted=True, price_change_pct=0.2),
        retracted,
        stands,
        other,
    ]
    shown: list[Alert] = []
    async with AIOKafkaProducer(bootstrap_servers=fresh_broker.address) as producer:
        for alert in sent:
            await producer.send_and_wait(ALERTS, msgspec.json.encode(alert), partition=0)
    async with AlertFollower(load_settings(kafka_bootstrap_servers=fresh_broker.address), shown.append, {}) as follower:
        following = asyncio.create_task(follower.follow())
        await until(lambda: other in shown)
        following.cancel()
        assert shown == [raised, risen, retracted, stands, other]
        assert follower.identities == [raised.id, other.id]


async def test_what_is_no_alert_is_not_shown(fresh_broker: EmbeddedBroker) -> None:
    """Whoever may write to the topic could else put anything on the terminal, or end what shows alerts."""
    alert = an_alert()
    others = [an_alert(symbol="\x1b[31mred"), an_alert(unit="x" * 5000), an_alert(severity="\x07")]
    async with AIOKafkaProducer(bootstrap_servers=fresh_broker.address) as producer:
        for value in (b'{"a":' * 5000, b"\xff", *map(msgspec.json.encode, others), msgspec.json.encode(alert)):
            await producer.send_and_wait(ALERTS, value, partition=0)
    shown: list[Alert] = []
    async with AlertFollower(load_settings(kafka_bootstrap_servers=fresh_broker.address), shown.append, {}) as follower:
        following = asyncio.create_task(follower.follow())
        await until(lambda: bool(shown))
        following.cancel()
    assert shown == [alert]
