"""What comes while something is handled is handled together afterwards, in order, and never too much of it."""

import asyncio
from collections.abc import Sequence

from streams.worker.together import Together
from tests.waiting import until


class Handler:
    """Handles items when it is let; ``rounds`` are what it was given at once."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.may_end = asyncio.Event()

    async def handle(self, items: Sequence[int]) -> None:
        """Take items and wait to be let go."""
        self.rounds.append(list(items))
        await self.may_end.wait()


async def test_the_first_goes_at_once_and_the_rest_together_behind_it() -> None:
    """Nothing waits for company, and nothing overtakes."""
    handler = Handler()
    together = Together(handler.handle, 10)
    await together.put(1)
    await until(lambda: handler.rounds == [[1]])
    for item in (2, 3, 4):
        await together.put(item)
    handler.may_end.set()
    await until(lambda: handler.rounds == [[1], [2, 3, 4]])
    await together.put(5)
    await until(lambda: handler.rounds == [[1], [2, 3, 4], [5]])


async def test_who_brings_more_than_may_wait_is_kept_waiting() -> None:
    """Items under way count too, so that no round is larger than the bound."""
    handler = Handler()
    together = Together(handler.handle, 3)
    for item in (1, 2, 3):
        await together.put(item)
    fourth = asyncio.create_task(together.put(4))
    await until(lambda: handler.rounds == [[1, 2, 3]])
    assert not fourth.done()
    handler.may_end.set()
    await fourth
    await until(lambda: handler.rounds == [[1, 2, 3], [4]])
