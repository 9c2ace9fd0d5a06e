"""A worker that seeks when it is told to: ``python -m tests.streams.worker.seeking at_work|stopped|rebalancing``.

It says ``serving``, and seeks at SIGUSR1. It does so in the middle of its work, while the flow is stopped, or as in a
rebalance whose recovery has let the flow on already. It says ``it failed`` where that did and it is still there.
"""

import asyncio
import os
import signal
import sys

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.app import create_app
from streams.settings import load_settings
from streams.topics import TRADES
from tests.waiting import until

PLACE = TP(TRADES, 0)


async def main(when: str) -> None:
    """Start, wait for the word, seek, and end at once."""
    app = create_app(load_settings())
    await app.start()
    # The flow goes on earlier than the recovery has sought: that seek must not be the one that fails.
    await until(lambda: app.consumer.next_offset(PLACE) is not None and app.consumer.flow_active)
    await until(lambda: not app.rebalancing)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    say("serving")
    await told.wait()
    if when == "stopped":
        app.consumer.stop_flow()
    app.rebalancing = when == "rebalancing"
    try:
        await app.consumer.perform_seek()
    except KafkaError:
        say("it failed")
    os._exit(0)


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
