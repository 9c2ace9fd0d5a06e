"""The program behind the embedded broker: ``python -m streams.local.embedded.mock_cluster``.

Prints the broker's address as its first line and serves until SIGTERM or SIGINT.
"""

import signal
from typing import Final

from confluent_kafka import Producer

# As long as its parent waits (streams/local/embedded/broker.py).
START_SECONDS: Final = 20


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    waited_for = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    cluster = Producer({"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 3}, logger=None)
    brokers = cluster.list_topics(timeout=START_SECONDS).brokers
    broker = next(iter(brokers.values()))
    print(f"{broker.host}:{broker.port}", flush=True)  # noqa: T201  this line is the interface
    signal.sigwait(waited_for)


if __name__ == "__main__":
    main()
