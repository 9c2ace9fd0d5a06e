"""A commit goes as far as messages were handled in the order in which they were taken."""

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.taken import Taken

PLACE, OTHER = TP("trades", 0), TP("trades", 1)


def test_nothing_is_committed_past_a_message_that_is_not_handled() -> None:
    """And what was handled behind it is, once it is handled too."""
    taken = Taken()
    for last in (9, 10, 250_000):
        taken.took(PLACE, last)
    acked = {9, 250_000}
    assert taken.to_commit(PLACE, acked) == 10
    assert acked == {250_000}
    assert taken.to_commit(PLACE, acked) is None
    acked.add(10)
    assert taken.to_commit(PLACE, acked) == 250_001
    assert acked == set()


def test_partitions_have_accounts_of_their_own() -> None:
    taken = Taken()
    taken.took(PLACE, 5)
    taken.took(OTHER, 7)
    assert taken.to_commit(OTHER, {7}) == 8
    assert taken.to_commit(PLACE, {7}) is None


def test_what_was_taken_before_positions_changed_is_taken_again() -> None:
    """In other pieces, perhaps: an acknowledgement of before counts where a piece ends in the same place."""
    taken = Taken()
    taken.took(PLACE, 150)
    taken.forget()
    acked = {150}
    assert taken.to_commit(PLACE, acked) is None
    taken.took(PLACE, 120)
    taken.took(PLACE, 150)
    assert taken.to_commit(PLACE, acked) is None
    acked.add(120)
    assert taken.to_commit(PLACE, acked) == 151


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.data())
def test_commits_follow_the_handled_prefix(widths: list[int], data: st.DataObject) -> None:
    """Whatever the order of acknowledgements, and however often a commit asks."""
    taken, lasts, at = Taken(), list[int](), -1
    for width in widths:
        at += width
        lasts.append(at)
        taken.took(PLACE, at)
    acked, done, committed = set[int](), set[int](), 0
    for last in data.draw(st.permutations(lasts)):
        acked.add(last)
        done.add(last)
        if data.draw(st.booleans()):
            committed = taken.to_commit(PLACE, acked) or committed
            handled = next((number for number, at in enumerate(lasts) if at not in done), len(lasts))
            assert committed == (lasts[handled - 1] + 1 if handled else 0)
    assert (taken.to_commit(PLACE, acked) or committed) == lasts[-1] + 1
    assert acked == set()
