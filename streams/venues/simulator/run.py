"""``liqmon simulate``: an exchange that trades by the wall clock, and the server that sends its trades."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NoReturn

from streams.errors import Fatal
from streams.settings import Settings
from streams.venues.simulator.exchange import SimulatedExchange
from streams.venues.simulator.instruments import simulated_instruments
from streams.venues.simulator.server import KrakenServer

log = logging.getLogger(__name__)

# Trades made before anybody connects, so that the first snapshots are full.
WARM_UP_SECONDS: Final = 30
# Half a tick: what a tick brought is sent at most this late.
STEP_SECONDS: Final = 0.05


async def run_simulator(
    settings: Settings,
    *,
    port: int,
    seed: int,
    rate: float,
    host: str = "127.0.0.1",
    ready: Callable[[KrakenServer], None] | None = None,
) -> NoReturn:
    """Serve simulated markets until cancelled.

    The settings name the symbols. ``rate`` is trades a second over all markets, ``port`` 0 takes a free one. ``ready``
    is called with the listening server. Raises :class:`~streams.errors.Fatal` where the port is taken.
    """
    exchange = SimulatedExchange(
        seed=seed,
        start_us=time.time_ns() // 1000 - WARM_UP_SECONDS * 1_000_000,
        instruments=simulated_instruments(settings),
        trades_per_second=rate,
        quiet_seconds=WARM_UP_SECONDS,
    )
    server = KrakenServer(exchange.instruments, host=host, port=port)
    try:
        await server.start()
    except OSError as error:
        raise Fatal(f"the simulator cannot listen on {host}:{port}: {error.strerror}; choose another port") from None
    try:
        log.info("simulator: %s and %s, seed %d, %g trades/s", server.spot_url, server.futures_url, seed, rate)
        if ready is not None:
            ready(server)
        await keep_trading(exchange, server)
    finally:
        await server.stop()


async def keep_trading(exchange: SimulatedExchange, server: KrakenServer) -> NoReturn:
    """Let an exchange trade by the wall clock and a server send its trades, until cancelled."""
    known = 0
    while True:
        await server.publish(exchange.step(time.time_ns() // 1000))
        for cascade in exchange.cascades[known:]:
            log.info("cascade on %s: %s are being liquidated", cascade.symbol, cascade.victims)
        known = len(exchange.cascades)
        await asyncio.sleep(STEP_SECONDS)
