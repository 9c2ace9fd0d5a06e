"""What every table store promises to the keeper and to Faust."""

from typing import Any

import pytest
from faust import stores
from faust.types import TP

from streams.worker.options import STORES
from tables.market.chunk import CHUNK_PANES, Chunk
from tables.market.chunks import chunk_key, decode_chunk, encode, prefix
from tables.market.panes import Pane
from tests.tables.stores.conftest import KINDS, LATER, LATER_OF_NO_MARKET, TOPIC, Changelog, Owner, OwnerFactory, item

PERSISTENT = ("rocksdb", "redis")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give each kind of store in turn."""
    return str(request.param)


@pytest.fixture
async def owner(kind: str, new_owner: OwnerFactory) -> Owner:
    """Give the owner of partitions 0 and 1, recovered from an empty changelog."""
    return await new_owner(kind, 0, 1)


class TestMarkets:
    """Reading and writing by market."""

    async def test_what_was_saved_is_loaded(self, owner: Owner) -> None:
        """Head and chunks, every byte."""
        pane = Pane([1, 7], count=7, notional=2**61, high=1.5, first_id=1, last_id=7)
        chunk = Chunk(3, 88, [pane] + [None] * (CHUNK_PANES - 1))
        items = item("BTC/USD", 3) | {chunk_key("kraken_spot", "BTC/USD", 17): encode(chunk)}
        await owner.write(items)
        assert await owner.heads("BTC/USD") == items
        key, value = chunk_key("kraken_spot", "BTC/USD", 17), items[chunk_key("kraken_spot", "BTC/USD", 17)]
        assert decode_chunk(key, value) == chunk

    async def test_a_market_is_loaded_alone(self, owner: Owner) -> None:
        """Names that begin alike, venues that end alike, odd characters."""
        names = ("BTC/USD", "BTC/USDT", "BTC", "b tc:*?[x]", "Ünï/USD")
        for at, name in enumerate(names):
            await owner.write(item(name, at))
        await owner.write(item("BTC/USD", 9, venue="recording:kraken_spot"))
        for at, name in enumerate(names):
            assert await owner.heads(name) == item(name, at)

    async def test_an_unknown_market_is_empty(self, owner: Owner) -> None:
        """It begins from nothing."""
        await owner.write(item("BTC/USD", 1))
        assert await owner.heads("ETH/USD") == {}

    async def test_a_later_save_replaces_and_leaves_the_rest(self, owner: Owner) -> None:
        """A flush writes only what changed."""
        chunk = {chunk_key("kraken_spot", "BTC/USD", 0): encode(Chunk(1, 0, []))}
        await owner.write(item("BTC/USD", 1) | chunk)
        await owner.write(item("BTC/USD", 2, watermark=5))
        assert await owner.heads("BTC/USD") == item("BTC/USD", 2, watermark=5) | chunk

    async def test_what_others_serve_is_seen_only_where_replicas_share_the_store(
        self, kind: str, owner: Owner, new_owner: OwnerFactory
    ) -> None:
        """Elsewhere it is with them: an empty answer."""
        other = await new_owner(kind, directory="two")
        await owner.write(item("BTC/USD", 1))
        seen = dict(await other.store.peek(0, prefix("kraken_spot", "BTC/USD")))
        assert seen == (item("BTC/USD", 1) if kind == "redis" else {})

    async def test_every_market_is_listed(self, owner: Owner) -> None:
        """Also those that a new owner has not loaded yet."""
        await owner.write(item("BTC/USD", 1) | item("PF_XBTUSD", 1, venue="kraken_futures"))
        await owner.write(item("BTC/USD", 2))
        await owner.write(item("ETH/USD", 1), partition=1)
        assert sorted(await owner.store.markets(0)) == [("kraken_futures", "PF_XBTUSD"), ("kraken_spot", "BTC/USD")]
        assert sorted(await owner.store.markets(1)) == [("kraken_spot", "ETH/USD")]

    async def test_partitions_are_apart(self, owner: Owner) -> None:
        """The same market of two partitions (another partitioner was used once) is two."""
        await owner.write(item("BTC/USD", 1), partition=0)
        await owner.write(item("BTC/USD", 2), partition=1)
        assert await owner.heads("BTC/USD", 0) == item("BTC/USD", 1)
        assert await owner.heads("BTC/USD", 1) == item("BTC/USD", 2)

    async def test_many_values_at_once(self, owner: Owner) -> None:
        """A first flush after a long time has more than one call may carry."""
        items: dict[bytes, bytes] = {}
        for number in range(700):
            items |= item(f"S{number}/USD", number)
            items |= {chunk_key("kraken_spot", f"S{number}/USD", 3): encode(Chunk(number, 3, []))}
        await owner.write(items)
        assert len(await owner.store.markets(0)) == 700
        assert len(await owner.heads("S699/USD")) == 2


class TestRestore:
    """A new owner."""

    async def test_state_is_as_the_last_owner_left_it(self, kind: str, owner: Owner, new_owner: OwnerFactory) -> None:
        """On this machine or, for a store that others can read or that is empty, on another."""
        await owner.write(item("BTC/USD", 1))
        await owner.write(item("BTC/USD", 5) | item("ETH/USD", 5))
        await owner.store.stop()
        for directory in ("one", "two"):
            heir = await new_owner(kind, 0, 1, directory=directory)
            assert await heir.heads("BTC/USD") == item("BTC/USD", 5)
            assert await heir.heads("ETH/USD") == item("ETH/USD", 5)
            await heir.store.stop()

    @pytest.mark.parametrize("kind", PERSISTENT, indirect=True)
    async def test_a_restart_replays_nothing(self, kind: str, owner: Owner, new_owner: OwnerFactory) -> None:
        """Everything that was flushed is there already, the offset too."""
        for offset in range(20):
            await owner.write(item("BTC/USD", offset))
        await owner.store.stop()
        heir = await new_owner(kind, 0, 1)
        assert heir.replayed == 0
        assert heir.store.persisted_offset(TP(TOPIC, 0)) == 19
        assert await heir.heads("BTC/USD") == item("BTC/USD", 19)

    @pytest.mark.parametrize("kind", PERSISTENT, indirect=True)
    async def test_a_crash_before_the_save_replays_what_is_missing(
        self, kind: str, owner: Owner, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """The changelog had it, the store did not: no more than that is read again, once."""
        await owner.write(item("BTC/USD", 1))
        changelog.write(item("BTC/USD", 2) | item("ETH/USD", 2))
        await owner.store.stop()
        for replayed in (2, 0):
            heir = await new_owner(kind, 0, 1)
            assert heir.replayed == replayed
            assert await heir.heads("BTC/USD") == item("BTC/USD", 2)
            await heir.store.stop()

    @pytest.mark.parametrize("batch", [1, 2, 1000])
    async def test_of_two_values_the_higher_source_offset_stays(
        self, kind: str, new_owner: OwnerFactory, changelog: Changelog, batch: int
    ) -> None:
        """A worker that was frozen wrote its old state behind its successor's newer one."""
        changelog.write(item("BTC/USD", 7))
        changelog.write(item("BTC/USD", 9, watermark=1))
        changelog.write(item("BTC/USD", 8))
        changelog.write(item("BTC/USD", 9, watermark=2))
        changelog.write(item("BTC/USD", -1))
        owner = await new_owner(kind)
        await owner.take_over(0, batch=batch)
        assert await owner.heads("BTC/USD") == item("BTC/USD", 9, watermark=2)
        assert owner.store.overtaken(0).take() == item("BTC/USD", -1), "compaction would keep it"
        assert owner.store.overtaken(0).take() == {}

    async def test_a_restore_does_not_undo_what_is_stored(
        self, kind: str, owner: Owner, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """The same holds where the newer value is in the store already."""
        await owner.write(item("BTC/USD", 9))
        changelog.write(item("BTC/USD", 8))
        await owner.store.stop()
        heir = await new_owner(kind, 0, 1)
        assert await heir.heads("BTC/USD") == item("BTC/USD", 9)
        assert heir.store.overtaken(0).take() == item("BTC/USD", 8)

    async def test_every_restore_meets_it_until_the_owner_has_written_over_it(
        self, kind: str, owner: Owner, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """Who met it may end before that: what a store claims nobody reads again, and compaction would keep it."""
        await owner.write(item("BTC/USD", 9))
        changelog.write(item("ETH/USD", 9))
        changelog.write(item("BTC/USD", 8))
        changelog.write(item("ETH/USD", 10))
        await owner.store.stop()
        for _ in range(3):
            heir = await new_owner(kind, 0, 1)
            stale = heir.store.overtaken(0).take()
            assert {key: stale.get(key) for key in item("BTC/USD", 8)} == item("BTC/USD", 8)
            assert await heir.heads("ETH/USD") == item("ETH/USD", 10)
            await heir.store.stop()

    async def test_a_record_without_a_value_changes_nothing(
        self, kind: str, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """Rings never shrink, so nobody deletes; a tombstone by hand is passed over."""
        changelog.write(item("BTC/USD", 1))
        changelog.write({next(iter(item("BTC/USD", 1))): None})  # type: ignore[dict-item]
        owner = await new_owner(kind, 0)
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)
        assert owner.replayed == 2

    @pytest.mark.parametrize("junk", [b"", b"junk", b"\x90", b"\x91" * 5000, b"\x93\xa1x\x00\x00"])
    async def test_what_no_release_wrote_is_passed_over_and_written_over(
        self, kind: str, new_owner: OwnerFactory, changelog: Changelog, junk: bytes
    ) -> None:
        """Any program can send to a topic: it must end no restore, and compaction must not keep it."""
        key = next(iter(item("BTC/USD", 1)))
        other = next(iter(item("ETH/USD", 1)))
        for items in ({other: junk}, {key: junk}, item("BTC/USD", 1), {key: junk}, {None: junk}, {b"": junk}):
            changelog.write(items)  # type: ignore[arg-type]
        changelog.write({b"__faust\0offset__": junk, b"\xff": junk})
        owner = await new_owner(kind, 0)
        assert await owner.heads("BTC/USD") == item("BTC/USD", 1)
        assert await owner.heads("ETH/USD") == {}
        assert owner.store.overtaken(0).take().get(key) == junk, "compaction would keep it"
        await owner.write(item("ETH/USD", 2))
        await owner.store.stop()
        heir = await new_owner(kind, 0)
        assert await heir.heads("ETH/USD") == item("ETH/USD", 2)

    async def test_a_partition_that_comes_back_is_up_to_date(
        self, kind: str, owner: Owner, new_owner: OwnerFactory
    ) -> None:
        """It was another's meanwhile: what that one wrote counts, wherever it wrote it."""
        await owner.write(item("BTC/USD", 1), partition=1)
        await owner.take_over(0)
        other = await new_owner(kind, 1, directory="two")
        await other.write(item("BTC/USD", 2), partition=1)
        await owner.take_over(0, 1)
        assert await owner.heads("BTC/USD", 1) == item("BTC/USD", 2)

    @pytest.mark.parametrize("held", [0, 3])
    async def test_a_rebalance_during_a_restore_loses_nothing(
        self, kind: str, new_owner: OwnerFactory, changelog: Changelog, held: int
    ) -> None:
        """The partition stays, of which half is read; its store was empty, or had the first ``held`` records."""
        names = [f"S{number}/USD" for number in range(8)]
        first = await new_owner(kind, 0)
        for name in names[:held]:
            await first.write(item(name, 1))
        await first.store.stop()
        for name in names[held:]:
            changelog.write(item(name, 1))
        owner = await new_owner(kind)
        for most in (2, 1):
            await owner.rebalance(0)
            owner.read(0, most=most)
        await owner.take_over(0)
        for name in names:
            assert await owner.heads(name) == item(name, 1)


class TestALaterReleasesState:
    """It is kept as it came; who reads it decides what to make of it."""

    @pytest.mark.parametrize("how", ["written", "restored", "restored over", "handed over"])
    async def test_every_byte_stays(
        self, kind: str, owner: Owner, new_owner: OwnerFactory, changelog: Changelog, how: str
    ) -> None:
        """On every way into a store."""
        if how == "restored over":
            await owner.write(item("BTC/USD", 4))
        if how in ("written", "handed over"):
            await owner.write(LATER | LATER_OF_NO_MARKET)
        else:
            changelog.write(LATER | LATER_OF_NO_MARKET)
        if how != "written":
            await owner.store.stop()
            owner = await new_owner(kind, 0, 1)
        held = await owner.heads("BTC/USD") | await owner.heads("ETH/USD")
        assert held == LATER
        assert sorted(await owner.store.markets(0)) == [("kraken_spot", "BTC/USD"), ("kraken_spot", "ETH/USD")]

    async def test_an_older_value_does_not_take_its_place(
        self, kind: str, new_owner: OwnerFactory, changelog: Changelog
    ) -> None:
        """Their offsets are compared, as those of all values are: here of a worker that was frozen."""
        changelog.write(LATER)
        changelog.write(item("BTC/USD", 4))
        owner = await new_owner(kind, 0)
        assert await owner.heads("BTC/USD") | await owner.heads("ETH/USD") == LATER


def test_every_kind_is_registered_with_faust() -> None:
    """In the entry-point group that Faust's own drivers are in."""
    for scheme, name in STORES.items():
        driver: Any = stores.by_name(name)
        assert driver.__module__ == f"tables.stores.{ {'rocksdb': 'rocks', 'rediss': 'redis'}.get(scheme, scheme) }"
