"""A worker's counting in this process: no broker, no Faust, and what is stored stays in memory."""

import time
from collections.abc import Coroutine, Sequence

from agents.counting.monitor import Monitor, SourceMessage, alert_record
from agents.counting.row_batches import RowBatches
from agents.counting.row_evaluation import RowEvaluator
from agents.counting.source_rows import SourceRows
from agents.rules.book import rule_book
from streams.kafka.outbound import Outbound
from streams.settings import load_settings
from streams.venues.json_rows import RowReader
from streams.venues.plain_rows import PlainReader
from streams.venues.registry import make_venues
from tables.keeper import Keeper
from tables.market.admission import Admission
from tables.market.span import Span
from tests.memory_broker import MemoryBroker, MemoryState

MOST_MARKETS = 100_000


class InnerWorker:
    """Counts rows of one partition as a worker does, under the default settings."""

    def __init__(self) -> None:
        settings = load_settings()
        venues, outbound, state = make_venues(settings), Outbound(MemoryBroker().send), MemoryState()
        span = Span(settings.window_seconds, settings.retention_seconds)
        evaluator = RowEvaluator(rule_book(settings), window=span.window, cooldown=300, max_future_us=60_000_000)
        self.keeper = Keeper(
            lambda: state,
            "changelog",
            span,
            outbound,
            evaluator.settle_all,
            alert_record,
            admission=Admission(most=MOST_MARKETS, new_per_minute=MOST_MARKETS),
        )
        monitor = Monitor(evaluator, self.keeper, outbound, home=lambda _: 0, rows=RowReader(venues))
        self._batches = RowBatches(monitor, evaluator, self.keeper, PlainReader(venues), may_go_on=self._goes_on)

    async def _goes_on(self) -> None:
        """Nothing ends."""

    async def handle(self, messages: Sequence[SourceMessage]) -> None:
        """Count rows that follow each other."""
        await self._batches.handle(SourceRows.of(messages))

    async def flush(self) -> None:
        """Make what was counted durable, as far as memory is."""
        await self.keeper.flush()


def messages_of(values: Sequence[bytes]) -> list[SourceMessage]:
    """Return these as messages of one partition that came just now."""
    now = time.time()
    return [SourceMessage(value, 0, offset, now) for offset, value in enumerate(values)]


def finish(work: Coroutine[object, object, None]) -> None:
    """Run what waits for nothing but its next turn, without the cost of a loop."""
    try:
        while work.send(None) is None:
            pass
    except StopIteration:
        return
    raise RuntimeError("it waits for something")
