"""How long panes are kept, and how many chunks hold them."""

import pytest

from tables.market.chunk import CHUNK_PANES
from tables.market.span import Span


@pytest.mark.parametrize(("window", "retention", "slack"), [(1, 1, 0), (300, 4200, 3600), (86_400, 90_000, 3600)])
def test_the_ring_has_room_for_what_is_kept_and_the_slack(window: int, retention: int, slack: int) -> None:
    """Wherever the panes begin in their chunks."""
    span = Span(window, retention, slack)
    for oldest in range(CHUNK_PANES):
        newest = oldest + retention + slack - 1
        assert newest // CHUNK_PANES - oldest // CHUNK_PANES + 1 <= span.slots
