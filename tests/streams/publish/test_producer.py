"""What the producer publishes, what it refuses, and when it is ready."""

import asyncio
import logging
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streams import metrics
from streams.errors import Fatal
from streams.kafka.partitioning import partition_of
from streams.local.embedded.broker import EmbeddedBroker
from streams.model import deadletters
from streams.model.connection import Connection
from streams.model.frames import decode_frame
from streams.model.trade import Reject
from streams.publish import producer as producer_module
from streams.publish import publisher
from streams.publish.producer import Producer, produce
from streams.topics import DEAD_LETTERS, TRADES
from streams.venues.recording.feed import RecordingFeed
from tests.kraken import KRAKEN_SPOT
from tests.streams.publish.feeds import NOON_US, SYMBOLS, Feed, consume, feed_of, frames, frozen, settings_for, trade
from tests.waiting import until


def stage_count(name: str) -> float:
    """Return how many durations of a stage were measured."""
    return metrics.REGISTRY.get_sample_value("liqmon_stage_seconds_count", {"stage": name}) or 0.0


class TestPublication:
    """What arrives on the topics."""

    async def test_frames_of_each_market_arrive_in_order(self, fresh_broker: EmbeddedBroker) -> None:
        """A message is one market's frame, keyed by the symbol and in its partition."""
        batches = [[trade(3 * step + at, symbol) for at, symbol in enumerate(SYMBOLS)] for step in range(50)]
        settings = settings_for(fresh_broker.address, frame_max_trades=7)
        summary = await produce(settings, [feed_of(*batches)], stop=asyncio.Event())
        assert (summary.trades, summary.frames, summary.rejects) == (150, 24, 0)
        seen: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
        for message in await consume(fresh_broker.address, TRADES, 24):
            frame = decode_frame(message.value or b"")
            assert message.key == frame.symbol.encode()
            assert message.partition == partition_of(frame.symbol, 4)
            assert len(frame) <= 7
            seen[frame.symbol] += frame.trade_ids()
        assert seen == {symbol: list(range(at, 150, 3)) for at, symbol in enumerate(SYMBOLS)}

    @pytest.mark.parametrize(("max_trades", "count"), [(1, 30), (7, 5), (500, 1)])
    async def test_frames_hold_as_many_trades_as_asked_for(
        self, fresh_broker: EmbeddedBroker, max_trades: int, count: int
    ) -> None:
        """One trade per frame really is one."""
        settings = settings_for(fresh_broker.address, frame_max_trades=max_trades)
        summary = await produce(settings, [feed_of([trade(at) for at in range(30)])], stop=asyncio.Event())
        assert summary.frames == count
        sizes = [len(frame) for frame in await frames(fresh_broker.address, count)]
        assert sizes[:-1] == [max_trades] * (count - 1)
        assert sum(sizes) == 30

    async def test_a_frame_waits_for_company_as_long_as_set(self, fresh_broker: EmbeddedBroker) -> None:
        """A lone trade goes out after FRAME_LINGER_MS; trades that come meanwhile share its frame."""
        feed = Feed()
        stop = asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address, frame_linger_ms=300), [feed])
        running = asyncio.create_task(producer.run(stop))
        began = time.monotonic()
        feed.give([trade(1)])
        feed.give([trade(2)])
        await until(lambda: producer.facts().details["published_frames"])
        assert time.monotonic() - began >= 0.3
        assert producer.facts().details["published_trades"] == 2
        stop.set()
        await running

    async def test_a_trade_alone_does_not_wait_behind_a_busy_market(
        self, fresh_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its frame is due before one that was begun earlier."""
        monkeypatch.setattr(producer_module, "LONGEST_LINGER_US", 60_000_000)
        feed, stop = Feed(), asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address, frame_linger_ms=10_000), [feed])
        running = asyncio.create_task(producer.run(stop))
        feed.give([trade(0)])
        await until(lambda: producer.facts().details["published_frames"] == 1)
        feed.give([trade(2)])
        feed.give([trade(1, "ETH/USD")])
        await until(lambda: producer.facts().details["published_frames"] == 2)
        assert producer.buffered_trades == 1
        stop.set()
        assert (await running).trades == 3

    async def test_what_a_frame_waits_for_here_is_measured(self, fresh_broker: EmbeddedBroker) -> None:
        """From its receipt until it is ready, and from there until the broker has it."""
        before = [stage_count(name) for name in ("receive", "publish")]
        await produce(settings_for(fresh_broker.address), [feed_of([trade(1)])], stop=asyncio.Event())
        assert [stage_count(name) for name in ("receive", "publish")] == [count + 1 for count in before]

    async def test_the_message_is_stamped_with_the_receipt_time(self, fresh_broker: EmbeddedBroker) -> None:
        """Frame and Kafka's timestamp say when the trade came; an old receipt only in the frame, see retention."""
        now_us = time.time_ns() // 1000
        feed = Feed()
        feed.give([trade(1)], received_us=now_us - 2_000_000)
        feed.give([trade(2, "ETH/USD")], received_us=NOON_US)
        feed.end()
        await produce(settings_for(fresh_broker.address), [feed], stop=asyncio.Event())
        stamps = {
            decode_frame(message.value or b"").received_us: message.timestamp
            for message in await consume(fresh_broker.address, TRADES, 2)
        }
        assert stamps[now_us - 2_000_000] == (now_us - 2_000_000) // 1000
        assert stamps[NOON_US] >= now_us // 1000

    async def test_a_recording_arrives_whole_and_ends_the_producer(
        self, fresh_broker: EmbeddedBroker, tmp_path: Path
    ) -> None:
        """All rows of a file, in order, acknowledged when it returns."""
        path = tmp_path / "XBTUSD.csv"
        path.write_text("".join(f"{1_700_000_000 + at // 9},100.5,0.25\n" for at in range(20_000)))
        summary = await produce(
            settings_for(fresh_broker.address), [RecordingFeed([path], [KRAKEN_SPOT])], stop=asyncio.Event()
        )
        assert summary.trades == 20_000
        ids = [one for frame in await frames(fresh_broker.address, summary.frames) for one in frame.trade_ids()]
        assert ids == list(range(1, 20_001))


class TestRefused:
    """What cannot be used goes to the dead letters, and nothing else does."""

    async def test_rejects_of_a_source_are_kept_with_their_bytes(self, fresh_broker: EmbeddedBroker) -> None:
        """The letter says why, from where, and holds the record as it came."""
        feed = Feed()
        feed.give([trade(1)], [Reject("bad_price", "price is NaN", b"1,NaN,1", "test", "BTC/USD")])
        feed.end()
        summary = await produce(settings_for(fresh_broker.address), [feed], stop=asyncio.Event())
        assert (summary.trades, summary.rejects) == (1, 1)
        assert summary.reasons == "bad_price 1; the first: test, price is NaN: '1,NaN,1'"
        (message,) = await consume(fresh_broker.address, DEAD_LETTERS, 1)
        letter = deadletters.decode(message.value or b"")
        assert message.key == b"bad_price"
        assert (letter.reason, letter.detail, letter.payload) == ("bad_price", "price is NaN", b"1,NaN,1")
        assert (letter.origin, letter.venue, letter.symbol) == ("producer", "test", "BTC/USD")
        assert letter.refused_us > NOON_US

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"price": Decimal("1e8"), "quantity": Decimal("1e12")}, "magnitude"),
            ({"quantity": Decimal("1e-15")}, "magnitude"),
        ],
    )
    async def test_a_trade_that_no_market_makes_costs_only_itself(
        self, fresh_broker: EmbeddedBroker, changes: dict[str, Any], reason: str
    ) -> None:
        """The other trades of its frame are published."""
        trades = [trade(1), trade(2, **changes), trade(3)]
        summary = await produce(settings_for(fresh_broker.address), [feed_of(trades)], stop=asyncio.Event())
        assert (summary.trades, summary.rejects) == (2, 1)
        (frame,) = await frames(fresh_broker.address, 1)
        assert frame.trade_ids() == [1, 3]
        (message,) = await consume(fresh_broker.address, DEAD_LETTERS, 1)
        letter = deadletters.decode(message.value or b"")
        assert letter.reason == reason
        assert b'"trade_id":"2"' in letter.payload

    async def test_a_trade_of_the_future_is_refused_before_it_is_published(self, fresh_broker: EmbeddedBroker) -> None:
        """Workers would refuse it. What is within the limit is published."""
        now_us = time.time_ns() // 1000
        trades = [
            trade(1, time_us=now_us),
            trade(2, time_us=now_us + 65_000_000),
            trade(3, time_us=now_us + 50_000_000),
        ]
        summary = await produce(settings_for(fresh_broker.address), [feed_of(trades)], stop=asyncio.Event())
        assert (summary.trades, summary.rejects) == (2, 1)
        (frame,) = await frames(fresh_broker.address, 1)
        assert frame.trade_ids() == [1, 3]
        (message,) = await consume(fresh_broker.address, DEAD_LETTERS, 1)
        letter = deadletters.decode(message.value or b"")
        assert letter.reason == "future"
        assert "further ahead of the broker's clock than allowed" in letter.detail

    async def test_a_huge_record_is_cut_and_that_is_said(self, fresh_broker: EmbeddedBroker) -> None:
        """A dead letter fits into a message, or it would stop the producer for ever."""
        feed = Feed()
        feed.give([], [Reject("not_json", "no object", b"x" * 3_000_000)])
        feed.end()
        await produce(settings_for(fresh_broker.address), [feed], stop=asyncio.Event())
        (message,) = await consume(fresh_broker.address, DEAD_LETTERS, 1)
        letter = deadletters.decode(message.value or b"")
        assert len(letter.payload) == 262_144
        assert "of 3000000 bytes" in letter.detail

    async def test_each_kind_is_logged_once(
        self, fresh_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A thousand bad rows are one line and a count."""
        feed = Feed()
        feed.give([], [Reject("bad_price", "price is NaN", b"x")] * 1000)
        feed.end()
        summary = await produce(settings_for(fresh_broker.address), [feed], stop=asyncio.Event())
        assert summary.rejects == 1000
        assert sum("refused a record" in line for line in caplog.messages) == 1


class TestHealth:
    """Readiness is the truth."""

    async def test_ready_needs_a_broker_and_a_connected_feed(self, fresh_broker: EmbeddedBroker) -> None:
        """With a socket closed or a broker gone the producer does not do its work."""
        feed = Feed()
        feed.connected = False
        stop = asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address), [feed])
        assert not producer.facts().ready
        running = asyncio.create_task(producer.run(stop))
        await until(lambda: producer.facts().details["broker_available"])
        assert not producer.facts().ready
        feed.connected = True
        assert producer.facts().ready
        stop.set()
        await running

    async def test_a_clock_behind_the_venues_stamps_refuses_nothing_and_is_unready(
        self, fresh_broker: EmbeddedBroker
    ) -> None:
        """The embedded broker tells no time. The trades look like ones of the future, which the clock is wrong about.

        Their records get the corrected time, so that no worker refuses them either.
        """
        feed, stop = Feed(), asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address), [feed])
        running = asyncio.create_task(producer.run(stop))
        await until(lambda: producer.facts().ready)
        now_us = time.time_ns() // 1000
        for number in range(5):
            feed.give([trade(number, time_us=now_us + 10_000_000)], received_us=now_us)
        await until(lambda: producer.facts().details["published_trades"] == 5)
        assert producer.facts().ready
        for number in range(5, 30):
            feed.give([trade(number, time_us=now_us + 120_000_000)], received_us=now_us)
        await until(lambda: producer.facts().details["clock"])
        assert not producer.facts().ready
        assert "120.0 s behind the venue's" in producer.facts().details["clock"]
        published = producer.facts().details["published_trades"]
        feed.give([trade(31, time_us=now_us + 120_000_000)], received_us=now_us)
        await until(lambda: producer.facts().details["published_trades"] == published + 1)
        stop.set()
        summary = await running
        last = (await consume(fresh_broker.address, TRADES, summary.frames))[-1]
        assert last.timestamp >= (now_us + 100_000_000) // 1000

    async def test_a_part_of_a_venue_that_is_away_is_not_ready(self, fresh_broker: EmbeddedBroker) -> None:
        """Symbols that stay away count, though the socket is open and others arrive; refused ones do not."""
        feeds = [Feed(), Feed()]
        stop = asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address), feeds)
        running = asyncio.create_task(producer.run(stop))
        await until(lambda: producer.facts().ready)
        feeds[1].socket = Connection("test", "ws://x", True, 1.0, 2.0, 0, 9, 3, refused=["A"], missing=2)
        assert not producer.facts().ready
        assert producer.facts().details["missing_symbols"] == 2
        feeds[1].socket = replace(feeds[1].socket, missing=0)
        assert producer.facts().ready
        stop.set()
        await running

    async def test_a_broker_that_stops_answering_is_noticed_and_said_once(
        self, fresh_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not ready while it is frozen, ready again after; one line each way."""
        monkeypatch.setattr(publisher, "SLOW_SECONDS", 0.1)
        caplog.set_level(logging.INFO, "streams")
        feed = Feed()
        stop = asyncio.Event()
        producer = Producer(settings_for(fresh_broker.address), [feed])
        running = asyncio.create_task(producer.run(stop))
        await until(lambda: producer.facts().ready)
        with frozen(fresh_broker):
            feed.give([trade(1)])
            await until(lambda: not producer.facts().ready)
        await until(lambda: producer.facts().ready)
        assert producer.facts().details["published_trades"] == 1
        stop.set()
        await running
        said = [line for line in caplog.messages if "the broker" in line]
        assert len(said) == 2
        assert "does not take messages" in said[0]
        assert "takes messages again" in said[1]

    async def test_a_topic_of_another_shape_stops_the_start(self, fresh_broker: EmbeddedBroker) -> None:
        """Producers and workers would not agree on where a market is."""
        with pytest.raises(Fatal, match="has 4 partitions, TOPIC_PARTITIONS says 3"):
            await produce(settings_for(fresh_broker.address, topic_partitions=3), [Feed()], stop=asyncio.Event())
