"""What a run starts, with which settings, and when it ends."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.settings import Settings


def command(*arguments: str) -> list[str]:
    """Return the command that runs ``liqmon`` with these arguments in this interpreter."""
    return [sys.executable, "-m", "streams.cli", *arguments]


@dataclass(frozen=True)
class Plan:
    """What to run: settings as the children see them, their commands, and when to end."""

    settings: Settings
    environment: Mapping[str, str]
    logs: Path
    simulator: Sequence[str] | None
    producer: Sequence[str]
    worker: Sequence[str]
    duration_seconds: float | None = None
    report: Path | None = None

    @property
    def is_recording(self) -> bool:
        """Whether the producer ends by itself."""
        return self.settings.feed == "recording"
