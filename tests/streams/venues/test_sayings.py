"""What somebody else says is repeated in few lines, whatever it is."""

from streams.venues.sayings import MAX_TEXTS, Sayings


def test_a_text_is_due_once_in_its_time() -> None:
    """Another text has a time of its own."""
    sayings = Sayings(10)
    assert [sayings.is_due("a", 0), sayings.is_due("a", 9), sayings.is_due("b", 9)] == [True, False, True]
    assert [sayings.is_due("a", 10), sayings.is_due("b", 10)] == [True, False]


def test_texts_that_are_always_new_are_not_all_said() -> None:
    """So many in the time, and then as many again; without a time, no more at all."""
    hourly, once = Sayings(3600), Sayings()
    assert sum(hourly.is_due(f"at {second}", second) for second in range(3600)) == MAX_TEXTS
    assert hourly.is_due("later", 3700)
    assert sum(once.is_due(f"at {second}", second) for second in range(10_000)) == MAX_TEXTS
