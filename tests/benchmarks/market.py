"""A cheap Kraken for benchmarks: ``python -m tests.benchmarks.market PORT RATE SYMBOLS LOUD``.

Its spot socket sends RATE trades a second, evenly over time and over SYMBOLS markets, two trades of a market to a
message. The first LOUD markets trade amounts that the rest never comes near, so a threshold can tell them apart.
"""

import asyncio
import random
import signal
import sys
import time

import uvloop

from streams.venues.simulator.messages import rfc3339
from streams.venues.simulator.server import KrakenServer
from streams.venues.simulator.session import SpotSession

TRADES_A_MESSAGE = 2
STEP_SECONDS = 0.002
QUIET, LOUD = "0.0001", "100.0"
PRICE = "1000.0"
"""A loud trade is of 100 000 USD, a quiet one of ten cents."""


class BusyKraken(KrakenServer):
    """Sends prepared text; knows every symbol, and has no snapshots."""

    def knows(self, symbol: str, *, is_spot: bool) -> bool:  # noqa: ARG002 - the server's signature
        """Whatever is asked for."""
        return True

    def send(self, symbol: str, text: str) -> None:
        """Send a market's message to whoever is subscribed."""
        for session in self._of_kind(SpotSession):
            if self._delivers(session, symbol):
                self._deliver(session, text)


async def serve(port: int, rate: float, symbols: int, loud: int) -> None:
    """Trade by the wall clock, until cancelled."""
    server = BusyKraken((), port=port)
    await server.start()
    names = [f"M{number}/USD" for number in range(symbols)]
    draw = random.Random(1)
    # Each market has its own, one after the other, which grow over restarts, as the venue's do.
    next_ids = [time.time_ns() // 1000] * symbols
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * rate / TRADES_A_MESSAGE)
        stamp = rfc3339(time.time_ns() // 1000)
        while sent < due:
            sent += 1
            at = draw.randrange(symbols)
            trade_id = next_ids[at]
            rows = ",".join(
                f'{{"symbol":"{names[at]}","side":"buy","price":{PRICE},"qty":{LOUD if at < loud else QUIET},'
                f'"ord_type":"market","trade_id":{trade_id + number},"timestamp":"{stamp}"}}'
                for number in range(TRADES_A_MESSAGE)
            )
            next_ids[at] += TRADES_A_MESSAGE
            server.send(names[at], f'{{"channel":"trade","type":"update","data":[{rows}]}}')
        await asyncio.sleep(STEP_SECONDS)


async def until_told(port: int, rate: float, symbols: int, loud: int) -> None:
    """Serve until SIGTERM."""
    task = asyncio.ensure_future(serve(port, rate, symbols, loud))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


if __name__ == "__main__":
    uvloop.run(until_told(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
