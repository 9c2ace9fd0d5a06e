"""What rows of alerts that come together cost Postgres: ``python -m tests.benchmarks.alert_rows [alerts]``.

The embedded Postgres, which waits for the disk as an operator's does, records so many new alerts of as many markets,
one after another and together. Milliseconds are of a clock, the median of several rounds.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agents.alerts.postgres import open_pool
from agents.alerts.recorder import Recorder
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.settings import load_settings
from tests.agents.factories import PANE, an_alert

ROUNDS = 7


async def main(postgres: EmbeddedPostgres, count: int) -> None:
    """Print the cost of an alert, both ways."""
    pool = await open_pool(load_settings(**{name.lower(): value for name, value in postgres.settings.items()}))
    recorder = Recorder(pool, deliver=True)
    single, together = list[float](), list[float]()
    for number in range(2 * ROUNDS):
        alerts = [an_alert(symbol=f"M{market}/USD", pane=PANE + number) for market in range(count)]
        began = time.perf_counter()
        if number % 2:
            await recorder.record_all(alerts)
        else:
            for alert in alerts:
                await recorder.record(alert)
        (together if number % 2 else single).append(1000 * (time.perf_counter() - began) / count)
    await pool.close()
    sys.stdout.write(
        f"{count} alerts: {statistics.median(single):.2f} ms each one after another, "
        f"{statistics.median(together):.2f} ms each together\n"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, EmbeddedPostgres(Path(name) / "postgres") as server:
        asyncio.run(main(server, int(sys.argv[1]) if sys.argv[1:] else 20))
