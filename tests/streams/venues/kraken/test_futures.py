"""The futures client against a real socket that behaves and misbehaves as Kraken does."""

import logging
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from streams.errors import BadSetting
from streams.model.trade import Kind, Side
from streams.settings import Settings, load_settings
from streams.venues.kraken.futures import FuturesFeed
from streams.venues.kraken.venue import KrakenFutures
from streams.venues.socket_timing import SocketTiming
from tests.kraken import KRAKEN_FUTURES
from tests.kraken_server import ScriptedKraken
from tests.streams.venues.feeds import CALM, PATIENT, WATCHFUL, Reader, fed_by, future, until


def feed_of(
    kraken: ScriptedKraken, symbols: Sequence[str] = ("PF_XBTUSD",), timing: SocketTiming = CALM
) -> FuturesFeed:
    """Return a feed that reads the server."""
    return FuturesFeed(kraken.futures_url, KRAKEN_FUTURES, symbols, timing=timing)


async def test_trades_arrive_with_their_label_side_and_identity(kraken: ScriptedKraken) -> None:
    """A liquidated long is a sell labelled liquidation."""
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        trades = [future(1), future(2, kind=Kind.LIQUIDATION), future(3, kind=Kind.BLOCK, side=Side.BUY)]
        await kraken.publish_futures(trades)
        await until(lambda: len(reader.trades) == 3)
        assert reader.trades == trades


async def test_a_snapshot_is_history_in_time_order_also_after_a_reconnect(kraken: ScriptedKraken) -> None:
    """Its rows can be hours old: they fill windows and never alert by themselves."""
    await kraken.publish_futures([future(number) for number in range(1, 131)])
    async with Reader(feed_of(kraken)) as reader:
        await until(lambda: len(reader.trades) == 100)
        kraken.drop_connections()
        await until(lambda: len(reader.trades) == 200)
        assert reader.ids(is_snapshot=True) == list(range(31, 131)) * 2
        assert reader.feed.reconnects == 1


@pytest.mark.parametrize("fails_whole_request", [False, True])
async def test_an_unknown_product_is_found_and_named_though_the_error_is_nameless(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture, fails_whole_request: bool
) -> None:
    """The venue says only "Invalid product id"; the others are subscribed all the same."""
    kraken.faults.fails_whole_request = fails_whole_request
    kraken.faults.refused |= {"PF_NOPEUSD", "PF_NADAUSD"}
    products = ("PF_XBTUSD", "PF_NOPEUSD", "PI_XBTUSD", "PF_NADAUSD", "PF_ETHUSD")
    async with Reader(feed_of(kraken, products)) as reader:
        await until(lambda: sorted(reader.feed.unsettled()) == ["PF_NADAUSD", "PF_NOPEUSD"])
        await until(lambda: sum("refuses" in record.getMessage() for record in caplog.records) == 2)
        await kraken.publish_futures([future(1, symbol) for symbol in products])
        await until(lambda: len(reader.trades) == 3)
    text = " ".join(record.getMessage() for record in caplog.records if "refuses" in record.getMessage())
    assert "PF_NOPEUSD" in text
    assert "PF_NADAUSD" in text
    assert "XBTUSD" not in text


async def test_a_product_of_unknown_notional_is_not_subscribed(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Said by name with what is supported; the others go on."""
    async with Reader(feed_of(kraken, ("PV_XRPXBT", "PF_XBTUSD"))) as reader:
        await reader.settled()
        assert reader.feed.symbols == ("PF_XBTUSD",)
    (warning,) = [record.getMessage() for record in caplog.records if "PV_XRPXBT" in record.getMessage()]
    assert "PI_, FI_, PF_, FF_" in warning


async def test_an_alert_that_names_a_product_refuses_only_that(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """As Kraken answers a typo: the others are subscribed, and refused ones are asked for again."""
    kraken.faults.alerts_products = True
    kraken.faults.refused |= {"PF_NOPEUSD", "PF_NADAUSD"}
    products = ("PF_XBTUSD", "PF_NOPEUSD", "PI_XBTUSD", "PF_NADAUSD")
    async with Reader(feed_of(kraken, products)) as reader:
        await until(lambda: reader.feed.connection().refused == ["PF_NOPEUSD", "PF_NADAUSD"])
        assert sorted(reader.feed.unsettled()) == ["PF_NADAUSD", "PF_NOPEUSD"]
        kraken.faults.refused.discard("PF_NADAUSD")
        kraken.drop_connections()
        await until(lambda: reader.feed.reconnects == 1 and reader.feed.unsettled() == ["PF_NOPEUSD"])
    assert sum("refuses PF_NOPEUSD" in line for line in caplog.messages) == 1


async def test_errors_and_alerts_without_a_product_refuse_none(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a feed that the venue does not know, for example; each is said once."""
    async with Reader(feed_of(kraken, ("PF_XBTUSD", "PI_XBTUSD"))) as reader:
        await reader.settled()
        for _ in range(3):
            await kraken.send_raw_futures('{"event":"error","message":"Invalid feed"}')
            await kraken.send_raw_futures('{"event":"alert","message":"Failed to subscribe to authenticated feed"}')
            await kraken.send_raw_futures('{"event":"error","message":"Internal error"}')
        await kraken.publish_futures([future(1)])
        await until(lambda: reader.trades)
        assert (reader.feed.unsettled(), reader.feed.connection().refused) == ([], [])
    for text in ("Invalid feed", "Failed to subscribe to authenticated feed", "Internal error"):
        assert sum(text in line for line in caplog.messages) == 1


async def test_kinds_that_are_not_known_arrive_and_are_named_once(
    kraken: ScriptedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Live and in snapshots, as blocks under the venue's word; an assignment is known."""
    words = ["assignment", "something new", "something new"]
    trades = [replace(future(number, kind=Kind.BLOCK), word=word) for number, word in enumerate(words, 1)]
    await kraken.publish_futures(trades[:1])
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        await kraken.publish_futures(trades[1:])
        await until(lambda: len(reader.trades) == 3)
        assert [trade.word for trade in reader.trades] == words
        assert reader.rejects == []
    said = [line for line in caplog.messages if "not known here" in line]
    assert len(said) == 1
    assert "'something new'" in said[0]


def test_no_supported_product_at_all_stops_the_start() -> None:
    """One line with what was asked for and what there is."""
    with pytest.raises(
        BadSetting, match=r"kraken_futures has nothing to watch in FUTURES_SYMBOLS.*PV_XRPXBT.*PI_, FI_, PF_, FF_"
    ):
        KrakenFutures(load_settings(futures_symbols=("PV_XRPXBT",))).feed()


async def test_malformed_messages_are_rejects_and_stop_nothing(kraken: ScriptedKraken) -> None:
    """Each keeps its reason; the next trade arrives on the same socket."""
    async with Reader(feed_of(kraken)) as reader:
        await reader.settled()
        await kraken.send_raw_futures('{"feed":"trade","product_id":"PF_XBTUSD","price":NaN}')
        await kraken.send_raw_futures("]")
        await kraken.send_raw_futures('{"event":"alert","message":"engine restart soon"}')
        await kraken.publish_futures([future(1)])
        await until(lambda: reader.trades)
        assert [reject.reason for reject in reader.rejects] == ["missing_field", "not_json"]
        assert reader.feed.reconnects == 0


async def test_a_silent_socket_is_opened_again_and_heartbeats_prevent_it(kraken: ScriptedKraken) -> None:
    """The heartbeat feed is asked for first, because this protocol has none without."""
    async with Reader(feed_of(kraken, timing=PATIENT)) as reader:
        await reader.settled()
        assert kraken.requests[0] == {"event": "subscribe", "feed": "heartbeat"}
        assert reader.feed.reconnects == 0
        kraken.faults.is_silent = True
        await until(lambda: kraken.connections >= 2)
        kraken.faults.is_silent = False
        await reader.settled()


async def test_a_product_that_never_delivers_is_subscribed_again(kraken: ScriptedKraken) -> None:
    """Acknowledged is not delivered: it is ended and asked for anew, on the same socket."""
    kraken.faults.muted.add("PI_XBTUSD")
    async with Reader(feed_of(kraken, ("PF_XBTUSD", "PI_XBTUSD"), timing=WATCHFUL)) as reader:
        await until(lambda: any(request["event"] == "unsubscribe" for request in kraken.requests))
        kraken.faults.muted.clear()
        await reader.settled()
        await kraken.publish_futures([future(1, "PI_XBTUSD")])
        await until(lambda: reader.trades)
        assert kraken.connections == 1


async def test_the_settings_say_where_and_what(kraken: ScriptedKraken) -> None:
    """Address, products and venue come from the settings."""
    settings = Settings(futures_ws_url=kraken.futures_url, futures_symbols=("PI_ETHUSD",), futures_venue="sim_futures")  # type: ignore[call-arg]
    async with Reader(fed_by(KrakenFutures(settings))) as reader:
        await reader.settled()
        await kraken.publish_futures([future(1, "PI_ETHUSD")])
        await until(lambda: reader.trades)
        assert (reader.trades[0].venue, reader.trades[0].symbol) == ("sim_futures", "PI_ETHUSD")


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="streams")
