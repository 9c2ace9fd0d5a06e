"""What a run sets for a recording that it plays as fast as possible."""

from streams.local.playing import SUITED, suited
from streams.settings import load_settings


def test_the_embedded_broker_gets_large_frames_and_frequent_commits() -> None:
    """Every one of them is a value that its setting may have."""
    assert suited(load_settings()) == SUITED
    load_settings(**{name.lower(): value for name, value in SUITED.items()})


def test_what_was_set_stays() -> None:
    """Of the three, those that nobody set are set."""
    assert suited(load_settings(frame_max_trades=7)).keys() == SUITED.keys() - {"FRAME_MAX_TRADES"}


def test_a_kafka_of_ones_own_is_left_alone() -> None:
    """Its producer is not paced."""
    assert suited(load_settings(kafka_bootstrap_servers="kafka:9092")) == {}
