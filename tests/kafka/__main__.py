"""``python -m tests.kafka [PORT] [DIRECTORY]``: a real Kafka in the foreground until Ctrl-C; ``make kafka`` runs it.

Without a directory its data are gone at the end.
"""

import signal
import sys
import tempfile
from pathlib import Path

from streams.errors import Fatal
from tests.kafka import RealKafka
from tests.kafka.jars import version


def main(arguments: list[str]) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code."""
    reason = RealKafka.available()
    if reason is not None:
        print(f"Kafka cannot run here: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    port = int(arguments[0]) if arguments else 9092
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="liqmon-kafka-") as temporary:
        directory = Path(arguments[1] if len(arguments) > 1 else temporary)
        try:
            with RealKafka(directory.resolve(), port=port) as kafka:
                print(f"Kafka {version()} at {kafka.address}; Ctrl-C stops it", flush=True)  # noqa: T201
                signal.pause()
        except Fatal as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
