"""The spot client against a real socket that behaves and misbehaves as Kraken does."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from streams.errors import BadSetting
from streams.metrics import REGISTRY
from streams.settings import Settings, load_settings
from streams.venues import socket_feed
from streams.venues.kraken.spot import SpotFeed
from streams.venues.kraken.venue import KrakenSpot
from streams.venues.socket_timing import SocketTiming
from tests.kraken import KRAKEN_SPOT, SPOT
from tests.kraken_server import ScriptedKraken
from tests.lost_writes import writes_that_fail
from tests.streams.venues.feeds import CALM, FAST, PATIENT, STEADY, WATCHFUL, Reader, fed_by, spot, until


def feed_of(kraken: ScriptedKraken, symbols: Sequence[str] = ("BTC/USD",), timing: SocketTiming = CALM) -> SpotFeed:
    """Return a feed that reads the server."""
    return SpotFeed(kraken.spot_url, KRAKEN_SPOT, symbols, timing=timing, symbols_per_subscribe=2)


def metric(name: str, venue: str = SPOT) -> float:
    """Return a metric's value now."""
    return REGISTRY.get_sample_value(name, {"venue": venue}) or 0.0


def subscribed(kraken: ScriptedKraken) -> list[list[str]]:
    """Return the symbols of every subscribe request so far."""
    return [request["params"]["symbol"] for request in kraken.requests if request["method"] == "subscribe"]


async def test_trades_arrive_as_they_were_published(kraken: ScriptedKraken) -> None:
    """One message is one batch, of several symbols, exact, stamped on receipt."""
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD", "SOL/USD"))) as reader:
        await reader.settled()
        trades = [spot(1, price="60000.10"), spot(7, "SOL/USD", quantity="0.00000001"), spot(2)]
        await kraken.publish_spot(trades)
        await until(lambda: reader.batches)
        assert [batch.trades for batch in reader.batches] == [trades]
        assert str(reader.trades[0].price) == "60000.10"
        assert reader.batches[0].received_us > 0
    assert subscribed(kraken) == [["BTC/USD", "ETH/USD"], ["SOL/USD"]]
    assert all(request["params"]["snapshot"] is True for request in kraken.requests)


async def test_an_unknown_symbol_is_reported_by_name_and_the_others_go_on(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for it, also over reconnects, and its neighbours in the same request trade."""
    kraken.faults.refused.add("NOPE/USD")
    async with Reader(feed_of(kraken, ("BTC/USD", "NOPE/USD", "ETH/USD"))) as reader:
        await until(lambda: reader.feed.unsettled() == ["NOPE/USD"])
        kraken.drop_connections()
        await until(lambda: reader.feed.reconnects == 1 and reader.feed.unsettled() == ["NOPE/USD"])
        await kraken.publish_spot([spot(1), spot(1, "ETH/USD")])
        await until(lambda: len(reader.trades) == 2)
    warnings = [record.getMessage() for record in caplog.records if "NOPE/USD" in record.getMessage()]
    assert len(warnings) == 1
    assert "not supported" in warnings[0]


@pytest.mark.parametrize("error", ["Exceeded msg rate", "Service unavailable", "something that Kraken never said"])
async def test_a_busy_venue_refuses_nothing_and_is_asked_again(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture, error: str
) -> None:
    """In the first second of a start: no symbol is refused, one line says so, and all are subscribed in the end."""
    kraken.faults.busy = error
    symbols = ("BTC/USD", "ETH/USD", "SOL/USD")
    async with Reader(feed_of(kraken, symbols)) as reader:
        await until(lambda: len(subscribed(kraken)) >= 6)
        assert metric("liqmon_feed_refused_symbols") == metric("liqmon_feed_subscribed_symbols") == 0
        assert metric("liqmon_feed_symbols") == 3
        kraken.faults.busy = ""
        await reader.settled()
        await until(lambda: metric("liqmon_feed_subscribed_symbols") == 3)
        await kraken.publish_spot([spot(1, symbol) for symbol in symbols])
        await until(lambda: len(reader.trades) == 3)
    assert metric("liqmon_feed_subscribed_symbols") == 0
    assert not any("refuses" in line for line in caplog.messages)
    assert sum(error in line for line in caplog.messages) == 1


async def test_a_start_keeps_to_the_venues_rate(kraken: ScriptedKraken) -> None:
    """Twice over, since two producers can share an address; many requests, and never one too many."""
    kraken.faults.requests_per_second = 20
    kraken.faults.refused.add("S7/USD")
    async with Reader(feed_of(kraken, tuple(f"S{number}/USD" for number in range(30)))) as reader:
        await until(lambda: reader.feed.unsettled() == ["S7/USD"])
        kraken.drop_connections()
        await until(lambda: reader.feed.reconnects == 1 and reader.feed.unsettled() == ["S7/USD"])
        await until(lambda: subscribed(kraken)[-1] == ["S7/USD"])
    assert len(subscribed(kraken)) == 2 * 15 + 1


async def test_one_symbol_that_is_put_off_is_asked_again_beside_the_others(kraken: ScriptedKraken) -> None:
    """By name and with an error that may pass."""
    kraken.faults.busy_symbols["ETH/USD"] = "Service unavailable"
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD"))) as reader:
        await until(lambda: subscribed(kraken).count(["ETH/USD"]) >= 2)
        assert reader.feed.unsettled() == ["ETH/USD"]
        assert reader.feed.connection().refused == []
        kraken.faults.busy_symbols.clear()
        await reader.settled()


async def test_a_refusal_is_shown_and_asked_again_when_the_exchange_is_back(kraken: ScriptedKraken) -> None:
    """During an outage Kraken refuses symbols that it has."""
    kraken.system = "maintenance"
    kraken.faults.refused |= {"ETH/USD", "NOPE/USD"}
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD", "NOPE/USD"))) as reader:
        await until(lambda: metric("liqmon_feed_refused_symbols") == 2)
        assert reader.feed.connection().refused == ["ETH/USD", "NOPE/USD"]
        kraken.faults.refused.discard("ETH/USD")
        await kraken.set_status("online")
        await until(lambda: reader.feed.unsettled() == ["NOPE/USD"])
        await until(lambda: metric("liqmon_feed_refused_symbols") == 1)
        assert metric("liqmon_feed_subscribed_symbols") == 2


async def test_symbols_that_stay_away_are_missing(kraken: ScriptedKraken, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put off, not acknowledged, or without a connection; refused ones are not."""
    monkeypatch.setattr(socket_feed, "MISSING_SECONDS", 0.2)
    kraken.faults.busy_symbols["ETH/USD"] = "Service unavailable"
    kraken.faults.unanswered.add("SOL/USD")
    kraken.faults.refused.add("NOPE/USD")
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD", "SOL/USD", "NOPE/USD"), timing=STEADY)) as reader:
        await until(lambda: reader.feed.connection().missing == 2)
        kraken.faults.busy_symbols.clear()
        kraken.faults.unanswered.clear()
        await until(lambda: reader.feed.connection().missing == 0)
        await kraken.stop()
        await until(lambda: reader.feed.connection().missing == 3)


async def test_warnings_of_acknowledgements_are_said_once_and_counted(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """One line a text; the metric counts each."""
    before = metric("liqmon_feed_warnings_total")
    kraken.faults.warnings = ["snapshot is deprecated"]
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD"))) as reader:
        await reader.settled()
    assert metric("liqmon_feed_warnings_total") == before + 2
    assert sum("snapshot is deprecated" in line for line in caplog.messages) == 1


async def test_an_error_that_no_client_should_raise_is_a_lost_connection(kraken: ScriptedKraken) -> None:
    """The socket is opened again until it can be written to, and trades arrive."""
    with contextlib.ExitStack() as broken:
        failed = broken.enter_context(writes_that_fail(urlsplit(kraken.spot_url).port or 0))
        async with Reader(feed_of(kraken)) as reader:
            await until(lambda: len(failed) > 3)
            broken.close()
            await reader.settled()
            await kraken.publish_spot([spot(1)])
            await until(lambda: reader.trades)


async def test_the_connection_is_described(kraken: ScriptedKraken) -> None:
    """Open or lost, since when, when it last heard anything, and how often it was opened again."""
    address = kraken.spot_url.replace("ws://", "ws://user:secret@")
    feed = SpotFeed(address, KRAKEN_SPOT, ["BTC/USD", "ETH/USD"], timing=CALM, symbols_per_subscribe=2)
    before = feed.connection()
    assert (before.venue, before.address, before.symbols) == (SPOT, kraken.spot_url, 2)
    assert (before.connected, before.since, before.last_message, before.reconnects) == (False, None, None, 0)
    async with Reader(feed) as reader:
        await reader.settled()
        opened = feed.connection()
        assert (opened.connected, opened.reconnects, opened.unsettled) == (True, 0, 0)
        assert opened.since is not None
        assert time.time() - 30 < opened.since <= time.time()
        assert opened.last_message is not None
        assert opened.last_message >= opened.since
        kraken.drop_connections()
        await until(lambda: feed.reconnects == 1)
        assert (feed.connection().since or 0) > opened.since
        await kraken.stop()
        await until(lambda: not feed.connected)
        lost = feed.connection().since
        assert lost is not None
        await asyncio.sleep(0.1)
        assert feed.connection().since == lost, "attempts that fail do not change since when it is lost"


async def test_a_malformed_row_is_a_reject_and_its_neighbours_are_trades(kraken: ScriptedKraken) -> None:
    """Nothing stops and nothing else is lost, also when the text is no JSON at all."""
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        await kraken.send_raw_spot('{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}')
        await kraken.send_raw_spot("{broken")
        await kraken.publish_spot([spot(1)])
        await until(lambda: reader.trades)
        assert [reject.reason for reject in reader.rejects] == ["missing_field", "not_json"]
        assert reader.feed.reconnects == 0


async def test_the_first_snapshot_is_history(kraken: ScriptedKraken) -> None:
    """It fills windows; what follows is live."""
    await kraken.publish_spot([spot(number) for number in range(1, 61)])
    async with Reader(feed_of(kraken)) as reader:
        await until(lambda: reader.trades)
        await kraken.publish_spot([spot(61)])
        await until(lambda: len(reader.trades) == 51)
        assert reader.ids(is_snapshot=True) == list(range(11, 61))
        assert reader.ids() == [61]


async def test_what_was_missed_in_a_reconnect_comes_back_as_live_trades(kraken: ScriptedKraken) -> None:
    """The snapshot's rows after the last id seen are live, the others history, and no gap is counted."""
    gaps = metric("liqmon_gap_trades_total")
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(number) for number in range(1, 11)])
        await until(lambda: len(reader.trades) == 10)
        kraken.drop_connections()
        await kraken.publish_spot([spot(number) for number in range(11, 21)])
        await until(lambda: len(reader.trades) == 30)
        assert reader.ids() == list(range(1, 21))
        assert reader.ids(is_snapshot=True) == list(range(1, 11))
    assert metric("liqmon_gap_trades_total") == gaps


async def test_a_snapshot_that_does_not_reach_back_is_a_gap_of_known_size(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning with the number of trades missed, and a metric."""
    gaps = metric("liqmon_gap_trades_total")
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(1)])
        await until(lambda: reader.trades)
        kraken.drop_connections()
        await kraken.publish_spot([spot(number) for number in range(2, 102)])
        await until(lambda: len(reader.trades) == 51)
        assert reader.ids() == [1, *range(52, 102)]
    assert metric("liqmon_gap_trades_total") == gaps + 50
    assert ["missed 50 trades" in record.getMessage() for record in caplog.records].count(True) == 1


async def test_a_hole_in_the_live_ids_is_counted(kraken: ScriptedKraken) -> None:
    """Ids are consecutive per symbol: an id that is skipped is a trade that was not delivered."""
    gaps = metric("liqmon_gap_trades_total")
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD"))) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(5), spot(100, "ETH/USD"), spot(6), spot(9), spot(101, "ETH/USD")])
        await until(lambda: reader.trades)
    assert metric("liqmon_gap_trades_total") == gaps + 2


async def test_duplicated_and_reordered_messages_lose_nothing(kraken: ScriptedKraken) -> None:
    """Identities are left to the panes; the feed passes on what it gets."""
    kraken.faults.duplicates = kraken.faults.reorders = True
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(1), spot(2), spot(3)])
        await until(lambda: len(reader.trades) == 6)
        assert reader.ids() == [3, 2, 1] * 2


async def test_a_silent_socket_is_opened_again(kraken: ScriptedKraken) -> None:
    """No heartbeat within the deadline means a dead connection, though TCP says nothing."""
    before = metric("liqmon_reconnects_total")
    async with Reader(feed_of(kraken, timing=FAST)) as reader:
        await reader.settled()
        kraken.faults.is_silent = True
        await until(lambda: kraken.connections >= 2)
        kraken.faults.is_silent = False
        await reader.settled()
        await kraken.publish_spot([spot(1)])
        await until(lambda: reader.trades)
        assert reader.feed.reconnects >= 1
    assert metric("liqmon_reconnects_total") - before == reader.feed.reconnects


async def test_heartbeats_alone_keep_a_quiet_socket(kraken: ScriptedKraken) -> None:
    """A market without trades is no fault of the connection."""
    timing = SocketTiming(heartbeat_timeout_seconds=1, ping_seconds=60)
    async with Reader(feed_of(kraken, timing=timing)) as reader:
        await reader.settled()
        await asyncio.sleep(3 * timing.heartbeat_timeout_seconds)
        assert (reader.feed.reconnects, kraken.connections) == (0, 1)


async def test_a_socket_without_accepted_symbols_is_kept_by_pings(kraken: ScriptedKraken) -> None:
    """Kraken sends no heartbeat to a socket without subscriptions."""
    kraken.faults.refused.add("BTC/USD")
    pings = 1.25 * PATIENT.heartbeat_timeout_seconds / PATIENT.ping_seconds
    async with Reader(feed_of(kraken, timing=PATIENT)) as reader:
        await until(lambda: [request["method"] for request in kraken.requests].count("ping") >= pings)
        assert reader.feed.reconnects == 0


async def test_a_venue_that_is_away_is_tried_for_ever_in_few_words(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Many attempts, two lines: one for the loss, one when it begins to last; and it comes back by itself."""
    async with Reader(feed_of(kraken, timing=FAST)) as reader:
        await reader.settled()
        kraken.faults.refuse_connections = True
        kraken.drop_connections()
        await until(lambda: reader.feed._backoff.failures >= 12)
        assert metric("liqmon_feed_connected") == 0
        kraken.faults.refuse_connections = False
        await reader.settled()
        assert metric("liqmon_feed_connected") == 1
    losses = [record for record in caplog.records if "connection lost" in record.getMessage()]
    assert 1 <= len(losses) <= 2
    assert metric("liqmon_feed_connected") == 0


async def test_a_stopped_server_is_found_again_on_its_return(kraken: ScriptedKraken) -> None:
    """TCP refused is a fault like any other."""
    async with Reader(feed_of(kraken, timing=FAST)) as reader:
        await reader.settled()
        await kraken.stop()
        await until(lambda: reader.feed._backoff.failures >= 3)
        await kraken.start()
        await reader.settled()


async def test_a_missing_acknowledgement_is_asked_for_again(kraken: ScriptedKraken) -> None:
    """Only that symbol, on the same socket, until it is answered."""
    kraken.faults.unanswered.add("ETH/USD")
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD"), timing=STEADY)) as reader:
        await until(lambda: subscribed(kraken).count(["ETH/USD"]) >= 2)
        kraken.faults.unanswered.clear()
        await reader.settled()
        assert (kraken.connections, subscribed(kraken)[0]) == (1, ["BTC/USD", "ETH/USD"])


async def test_late_acknowledgements_are_taken(kraken: ScriptedKraken) -> None:
    """An answer after the deadline still counts, and asking twice harms nothing."""
    kraken.faults.ack_delay_seconds = 0.4
    async with Reader(feed_of(kraken, timing=STEADY)) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(1)])
        await until(lambda: reader.trades)
        assert reader.ids() == [1]


async def test_a_symbol_that_is_acknowledged_and_never_delivers_is_subscribed_again(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Seen in the wild: so it is watched by symbol, reported once, counted, and healed with its missed trades."""
    before = metric("liqmon_resubscriptions_total")
    # A pause of the machine before the first trade would be reported too.
    timing = replace(WATCHFUL, symbol_stale_seconds=1.5)
    async with Reader(feed_of(kraken, ("BTC/USD", "ETH/USD"), timing=timing)) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(1), spot(1, "ETH/USD")])
        await until(lambda: len(reader.trades) == 2)
        kraken.faults.muted.add("ETH/USD")
        await kraken.publish_spot([spot(2), spot(2, "ETH/USD")])
        await until(lambda: metric("liqmon_resubscriptions_total") > before)
        kraken.faults.muted.clear()
        await until(lambda: ("ETH/USD", 2) in {(trade.symbol, trade.trade_id) for trade in reader.trades})
        assert not next(
            trade for trade in reader.trades if (trade.symbol, trade.trade_id) == ("ETH/USD", 2)
        ).is_snapshot
        assert reader.feed.reconnects == 0
    stale = [record for record in caplog.records if "is silent on" in record.getMessage()]
    assert sum("ETH/USD" in record.getMessage() for record in stale) == 1


async def test_silence_in_maintenance_is_no_fault(kraken: ScriptedKraken) -> None:
    """Nothing is subscribed again until the exchange is online and a symbol stays silent."""
    async with Reader(feed_of(kraken, timing=WATCHFUL)) as reader:
        await reader.settled()
        await kraken.set_status("maintenance")
        await until(lambda: reader.feed._system == "maintenance")
        asked = len(subscribed(kraken))
        await asyncio.sleep(2.5 * WATCHFUL.symbol_stale_seconds)
        assert len(subscribed(kraken)) == asked
        await kraken.set_status("online")
        await until(lambda: len(subscribed(kraken)) > asked)


async def test_a_slow_reader_loses_nothing_and_is_no_fault_of_the_venue(kraken: ScriptedKraken) -> None:
    """While the broker is slow the socket's buffer fills; deadlines count only while somebody reads."""
    feed = feed_of(kraken, timing=PATIENT)
    ids: list[int] = []
    batches = feed.batches()
    first = asyncio.ensure_future(anext(batches))
    await until(lambda: feed.connected and not feed.unsettled())
    for number in range(1, 201):
        await kraken.publish_spot([spot(number)])
    ids += [trade.trade_id for trade in (await first).trades]
    await asyncio.sleep(1.5 * PATIENT.heartbeat_timeout_seconds)
    while len(ids) < 200:
        ids += [trade.trade_id for trade in (await anext(batches)).trades]
    assert ids == list(range(1, 201))
    assert feed.reconnects == 0
    await batches.aclose()
    await until(lambda: kraken.open_connections == 0)


async def test_closing_the_generator_closes_the_socket(kraken: ScriptedKraken) -> None:
    """No task and no connection stays behind."""
    tasks = len(asyncio.all_tasks())
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        assert kraken.open_connections == 1
    await until(lambda: kraken.open_connections == 0 and len(asyncio.all_tasks()) == tasks)


async def test_the_settings_say_where_and_what(kraken: ScriptedKraken) -> None:
    """Address, symbols, venue and quotes come from the settings."""
    settings = Settings(spot_ws_url=kraken.spot_url, spot_symbols=("SOL/USDT",), spot_venue="sim_spot")  # type: ignore[call-arg]
    async with Reader(fed_by(KrakenSpot(settings))) as reader:
        await reader.settled()
        await kraken.publish_spot([spot(1, "SOL/USDT")])
        await until(lambda: reader.trades)
        assert (reader.trades[0].venue, reader.trades[0].symbol) == ("sim_spot", "SOL/USDT")


def test_an_address_that_is_no_socket_is_refused_at_start() -> None:
    """Trying for ever would not make it one."""
    with pytest.raises(BadSetting, match="ws://"):
        KrakenSpot(load_settings(spot_ws_url="https://ws.kraken.com")).feed()


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="streams")
