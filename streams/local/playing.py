"""What suits a recording that is played as fast as possible on the embedded broker."""

from collections.abc import Mapping
from typing import Final

from streams.settings import Settings

# A frame costs a worker the less a trade the larger it is; above this it gains little. One that waits costs nobody
# anything: trades of years come within seconds.
# The producer is let ahead of the worker's commits by what the broker keeps (streams/publish/pacer.py). With a commit a
# second that is some 100,000 trades a second of one market.
SUITED: Final[Mapping[str, str]] = {
    "FRAME_MAX_TRADES": "1000",
    "FRAME_LINGER_MS": "100",
    "COMMIT_INTERVAL_SECONDS": "0.25",
}


def suited(settings: Settings) -> dict[str, str]:
    """Return the settings that suit it by environment variable, without those that were set; none for a real Kafka."""
    given = settings.model_fields_set
    if "kafka_bootstrap_servers" in given:
        return {}
    return {name: value for name, value in SUITED.items() if name.lower() not in given}
