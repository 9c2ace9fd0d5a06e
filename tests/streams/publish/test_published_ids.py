"""Producers of one feed: what one has published the others leave out, and nothing is ever lost for it."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from streams import metrics
from streams.local.embedded.broker import EmbeddedBroker
from streams.model.frames import encode_frame
from streams.model.products import Product
from streams.model.trade import Trade
from streams.publish.coalescer import Group
from streams.publish.deduplicator import Deduplicator
from streams.publish.producer import Producer, ProducerSummary, produce
from streams.publish.published_ids import DEADLINE_SECONDS, PublishedIds, published_ids
from streams.redis_link import RedisLink, Script
from streams.settings import load_settings
from streams.venues.kraken.products import LINEAR_FUTURES, SPOT_PRODUCT
from tests.faults.proxy import Proxy
from tests.lost_writes import writes_that_fail
from tests.streams.publish.feeds import NOON_US, Feed, feed_of, frames, frozen, settings_for, trade
from tests.streams.worker.stalls import Stalls
from tests.waiting import until

LIFETIME_SECONDS = 4200

# Where a test is not about time, a busy machine must not look like a Redis that is away.
PATIENT_SECONDS = 5.0


class Peer:
    """One producer's view of what is published, on a broker called ``cluster``."""

    def __init__(self, url: str, cluster: str = "broker-one", deadline_seconds: float = PATIENT_SECONDS) -> None:
        link = RedisLink(url, deadline_seconds=deadline_seconds, without="a test")
        self.ids = PublishedIds(link, lifetime_seconds=LIFETIME_SECONDS)
        self.ids.know(cluster)

    async def __aenter__(self) -> "Peer":
        await self.ids.open()
        await until(lambda: self.ids.available)
        self._marking = asyncio.create_task(self.ids.run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._marking.cancel()
        await self.ids.close()

    async def publish(self, *trades: Trade, latest_us: int | None = None) -> None:
        """Have trades of one market acknowledged and marked."""
        frame = encode_frame(trades[0].venue, trades[0].symbol, trades, NOON_US)
        self.ids.acknowledged(frame, max(trade.time_us for trade in trades) if latest_us is None else latest_us)
        await until(lambda: not self.ids._unmarked)
        await self.ids.unpublished([group_of(*trades)])

    async def left(self, *groups: Group) -> list[list[int]]:
        """Return the ids that are left of each group."""
        return [[one.trade_id for one in group.trades] for group in await self.ids.unpublished(groups)]


def group_of(*trades: Trade) -> Group:
    """Return trades of one market as the coalescer would."""
    first = trades[0]
    return Group(first.venue, first.symbol, first.product.kind, list(trades), NOON_US, 0)


def uid(number: int, **changes: Any) -> Trade:
    """Return a futures trade whose 128-bit id is made of its number."""
    return trade(number, "PF_XBTUSD", trade_id=number << 64 | 0xABCD, **changes)


@pytest.fixture
async def first(redis_url: str) -> AsyncIterator[Peer]:
    """Give one producer's view."""
    async with Peer(redis_url) as peer:
        yield peer


@pytest.fixture
async def second(redis_url: str) -> AsyncIterator[Peer]:
    """Give another producer's view of the same."""
    async with Peer(redis_url) as peer:
        yield peer


@pytest.fixture
async def network(redis_url: str) -> AsyncIterator[Proxy]:
    """Give a network to Redis that can be bad."""
    async with Proxy(urlsplit(redis_url).port or 0) as proxy:
        yield proxy


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let producers wait for Redis, and for the broker's name, for longer than they would."""
    monkeypatch.setattr("streams.publish.published_ids.DEADLINE_SECONDS", PATIENT_SECONDS)
    monkeypatch.setattr("streams.publish.published_ids.KNOW_SECONDS", PATIENT_SECONDS)
    patient = functools.partialmethod(RedisLink.open, wait_seconds=PATIENT_SECONDS)
    monkeypatch.setattr(RedisLink, "open", patient)


class TestMarks:
    """What is marked, and what that means for others."""

    async def test_spot_ids_that_one_published_the_other_leaves_out(self, first: Peer, second: Peer) -> None:
        """Those that are new stay, in their order; a group that has none is left out whole."""
        await first.publish(*(trade(at) for at in (8190, 8191, 8192, 8195)))
        asked = group_of(*(trade(at) for at in (8189, 8190, 8192, 8193, 8195, 8196)))
        other = group_of(trade(8190, "ETH/USD"))
        known = group_of(trade(8191), trade(8192))
        assert await second.left(asked, other, known) == [[8189, 8193, 8196], [8190]]

    async def test_futures_uids_that_one_published_the_other_leaves_out(self, first: Peer, second: Peer) -> None:
        """All 128 bits count, and a trade is looked for where its own time puts it."""
        minute_us = 60_000_000
        await first.publish(uid(1), uid(2, time_us=NOON_US + minute_us), uid(3, time_us=NOON_US - 5 * minute_us))
        close = trade(1, "PF_XBTUSD", trade_id=1 << 64 | 0xABCE)
        asked = group_of(close, uid(1), uid(2, time_us=NOON_US + minute_us), uid(3, time_us=NOON_US - 5 * minute_us))
        assert await second.left(asked, group_of(uid(4))) == [[close.trade_id], [uid(4).trade_id]]

    @pytest.mark.parametrize(
        ("symbol", "product"), [("PF_BTC", SPOT_PRODUCT), ("BTC-PERP", LINEAR_FUTURES)], ids=["narrow", "wide"]
    )
    async def test_the_kind_of_market_says_how_ids_are_marked(
        self, first: Peer, second: Peer, symbol: str, product: Product
    ) -> None:
        """Never the symbol: one that looks like a futures product may be a pair, and the other way round."""
        ids = (7, 8, 1 << 62) if product is SPOT_PRODUCT else (7, 8, 1 << 127)
        known, *others = (trade(1, symbol, product=product, trade_id=one) for one in ids)
        await first.publish(known)
        assert await second.left(group_of(known, *others)) == [[other.trade_id for other in others]]

    async def test_what_was_skipped_is_counted(self, first: Peer, second: Peer) -> None:
        """By venue, in liqmon_skipped_total."""
        await first.publish(trade(1), trade(2), trade(3))
        before = metrics.skipped.labels("test")._value.get()
        await second.left(group_of(trade(2), trade(3), trade(4)))
        assert metrics.skipped.labels("test")._value.get() - before == 2

    async def test_a_snapshot_marks_nothing_and_is_left_out_itself(self, first: Peer, second: Peer) -> None:
        """A snapshot's trades raise no alert by themselves, so the same trades seen live must still go out."""
        await first.publish(trade(1, is_snapshot=True), trade(2), trade(3, is_snapshot=True))
        assert await second.left(group_of(trade(1), trade(2), trade(3))) == [[1, 3]]
        assert await second.left(group_of(trade(2, is_snapshot=True), trade(3, is_snapshot=True))) == [[3]]

    @pytest.mark.parametrize("make", [trade, uid])
    async def test_what_workers_refuse_is_not_marked(
        self, first: Peer, second: Peer, make: Callable[[int], Trade]
    ) -> None:
        """A trade later than they accept, by the time that the broker gave its record: another one must publish it."""
        trades = [make(1), make(2), make(3)]
        await first.publish(*trades, latest_us=trades[1].time_us)
        assert await second.left(group_of(*trades)) == [[trades[2].trade_id]]

    async def test_one_brokers_marks_are_nothing_to_another(self, first: Peer, redis_url: str) -> None:
        """A new broker has none of the trades that an earlier one acknowledged."""
        await first.publish(trade(1))
        async with Peer(redis_url, "broker-two") as stranger:
            assert await stranger.left(group_of(trade(1))) == [[1]]

    async def test_marks_live_as_long_as_panes_are_kept(self, first: Peer, redis_url: str) -> None:
        """Every key expires, counted from the last mark, and begins with liqmon:."""
        await first.publish(trade(1), trade(9000))
        await first.publish(uid(1))
        server = redis.Redis.from_url(redis_url, decode_responses=True)
        found = server.keys()
        assert len(found) == 3
        for key in found:
            assert str(key).startswith("liqmon:published:broker-one:test:")
            assert LIFETIME_SECONDS - 5 < server.ttl(key) <= LIFETIME_SECONDS

    async def test_ids_cost_a_fifth_of_a_byte(self, first: Peer, redis_url: str) -> None:
        """Bitmaps in chunks, not a key an id."""
        server = redis.Redis.from_url(redis_url)
        await first.publish(trade(0, "ETH/USD"))
        others = set(server.scan_iter())
        for start in range(0, 163_840, 4096):
            await first.publish(*(trade(at) for at in range(start, start + 4096)))
        marks = set(server.scan_iter()) - others
        assert sum(server.memory_usage(key) or 0 for key in marks) / 163_840 < 0.4
        assert server.getbit("liqmon:published:broker-one:test:BTC/USD:3", 5) == 1

    async def test_redis_emptied_means_duplicates_and_nothing_else(
        self, first: Peer, second: Peer, redis_url: str
    ) -> None:
        """What was marked goes out again, what is published next is marked again."""
        await first.publish(trade(1))
        redis.Redis.from_url(redis_url).flushall()
        redis.Redis.from_url(redis_url).script_flush()
        assert await second.left(group_of(trade(1))) == [[1]]
        await first.publish(trade(2))
        assert await second.left(group_of(trade(1), trade(2))) == [[1]]


class TestDeduplicator:
    """The step between collecting and framing."""

    @pytest.mark.parametrize("fault", ["slow", "silent", "gone"])
    async def test_no_frame_waits_longer_than_50_ms(self, network: Proxy, fault: str) -> None:
        """Through the beginning of a fault too; all groups come out, in order."""
        came_out: list[tuple[int, float]] = []
        went_in: dict[int, float] = {}

        def pass_on(groups: Sequence[Group]) -> None:
            came_out.extend((group.trades[0].trade_id, time.perf_counter()) for group in groups)

        async with Peer(f"redis://{network.address}/0", deadline_seconds=DEADLINE_SECONDS) as peer, Stalls() as stalls:
            deduplicator = Deduplicator(peer.ids, pass_on, lambda: None)
            running = asyncio.create_task(deduplicator.run())
            for number in range(300):
                if number == 100:
                    if fault == "gone":
                        await network.refuse()
                    elif fault == "slow":
                        network.delay(5)
                    else:
                        network.swallow()
                went_in[number] = time.perf_counter()
                deduplicator.put([group_of(trade(number))])
                await asyncio.sleep(0.001)
            await deduplicator.drain()
            assert deduplicator.waiting == 0
            assert not peer.ids.available
            running.cancel()
        assert [number for number, _ in came_out] == list(range(300))
        waited = [at - went_in[number] - stalls.between(went_in[number], at) for number, at in came_out]
        assert max(waited) < 0.05

    async def test_without_redis_nothing_is_held(self) -> None:
        """REDIS_URL empty: nothing is left out, no cost."""
        assert published_ids(load_settings()) is None
        passed: list[Group] = []
        deduplicator = Deduplicator(None, passed.extend, lambda: None)
        deduplicator.put([group_of(trade(1))])
        assert [group.trades[0].trade_id for group in passed] == [1]


class TestProducers:
    """Two producers on a real broker."""

    async def publish(self, address: str, url: str, feed: Feed, **changes: Any) -> ProducerSummary:
        """Run a producer to its end."""
        settings = settings_for(address, redis_url=url, **changes)
        return await produce(settings, [feed], stop=asyncio.Event(), published_ids=published_ids(settings))

    async def ready(self, *producers: Producer) -> None:
        """Wait until each can publish at once what its feed gives."""
        for producer in producers:
            await until(lambda facts=producer.facts: facts().ready and facts().details["feeds_reading"])  # type: ignore[misc]

    @pytest.mark.usefixtures("patient")
    async def test_a_second_producer_adds_only_what_the_first_has_not(
        self, fresh_broker: EmbeddedBroker, redis_url: str
    ) -> None:
        """What goes into Kafka is the union, each trade once."""
        both = [trade(at, symbol) for at in range(1000) for symbol in ("BTC/USD", "ETH/USD")]
        futures = [uid(at) for at in range(50)]
        one = await self.publish(fresh_broker.address, redis_url, feed_of(both[:1500], futures[:40]))
        two = await self.publish(fresh_broker.address, redis_url, feed_of(both[500:], futures))
        assert (one.trades, two.trades) == (1540, 510)
        found = await frames(fresh_broker.address, one.frames + two.frames)
        seen = [(frame.symbol, number) for frame in found for number in frame.trade_ids()]
        assert len(seen) == len(set(seen)) == 2050

    @pytest.mark.usefixtures("patient")
    async def test_side_by_side_nothing_is_lost(self, fresh_broker: EmbeddedBroker, redis_url: str) -> None:
        """Both live on the same feed: every trade is there at least once, and not all of them twice."""
        feeds, stop = (Feed(), Feed()), asyncio.Event()
        producers = []
        for feed, linger_ms in zip(feeds, (0, 100), strict=True):
            settings = settings_for(fresh_broker.address, redis_url=redis_url, frame_linger_ms=linger_ms)
            producers.append(Producer(settings, [feed], published_ids=published_ids(settings)))
        running = [asyncio.create_task(producer.run(stop)) for producer in producers]
        # While one connects it marks nothing, and both would publish all that is given meanwhile.
        await self.ready(*producers)
        for number in range(200):
            for feed in feeds:
                feed.give([trade(number)])
            await asyncio.sleep(0.002)
        for feed in feeds:
            feed.end()
        one, two = await asyncio.gather(*running)
        found = await frames(fresh_broker.address, one.frames + two.frames)
        assert {number for frame in found for number in frame.trade_ids()} == set(range(200))
        assert one.trades + two.trades < 400

    @pytest.mark.usefixtures("patient")
    async def test_nothing_is_marked_before_the_broker_has_it(
        self, fresh_broker: EmbeddedBroker, redis_url: str
    ) -> None:
        """A producer that dies now takes nothing with it: the other one still publishes these trades."""
        server = redis.Redis.from_url(redis_url)
        feed, stop = Feed(), asyncio.Event()
        settings = settings_for(fresh_broker.address, redis_url=redis_url)
        producer = Producer(settings, [feed], published_ids=published_ids(settings))
        running = asyncio.create_task(producer.run(stop))
        feed.give([trade(1)])
        await until(server.keys)
        server.flushall()
        with frozen(fresh_broker):
            feed.give([trade(2)])
            await until(lambda: producer._publisher.waiting)
            await asyncio.sleep(0.2)
            assert not server.keys()
        await until(server.keys)
        stop.set()
        await running

    @pytest.mark.usefixtures("patient")
    async def test_a_broker_away_at_the_start_does_not_keep_it_from_reading(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It waits a little for what others have published, then reads and buffers."""
        monkeypatch.setattr("streams.publish.published_ids.KNOW_SECONDS", 0.2)
        feed, stop = Feed(), asyncio.Event()
        settings = settings_for("127.0.0.1:1", redis_url=redis_url)
        producer = Producer(settings, [feed], published_ids=published_ids(settings))
        running = asyncio.create_task(producer.run(stop, drain_seconds=0.1))
        feed.give([trade(1)])
        await until(lambda: producer.buffered_trades)
        stop.set()
        with pytest.raises(Exception, match="1 trade not published"):
            await running

    @pytest.mark.usefixtures("patient")
    async def test_a_buffer_full_of_what_is_known_empties(self, fresh_broker: EmbeddedBroker, redis_url: str) -> None:
        """A producer that waits for room goes on when the trades in its way turn out to be published."""
        trades = [trade(at) for at in range(6000)]
        await self.publish(fresh_broker.address, redis_url, feed_of(trades))
        two = await self.publish(
            fresh_broker.address, redis_url, feed_of(trades), producer_max_buffered_trades=1000, frame_linger_ms=50
        )
        assert two.trades == 0

    @pytest.mark.parametrize("fault", ["slow", "silent", "gone", "broken"])
    async def test_a_failing_redis_loses_nothing_and_delays_nothing(
        self, fresh_broker: EmbeddedBroker, network: Proxy, fault: str
    ) -> None:
        """The fault strikes in the middle; everything arrives, and soon."""
        feed, stop = Feed(), asyncio.Event()
        settings = settings_for(fresh_broker.address, redis_url=f"redis://{network.address}/0")
        producer = Producer(settings, [feed], published_ids=published_ids(settings))
        running = asyncio.create_task(producer.run(stop))
        await self.ready(producer)
        with contextlib.ExitStack() as broken:
            for number in range(60):
                if number == 20:
                    if fault == "gone":
                        await network.refuse()
                    elif fault == "slow":
                        network.delay(5)
                    elif fault == "silent":
                        network.swallow()
                    else:
                        broken.enter_context(writes_that_fail(network.port))
                feed.give([trade(number)])
                await until(lambda number=number: producer._publisher.trades > number, 2)  # type: ignore[misc]
            stop.set()
            summary = await running
        assert summary.trades == 60
        found = await frames(fresh_broker.address, summary.frames)
        assert [number for frame in found for number in frame.trade_ids()] == list(range(60))

    @pytest.mark.parametrize("answer", ["7", "{}", "{1}", "{false, false}"])
    async def test_answers_that_make_no_sense_lose_nothing(
        self, fresh_broker: EmbeddedBroker, redis_url: str, answer: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Something that speaks Redis's protocol and is none: everything is published."""
        monkeypatch.setattr("streams.publish.published_ids.LOOK_UP", Script(f"return {answer}"))
        monkeypatch.setattr("streams.publish.published_ids.DEADLINE_SECONDS", PATIENT_SECONDS)
        feed, stop = Feed(), asyncio.Event()
        settings = settings_for(fresh_broker.address, redis_url=redis_url)
        producer = Producer(settings, [feed], published_ids=published_ids(settings))
        running = asyncio.create_task(producer.run(stop))
        await self.ready(producer)
        for number in range(20):
            feed.give([trade(number)])
            await until(lambda number=number: producer._publisher.trades > number)  # type: ignore[misc]
        stop.set()
        assert (await running).trades == 20
