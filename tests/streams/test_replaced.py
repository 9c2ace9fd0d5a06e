"""The watch for a broker that was replaced."""

from pathlib import Path

import pytest

from streams import broker, replaced
from streams.replaced import BrokerWatch, ReplacedBroker
from streams.settings import Settings, load_settings
from tests.waiting import until


async def test_a_fault_of_the_program_does_not_end_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks again, and finds what there is to find."""
    looks: list[str] = []
    found: list[ReplacedBroker] = []

    async def ends(_: Settings, topic: str) -> tuple[str, dict[int, int]]:
        looks.append(topic)
        if len(looks) == 1:
            raise ValueError("an answer that the client cannot read")
        return "a cluster", {0: 5}

    monkeypatch.setattr(replaced, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(broker, "known_ends", ends)
    watch = BrokerWatch(load_settings(data_dir=tmp_path), "changelog", lambda: {0: 7}, found.append)
    await watch.start()
    try:
        await until(lambda: found)
    finally:
        await watch.stop()
    assert looks == ["changelog"] * 2
