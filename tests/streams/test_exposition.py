"""What /metrics answers is what the client's library would, in steps that keep nobody waiting."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from streams import exposition, metrics
from streams.market_times import SERIES_AT_ONCE, MarketTimes

MARKETS = 10_000


def values(text: str) -> dict[tuple[str, str, frozenset[tuple[str, str]]], float]:
    """Return the samples of a text by family, name and labels."""
    return {
        (family.name, sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def filled(markets: int) -> tuple[CollectorRegistry, MarketTimes]:
    """Return a registry with a metric of the library's and one of markets."""
    registry = CollectorRegistry()
    Gauge("liqmon_other", 'A "quoted" word.', ["label"], registry=registry).labels('a"b\\c').set(3)
    times = MarketTimes("liqmon_times_seconds", "Times of markets.", registry)
    for number in range(markets):
        times.labels("venue", f'M{number}/"\\\n').set(1_700_000_000.25 + number)
    return registry, times


def test_prometheus_reads_the_series_that_were_set() -> None:
    """Also where names hold quotes, backslashes and ends of lines."""
    registry, _ = filled(1200)
    found = values(b"".join(exposition.pieces(registry)).decode())
    assert len(found) == 1201
    labels = frozenset({("venue", "venue"), ("symbol", 'M7/"\\\n')})
    assert found["liqmon_times_seconds", "liqmon_times_seconds", labels] == 1_700_000_007.25
    assert found["liqmon_other", "liqmon_other", frozenset({("label", 'a"b\\c')})] == 3


def test_the_library_sees_the_same_series() -> None:
    """Who asks the registry by name, and who registers another metric of that name."""
    registry, times = filled(2)
    assert registry.get_sample_value("liqmon_times_seconds", {"venue": "venue", "symbol": 'M1/"\\\n'}) == (
        times.labels("venue", 'M1/"\\\n').seconds
    )
    with pytest.raises(ValueError, match="liqmon_times_seconds"):
        MarketTimes("liqmon_times_seconds", "Again.", registry)


async def test_others_have_their_turn_while_ten_thousand_markets_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time to work in one step, each part of the text is a step of its own."""
    monkeypatch.setattr(metrics, "REGISTRY", filled(MARKETS)[0])
    monkeypatch.setattr(exposition, "STEP_SECONDS", 0.0)
    writing = asyncio.create_task(exposition.exposition())
    turns = 0
    while not writing.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(values(writing.result().decode())) == MARKETS + 1
    assert turns > MARKETS / SERIES_AT_ONCE
