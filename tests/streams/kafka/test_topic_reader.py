"""``liqmon topic``: what a topic holds, readable, whatever was put into it."""

import asyncio
import base64
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from hypothesis import example, given
from hypothesis import strategies as st

from streams.errors import Outage
from streams.kafka.mends import mend_aiokafka
from streams.kafka.topic_reader import describe, print_topic
from streams.kafka.unpacking import MAX_BATCH_BYTES
from streams.local.embedded.broker import EmbeddedBroker
from streams.model.deadletters import DeadLetter, encode
from streams.model.frames import decode_frame
from streams.model.trade import Kind, Side
from streams.topics import DEAD_LETTERS, TRADES
from tests.streams.publish.feeds import settings_for
from tests.trades import BTC, NOON, frame_of, future, spot
from tests.waiting import until


def test_a_frame_is_shown_as_its_trades() -> None:
    """In words: sides, kinds and amounts, the id of a future as it is in its uid."""
    uid = 0x05AF78ACA774478CA50C8B9C234E071E
    trade = future(uid, 0.5, side=Side.SELL, kind=Kind.LIQUIDATION, quantity=Decimal("0.25"), is_snapshot=True)
    assert describe(TRADES, frame_of([trade], received_us=7)) == {
        "venue": "kraken_futures",
        "symbol": "PF_XBTUSD",
        "received_us": 7,
        "trades": [
            {
                "id": "05af78aca774478ca50c8b9c234e071e",
                "time_us": NOON * 10**6 + 500_000,
                "price": 100.0,
                "quantity": 0.25,
                "notional_micro_usd": 25_000_000,
                "side": "sell",
                "kind": "liquidation",
                "snapshot": True,
            }
        ],
    }
    assert [row["id"] for row in describe(TRADES, frame_of([spot(3), spot(4)]))["trades"]] == [3, 4]


def test_a_trade_of_another_kind_is_shown_by_the_venues_word() -> None:
    """Beside those that the flags name."""
    trades = [future(1, kind=Kind.BLOCK, word="unwind"), future(2, kind=Kind.BLOCK)]
    assert [row["kind"] for row in describe(TRADES, frame_of(trades))["trades"]] == ["unwind", "block"]


def test_json_is_shown_as_it_is() -> None:
    """A trade as another tool published it, and a dead letter."""
    assert describe(TRADES, b'{"symbol": "BTC/USD"}') == {"symbol": "BTC/USD"}
    letter = DeadLetter("not_json", "nonsense", b"\xff", "worker")
    assert describe(DEAD_LETTERS, encode(letter))["payload"] == base64.b64encode(b"\xff").decode()


def test_flags_without_a_name_are_shown_as_numbers() -> None:
    """A frame from a faulty program is what one looks at with this."""
    frame = msgspec.structs.replace(decode_frame(frame_of([spot()])), flags=b"\x03")
    assert describe(TRADES, msgspec.msgpack.encode(frame))["trades"][0]["side"] == "3"


@given(value=st.binary(max_size=100), topic=st.sampled_from([TRADES, DEAD_LETTERS]))
@example(value=b"[" * 5000, topic=DEAD_LETTERS)
@example(value=b"\x91" * 5000, topic=TRADES)
def test_anything_else_is_shown_in_base64(value: bytes, topic: str) -> None:
    """No bytes stop the listing, and every line is JSON."""
    shown = describe(topic, value)
    json.dumps(shown)
    if isinstance(shown, dict) and "unreadable" in shown:
        assert base64.b64decode(shown["base64"]) == value


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was printed, a JSON object a line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def publish(broker: EmbeddedBroker, values: list[bytes]) -> None:
    """Publish values, key ``BTC/USD``."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(TRADES, value, key=BTC.encode())
    finally:
        await producer.stop()


async def test_a_topic_is_printed_from_beginning_to_end(
    fresh_broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """With coordinates and keys; up to a limit; and on and on where it is asked to follow."""
    settings = settings_for(fresh_broker.address)
    await publish(fresh_broker, [frame_of([spot(1)]), b'{"trade_id": 2}', b"\xff"])

    await print_topic(settings, TRADES, limit=None, follow=False)
    lines = lines_of(capsys)
    assert [(line["offset"], line["key"]) for line in lines] == [(0, BTC), (1, BTC), (2, BTC)]
    assert len({line["partition"] for line in lines}) == 1
    assert lines[0]["value"]["trades"][0]["id"] == 1
    assert lines[1]["value"] == {"trade_id": 2}
    assert lines[2]["value"]["base64"] == "/w=="

    await print_topic(settings, TRADES, limit=2, follow=False)
    assert [line["offset"] for line in lines_of(capsys)] == [0, 1]

    following = asyncio.create_task(print_topic(settings, TRADES, limit=4, follow=True))
    offsets: list[int] = []

    def all_there_was() -> bool:
        offsets.extend(line["offset"] for line in lines_of(capsys))
        return len(offsets) == 3

    await until(all_there_was)
    assert not following.done()
    await publish(fresh_broker, [b"{}"])
    await asyncio.wait_for(following, 20)
    assert offsets + [line["offset"] for line in lines_of(capsys)] == [0, 1, 2, 3]


async def test_without_a_broker_it_says_so() -> None:
    """With the address that was tried."""
    with pytest.raises(Outage, match=r"Kafka at 127\.0\.0\.1:1 does not answer.*: start it, or set KAFKA_"):
        await print_topic(settings_for("127.0.0.1:1"), TRADES, limit=None, follow=False)


async def test_a_bomb_is_shown_by_what_is_wrong_with_it(
    fresh_broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is behind it as ever."""
    mend_aiokafka()
    async with AIOKafkaProducer(
        bootstrap_servers=fresh_broker.address, compression_type="zstd", max_request_size=2**28
    ) as producer:
        await producer.send_and_wait(TRADES, bytes(MAX_BATCH_BYTES + 1), partition=0)
        await producer.send_and_wait(TRADES, b'{"a": 1}', partition=0)
    await print_topic(settings_for(fresh_broker.address), TRADES, limit=2, follow=False)
    bomb, behind = map(json.loads, capsys.readouterr().out.splitlines())
    assert bomb["value"]["first_offset"] == bomb["offset"] == 0
    assert f"unpacks to more than {MAX_BATCH_BYTES}" in bomb["value"]["unreadable"]
    assert behind["value"] == {"a": 1}
