"""The simulator speaks both protocols as Kraken does, and the real clients read its markets whole."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streams.errors import Fatal
from streams.model.trade import Kind
from streams.settings import load_settings
from streams.venues.kraken.futures import FuturesFeed
from streams.venues.kraken.spot import SpotFeed
from streams.venues.simulator.exchange import SimulatedExchange
from streams.venues.simulator.instruments import simulated_instruments
from streams.venues.simulator.run import keep_trading, run_simulator
from streams.venues.simulator.server import KrakenServer
from tests.kraken import KRAKEN_FUTURES, KRAKEN_SPOT
from tests.kraken_server import ScriptedKraken
from tests.streams.venues.feeds import CALM, Reader, future, spot, until


@pytest_asyncio.fixture
async def spot_socket(kraken: ScriptedKraken) -> AsyncIterator[ClientConnection]:
    """Give a bare socket on the spot protocol, past the greeting."""
    async with connect(kraken.spot_url) as connection:
        assert (await message(connection))["channel"] == "status"
        yield connection


@pytest_asyncio.fixture
async def futures_socket(kraken: ScriptedKraken) -> AsyncIterator[ClientConnection]:
    """Give a bare socket on the futures protocol, past the greeting."""
    async with connect(kraken.futures_url) as connection:
        assert await message(connection) == {"event": "info", "version": 1}
        yield connection


async def message(connection: ClientConnection) -> dict[str, Any]:
    """Return the next message that is no heartbeat."""
    async with asyncio.timeout(5):
        while True:
            decoded: dict[str, Any] = json.loads(await connection.recv())
            if "heartbeat" not in (decoded.get("channel"), decoded.get("feed")) or "event" in decoded:
                return decoded


async def ask(connection: ClientConnection, request: dict[str, Any]) -> None:
    """Send a request."""
    await connection.send(json.dumps(request))


async def test_spot_answers_each_symbol_and_sends_its_snapshot(
    kraken: ScriptedKraken, spot_socket: ClientConnection
) -> None:
    """One acknowledgement a symbol, in error too, then the last 50 trades, oldest first."""
    kraken.faults.refused.add("X/USD")
    await kraken.publish_spot([spot(number) for number in range(60)])
    params = {"channel": "trade", "symbol": ["BTC/USD", "X/USD"], "snapshot": True}
    await ask(spot_socket, {"method": "subscribe", "params": params, "req_id": 9})
    accepted, snapshot, refused = [await message(spot_socket) for _ in range(3)]
    assert (accepted["success"], accepted["result"]["symbol"], accepted["req_id"]) == (True, "BTC/USD", 9)
    assert (refused["success"], refused["symbol"]) == (False, "X/USD")
    assert (snapshot["type"], [row["trade_id"] for row in snapshot["data"]]) == ("snapshot", list(range(10, 60)))


async def test_spot_prints_numbers_with_the_engines_precision(
    kraken: ScriptedKraken, spot_socket: ClientConnection
) -> None:
    """A number keeps its digits: no string, no exponent, no binary fraction."""
    await ask(spot_socket, {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}})
    await message(spot_socket)
    await kraken.publish_spot([spot(1, price="60000.10", quantity="0.00000001")])
    text = str(await spot_socket.recv())
    while "trade_id" not in text:
        text = str(await spot_socket.recv())
    assert '"price":60000.10,"qty":0.00000001,' in text
    assert '"timestamp":"2025-10-09T08:53:20.001000Z"' in text


async def test_spot_answers_pings_and_nonsense(spot_socket: ClientConnection) -> None:
    """A pong for a ping, an error for the rest."""
    await ask(spot_socket, {"method": "ping", "req_id": 3})
    assert await message(spot_socket) == {"method": "pong", "req_id": 3}
    await spot_socket.send("{nonsense")
    assert (await message(spot_socket))["success"] is False


async def test_spot_heartbeats_while_nothing_else_flows(spot_socket: ClientConnection) -> None:
    """Only for a socket with a subscription."""
    await ask(spot_socket, {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}})
    await message(spot_socket)
    async with asyncio.timeout(5):
        assert json.loads(await spot_socket.recv()) == {"channel": "heartbeat"}


async def test_futures_answers_each_product_and_sends_its_snapshot_newest_first(
    kraken: ScriptedKraken, futures_socket: ClientConnection
) -> None:
    """The error of an unknown product does not name it."""
    kraken.faults.refused.add("PF_X")
    await kraken.publish_futures([future(number) for number in range(120)])
    await ask(futures_socket, {"event": "subscribe", "feed": "trade", "product_ids": ["PF_XBTUSD", "PF_X"]})
    assert await message(futures_socket) == {"event": "subscribed", "feed": "trade", "product_ids": ["PF_XBTUSD"]}
    snapshot = await message(futures_socket)
    assert [row["seq"] for row in snapshot["trades"]] == list(range(120, 20, -1))
    assert await message(futures_socket) == {"event": "error", "message": "Invalid product id"}


async def test_an_unsubscribed_symbol_is_not_delivered(
    kraken: ScriptedKraken, futures_socket: ClientConnection
) -> None:
    """Until it is subscribed again."""
    products = ["PF_XBTUSD"]
    await ask(futures_socket, {"event": "subscribe", "feed": "trade", "product_ids": products})
    await ask(futures_socket, {"event": "unsubscribe", "feed": "trade", "product_ids": products})
    while (await message(futures_socket)).get("event") != "unsubscribed":
        pass
    await kraken.publish_futures([future(1)])
    await ask(futures_socket, {"event": "subscribe", "feed": "heartbeat"})
    assert (await message(futures_socket))["event"] == "subscribed"


async def test_other_paths_and_refused_connections_are_answered(kraken: ScriptedKraken) -> None:
    """404 for a path that neither protocol has, 503 while the script says so."""
    with pytest.raises(InvalidStatus, match="404"):
        await connect(kraken.spot_url.replace("/v2", "/v3"))
    kraken.faults.refuse_connections = True
    with pytest.raises(InvalidStatus, match="503"):
        await connect(kraken.spot_url)


async def test_dropped_connections_end_without_a_closing_handshake(
    kraken: ScriptedKraken, spot_socket: ClientConnection
) -> None:
    """As a network does it."""
    kraken.drop_connections()
    with pytest.raises(ConnectionClosed) as closed:
        await spot_socket.recv()
    assert closed.value.rcvd is None


async def test_the_real_clients_read_the_market_whole() -> None:
    """Every trade of the model arrives once, exact, in order; cascades with their labels."""
    start_us = time.time_ns() // 1000
    settings = load_settings(spot_symbols=("BTC/USD", "SOL/USD"), futures_symbols=("PF_XBTUSD", "PI_XBTUSD"))
    model: dict[str, Any] = {
        "seed": 11,
        "start_us": start_us - 8_000_000,
        "trades_per_second": 300,
        "instruments": simulated_instruments(settings),
    }
    exchange = SimulatedExchange(**model)
    server = KrakenServer(exchange.instruments)
    await server.start()
    trading = asyncio.create_task(keep_trading(exchange, server))
    try:
        async with (
            Reader(SpotFeed(server.spot_url, KRAKEN_SPOT, settings.spot_symbols, timing=CALM)) as spot_reader,
            Reader(
                FuturesFeed(server.futures_url, KRAKEN_FUTURES, settings.futures_symbols, timing=CALM)
            ) as futures_reader,
        ):
            readers = (spot_reader, futures_reader)
            await until(lambda: all(len(reader.ids()) > 150 for reader in readers))
            received = [trade for reader in readers for trade in reader.trades]
    finally:
        trading.cancel()
        await server.stop()
    twin = SimulatedExchange(**model)
    made = {(trade.symbol, trade.trade_id): trade for trade in twin.step(time.time_ns() // 1000)}
    assert len({(trade.symbol, trade.trade_id) for trade in received}) == len(received)
    for trade in received:
        twins = made[trade.symbol, trade.trade_id]
        assert (trade.price, trade.quantity, trade.side, trade.kind, trade.time_us) == (
            twins.price,
            twins.quantity,
            twins.side,
            twins.kind,
            twins.time_us,
        )
    for symbol in settings.spot_symbols:
        ids = [trade.trade_id for trade in received if trade.symbol == symbol]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert exchange.cascades
    assert any(trade.kind is Kind.LIQUIDATION for trade in received)


async def test_run_simulator_serves_until_cancelled() -> None:
    """It says when it listens, trades at once, and leaves nothing listening."""
    ready: asyncio.Future[KrakenServer] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        run_simulator(
            load_settings(spot_symbols=("BTC/USD",), futures_symbols=("PF_XBTUSD",)),
            port=0,
            seed=1,
            rate=100,
            ready=ready.set_result,
        )
    )
    server = await ready
    async with Reader(SpotFeed(server.spot_url, KRAKEN_SPOT, ["BTC/USD"], timing=CALM)) as reader:
        await until(lambda: reader.ids(is_snapshot=True) and reader.ids())
        assert len(reader.ids(is_snapshot=True)) == 50
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(OSError, match="Connect call failed"):
        await connect(server.spot_url)


async def test_a_taken_port_is_one_clear_line() -> None:
    """With the address and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=f"cannot listen on 127.0.0.1:{port}"):
            await run_simulator(load_settings(), port=port, seed=1, rate=1)
