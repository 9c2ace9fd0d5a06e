"""A worker that has just taken partitions over: what its answers lack meanwhile, they say."""

import asyncio
from pathlib import Path

from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.valkey import EmbeddedRedis
from tests.conftest import new_database
from tests.faults.proxy import Proxy
from tests.oracle import Oracle
from tests.recordings import SCENARIOS
from tests.view import Answer, View, ask, is_whole

SLOW_SECONDS = 0.4
WATCHED_SECONDS = 30
AT_ONCE = 3


async def test_an_answer_that_lacks_markets_says_so(
    postgres_server: EmbeddedPostgres, redis_server: EmbeddedRedis, redis_url: str, tmp_path: Path
) -> None:
    """From the start on, by several who ask at once, while the table store takes longer to read than an answer may."""
    trades = SCENARIOS["several markets"](3)
    wanted = set(Oracle(trades).markets())
    async with Proxy(redis_server.port) as to_tables:
        with View(tmp_path, new_database(postgres_server), TABLE_STORE=f"redis://{to_tables.address}/0") as view:
            worker = view.worker("worker").start()
            await asyncio.to_thread(worker.wait_ready)
            await asyncio.to_thread(view.publish, trades)
            await asyncio.to_thread(view.settle, [worker], len(trades))
            await asyncio.to_thread(worker.stop_well)

            def answers() -> Answer | None:
                try:
                    return ask(worker.port, "/api/windows")
                except OSError:
                    return None

            async def watch() -> list[Answer]:
                heard: list[Answer] = []
                while not (heard and is_whole(heard[-1])):
                    if (answer := await asyncio.to_thread(answers)) is not None:
                        heard.append(answer)
                return heard

            to_tables.delay(SLOW_SECONDS)
            worker.start()
            async with asyncio.timeout(WATCHED_SECONDS):
                heard = [answer for each in await asyncio.gather(*(watch() for _ in range(AT_ONCE))) for answer in each]
    assert {answer.status for answer in heard} == {200}
    lacking = [answer for answer in heard if {(row["venue"], row["symbol"]) for row in answer.json} != wanted]
    assert not [answer.json for answer in lacking if is_whole(answer)]
    assert any(answer.json for answer in lacking), "it must have been asked while it had some markets"
