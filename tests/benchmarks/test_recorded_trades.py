"""What the benchmark of recordings plays is a recording, in each of its forms."""

from pathlib import Path

import pytest

from streams.model.plain_trades import PlainTrades
from tests.benchmarks.recorded_trades import FORMS, IN_ONE_FILE, write
from tests.streams.venues.recording.playing import recording


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_is_read_whole_and_in_columns(form: str, tmp_path: Path) -> None:
    """Of two markets, those forms that name theirs in one file."""
    markets = 2 if form in IN_ONE_FILE else 1
    feed = recording(*write(tmp_path, form, 500, markets, rate=10))
    batches = [batch async for batch in feed.batches()]
    trades = [trade for batch in batches for trade in batch.trades]
    assert all(isinstance(batch.trades, PlainTrades) and not batch.rejects for batch in batches)
    assert (len(trades), len({trade.symbol for trade in trades})) == (500, markets)
