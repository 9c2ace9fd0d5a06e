"""The version before is replaced by this one, worker by worker under trades, and takes over again: bit for bit."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from streams.model.frames import encode_frame
from streams.topics import TRADES
from streams.worker.ending import MUST_NOT_GO_ON
from tables.market.chunks import HEAD, head_key, market_of
from tables.stores.base import newer
from tests.faults.claims import check_claims
from tests.faults.exchange import Exchange
from tests.faults.feed import Feed, Script
from tests.faults.judge import CHANGELOG, Verdict, judge
from tests.faults.ledger import Entry
from tests.faults.marks import fault_run
from tests.faults.previous import ROOT, Items, checked_out, refolded, run_as, unadded
from tests.faults.processes import Process, http_get
from tests.faults.test_redis_tables import RedisStack
from tests.formats import content
from tests.oracle import OracleTrade

log = logging.getLogger(__name__)

PER_SECOND = 300
# With a store of their own, a worker is also one that stands by.
WORKERS = {"rocksdb": 3, "redis": 2}
ENDED_SECONDS = 60
# Columns of alerts' rows that the version before does not write.
UNSAID = ("threshold", "measured", "severity_step", "cooldown_seconds")

pytestmark = fault_run(900)


class Upgrade:
    """A stack whose workers and producers begin as the version before. ``quiet`` are markets that trade there alone."""

    def __init__(self, stack: RedisStack, before: Path) -> None:
        self.stack = stack
        self.before = before
        self.quiet = Script(3, "quiet")
        for process in (*stack.workers, *stack.producers):
            run_as(process, before)

    async def replace(self, process: Process, version: Path) -> None:
        """Stop a process and start it as another version."""
        code = await asyncio.to_thread(process.stop)
        assert code == 0, process.tail()
        run_as(process, version)
        process.start()
        await self.stack.ready(*self.stack.workers)

    async def replace_producers(self, exchange: Exchange, version: Path) -> None:
        """Replace one after the other: what happened while nobody listened would come as history, and raise nothing."""
        for producer in self.stack.producers:
            await exchange.heard_by(len(self.stack.producers))
            await exchange.published()
            await self.replace(producer, version)
            await exchange.until_sent(100)

    async def judge(self, trades: list[OracleTrade], script: Script) -> Verdict:
        """Judge all that there is of a script's venues."""
        return await judge(self.stack, trades, script.venues, unsaid=UNSAID)

    async def versions(self) -> list[dict[str, int]]:
        """Return, as a worker of each version tells it, which formats each worker of the group reads."""
        rows: list[dict[str, int]] = []

        def everybody_answers() -> bool:
            rows.clear()
            for worker in self.stack.workers:
                answer = json.loads(http_get(worker.port, "/api/workers")[1])
                if len(answer["rows"]) != len(self.stack.workers) or answer["notes"]:
                    return False
                rows.append({row["url"].rpartition(":")[2]: len(row.get("formats", {})) for row in answer["rows"]})
            return True

        await self.stack.until(everybody_answers, ENDED_SECONDS, "workers to answer each other")
        return rows

    async def check_versions(self, replaced: int) -> None:
        """So many workers are of this version, and those of the other are told apart from them by what they read."""
        wanted = {str(worker.port): 2 * (at < replaced) for at, worker in enumerate(self.stack.workers)}
        for worker, found in zip(self.stack.workers, await self.versions(), strict=True):
            # A worker of the version before passes on what it knows.
            is_new = wanted[str(worker.port)] > 0
            assert found == (wanted if is_new else dict.fromkeys(wanted, 0))

    async def changelog(self, quiet: bool) -> list[Entry]:
        """Return the changelog's records of the markets that stopped, or of the others, by partition."""
        entries = sorted(await self.stack.ledger.read(CHANGELOG), key=lambda entry: (entry.partition, entry.offset))
        return [entry for entry in entries if (market_of(entry.key)[0] in self.quiet.venues) is quiet]

    async def check_stores(self) -> int:
        """Compare what the stores hold with the changelog; return how many values there are."""
        if self.stack.table_store == "redis":
            return await self.stack.check_redis()
        return await check_claims(self.stack)


async def test_the_version_before_counts_trades_of_other_kinds_as_blocks(tmp_path: Path) -> None:
    """It makes the same state as of blocks without the venue's words."""
    plain = [msgspec.structs.replace(trade, word="") for trade in content.OTHER_TRADES]
    frames = (
        content.added()["frame of trades of other kinds"],
        encode_frame("kraken_futures", "PF_XBTUSD", plain, content.NOON * 10**6 + 9),
    )
    before = checked_out(tmp_path / "before")
    found = [
        await asyncio.to_thread(refolded, before, [Entry(0, 0, b"", value)], {}, {}, tmp_path / str(at))
        for at, value in enumerate(frames)
    ]
    assert len(found[0]) == 2
    assert found[0] == found[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WORKERS)
async def upgrade(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upgrade]:
    """Give a stack of the version before that is ready, with both kinds of table store that keep something."""
    before = checked_out(tmp_path_factory.mktemp("before"))
    directory = tmp_path_factory.mktemp("upgrade")
    async with RedisStack(directory, workers=WORKERS[request.param], seed=13, table_store=request.param) as stack:
        upgrade = Upgrade(stack, before)
        await stack.everybody_ready()
        yield upgrade


async def test_workers_are_replaced_one_by_one_under_trades(upgrade: Upgrade) -> None:
    """With their state, and each producer too: windows and rows are the oracle's, and what rests keeps its bytes."""
    stack = upgrade.stack
    async with Feed(stack.settings, upgrade.quiet, per_second=PER_SECOND) as feed:
        await feed.until_sent(900)
        await feed.finish()
    await stack.drained()
    resting = await upgrade.changelog(quiet=True)
    assert resting
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.until_sent(900)
        await upgrade.check_versions(0)
        for replaced, worker in enumerate(stack.workers, 1):
            await upgrade.replace(worker, ROOT)
            await exchange.until_sent(300)
            await upgrade.check_versions(replaced)
            assert exchange.flowing
        await upgrade.replace_producers(exchange, ROOT)
        await exchange.finish()
        await stack.drained()
        verdict = await upgrade.judge(stack.sent, stack.script)
    await upgrade.judge(feed.trades, upgrade.quiet)
    assert await upgrade.changelog(quiet=True) == resting
    log.info("%s; %d records at rest; %d values of the stores", verdict, len(resting), await upgrade.check_stores())


async def test_either_version_makes_the_same_bits_of_the_topic(upgrade: Upgrade, tmp_path: Path) -> None:
    """One after the other in every order. What the changelog got while they were replaced is the same state.

    Either reads what both wrote to it, and would write the same again.
    """
    stack = upgrade.stack
    messages = await stack.ledger.read(TRADES)
    half = len(messages) // 2
    ends: dict[str, Items] = {}
    for first in (upgrade.before, ROOT):
        items = await asyncio.to_thread(refolded, first, messages[:half], {}, stack.environment, tmp_path)
        for second in (upgrade.before, ROOT):
            name = "then".join("this" if version is ROOT else "before" for version in (first, second))
            end = await asyncio.to_thread(refolded, second, messages[half:], items, stack.environment, tmp_path)
            ends[name] = unadded(end)
    expected = ends.pop("beforethenbefore")
    assert expected
    for name, found in ends.items():
        assert found == expected, name
    live = unadded(latest([*await upgrade.changelog(quiet=True), *await upgrade.changelog(quiet=False)]))
    assert live.keys() == expected.keys()
    differing = {key for key in live if counted(key[1], live[key]) != counted(key[1], expected[key])}
    assert not differing
    for version in (upgrade.before, ROOT):
        assert await asyncio.to_thread(refolded, version, [], live, stack.environment, tmp_path) == live
    log.info("%d messages, %d values", len(messages), len(expected))


async def test_the_version_before_takes_over_again(upgrade: Upgrade) -> None:
    """What this one has written it reads, goes on from, and writes the same."""
    stack = upgrade.stack
    await stack.everybody_ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.until_sent(300)
        for worker in reversed(stack.workers):
            await upgrade.replace(worker, upgrade.before)
            await exchange.until_sent(300)
        await upgrade.replace_producers(exchange, upgrade.before)
        await upgrade.check_versions(0)
        await exchange.finish()
        await stack.drained()
        verdict = await upgrade.judge(stack.sent, stack.script)
    log.info("%s; %d values of the stores", verdict, await upgrade.check_stores())


async def test_state_of_a_later_release_ends_every_worker_with_a_line(upgrade: Upgrade) -> None:
    """It is in the changelog, and stays as it is. A key that only a later release knows ends nobody."""
    stack = upgrade.stack
    for worker in stack.workers:
        await asyncio.to_thread(worker.stop)
        run_as(worker, ROOT)
    venue, _ = stack.script.venues
    home = next(entry.partition for entry in await upgrade.changelog(quiet=False) if b"BTC/USD" in entry.key)
    unknown, key = f"{venue}|BTC/USD|coverage".encode(), head_key("later", "BTC/USD")
    values = {unknown: msgspec.msgpack.encode([2**40, "heard until", 7]), key: later_head()}
    await write(stack, home, {unknown: values[unknown]})
    await stack.everybody_ready()
    async with Exchange(stack, per_second=PER_SECOND) as exchange:
        await exchange.until_sent(300)
        await exchange.finish()
    await stack.drained()
    for worker in stack.workers:
        await asyncio.to_thread(worker.stop)
    await write(stack, home, values)
    for worker in stack.workers:
        worker.start()
    for worker in stack.workers:
        assert await asyncio.to_thread(worker.wait, ENDED_SECONDS) == MUST_NOT_GO_ON, worker.tail()
        assert worker.log_text().count(f"a newer release (9.9.9) wrote the state under {key!r}") == 1, worker.tail()
    found = latest(await stack.ledger.read(CHANGELOG))
    assert {name: found[home, name] for name in values} == values


def later_head() -> bytes:
    """Return a market's head in a format that nobody reads yet."""
    return msgspec.msgpack.encode([0, {"clock": 1}, [], {}, 2, {"release": "9.9.9"}])


async def write(stack: RedisStack, partition: int, items: dict[bytes, bytes]) -> None:
    """Write to the changelog as a later release would."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.ledger.address)
    await producer.start()
    try:
        for key, value in items.items():
            await producer.send_and_wait(CHANGELOG, value, key, partition)
    finally:
        await producer.stop()


def latest(changelog: list[Entry]) -> Items:
    """Return what a restore keeps of the changelog."""
    items: Items = {}
    for entry in changelog:
        if newer(items.get((entry.partition, entry.key)), entry.value):
            items[entry.partition, entry.key] = entry.value
    return items


def counted(key: bytes, value: bytes) -> list[Any]:
    """Return what a value says of trades and alerts; offset and chunks behind a head depend on when it was flushed."""
    fields: list[Any] = msgspec.msgpack.decode(value)
    return fields[1:3] + fields[4:] if key.endswith(HEAD.encode()) else fields[1:]
