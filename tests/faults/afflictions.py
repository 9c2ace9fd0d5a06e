"""Everything that may befall a running stack, by the part that suffers it, for schedules made at random.

Each affliction leaves the stack as it found it and says what it did. A fault that fell beside the run shows nothing, so
it raises :class:`AssertionError` or :class:`TimeoutError` where it met nobody.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import islice

import redis

from streams.publish.publisher import Outgoing
from tests.discord_server import Behaviour, accepted_then_dropped, rate_limited, webhook_gone
from tests.faults.feed import messages_of
from tests.faults.poison import BAD_ROWS
from tests.faults.processes import Process
from tests.faults.world import World, both_hear, increased
from tests.machine import until_stopped
from tests.recordings import START, Tape, reordered, with_late

Affliction = Callable[[World], Awaitable[str]]

FULL = "No space left on device"
GONE = "the Discord webhook is gone"
REPLACED = "the broker was replaced"
# Less than panes are kept: the market that these trades come to never moves on.
LATE_SECONDS = 3500
LATE_TRADES_A_FRAME = 10


async def the_broker_is_absent_at_the_start(world: World) -> str:
    """Everybody is started before it, waits, and says for what; what producers hear meanwhile is kept."""
    stack = world.stack
    everybody = (*stack.workers, *stack.producers)
    async with world.broker_away:
        await stack.keep_broker_away()
        for process in everybody:
            process.start()
        # Whoever comes later begins with a snapshot: the topic would not have the trades in their order.
        await world.exchange.heard_by(len(stack.producers))
        async with world.exchange:
            seconds = await world.some_time(1, 20)
            await world.met(lambda: all(stack.broker_address in it.log_text() for it in everybody), "words")
            for process in everybody:
                assert process.running, process.tail()
                assert not await asyncio.to_thread(process.ready), f"{process.name} is ready without a broker"
            await stack.start_kafka()
            await world.exchange.finish()
    ready = await stack.ready(*everybody)
    return f"broker absent for {seconds:.0f} s, all ready {ready:.0f} s after what was heard meanwhile was published"


async def a_worker_is_killed(world: World) -> str:
    """Any of them, at any moment; it is started again at once, or when others have its partitions."""
    await world.some_time(0, 1)
    victim = world.someone(world.stack.workers)
    victim.kill()
    seconds = await world.some_time(0, 15)
    victim.start()
    return f"{victim.name} killed, started again after {seconds:.0f} s"


async def all_workers_are_killed(world: World) -> str:
    """Half of the times what they kept on disk is deleted."""
    assert any(worker.running for worker in world.stack.workers)
    for worker in world.stack.workers:
        worker.kill()
    await world.some_time(0, 2)
    deleted = world.random.random() < 0.5
    for worker in world.stack.workers:
        if deleted:
            world.stack.delete_data(worker)
        worker.start()
    return f"all workers killed{', directories deleted' if deleted else ''}"


async def a_worker_freezes(world: World) -> str:
    """For less or more than the broker waits for a sign of life."""
    await world.some_time(0, 1)
    victim = world.someone(world.stack.workers)
    return f"{victim.name} frozen for {await _frozen(world, victim, 2, 70):.0f} s"


async def _frozen(world: World, victim: Process, least: float, most: float) -> float:
    """Freeze a process, see that it stands still to the end while trades flow, and return for how many seconds."""
    victim.freeze()
    try:
        seconds = await world.some_time(least, most)
        until_stopped(victim.pid)
    finally:
        victim.resume()
    return seconds


async def workers_restart_in_turn(world: World) -> str:
    """In good order, one every 5 s."""
    stopped = 0
    for worker in world.stack.workers:
        if worker.running:
            await asyncio.gather(asyncio.to_thread(worker.stop), world.some_time(5, 5))
            stopped += 1
        if not worker.running:
            worker.start()
    assert stopped
    return f"{stopped} workers restarted in turn"


async def a_disk_is_full(world: World) -> str:
    """The first worker's; it ends, and is started again once there is room."""
    worker = world.stack.workers[0]
    assert world.disk is not None
    await world.met(lambda: worker.running, "the worker to be started again")
    starts, said = worker.starts, _said([worker], FULL)

    def ended() -> bool:
        return _said([worker], FULL) > said and (worker.starts > starts or not worker.running)

    world.disk.fill()
    try:
        # What a worker writes goes to the broker first, and not to the disk before.
        await world.broker_serves()
        await world.met(ended, "the worker to end on its full disk")
    finally:
        world.disk.free()
    return f"{worker.name}'s disk full"


async def the_webhook_is_gone(world: World) -> str:
    """404; whoever met it is restarted with a webhook that works."""
    discord, workers = world.stack.discord, world.stack.workers
    asked, said = len(discord.requests), _said(workers, GONE)
    discord.always = webhook_gone()
    try:
        await world.met_by_alerts(lambda: _said(workers, GONE) > said, "somebody to find the webhook gone")
    finally:
        discord.always = None
    for worker in workers:
        if worker.running and _said([worker], GONE):
            await asyncio.to_thread(worker.stop)
            worker.start()
    return f"webhook gone, {len(discord.requests) - asked} requests"


def _said(processes: list[Process], words: str) -> int:
    """How often they have logged something."""
    return sum(process.log_text().count(words) for process in processes)


async def a_producer_is_killed(world: World) -> str:
    """The other one has heard everything; it may be next when this one has too."""
    await world.some_time(0, 1)
    victim = world.someone(world.stack.producers)
    victim.kill()
    seconds = await world.some_time(1, 10)
    victim.start()
    await both_hear(world)
    return f"{victim.name} killed for {seconds:.0f} s"


async def a_producer_freezes(world: World) -> str:
    """It wakes with old trades."""
    victim = world.someone(world.stack.producers)
    seconds = await _frozen(world, victim, 2, 15)
    await both_hear(world)
    return f"{victim.name} frozen for {seconds:.0f} s"


async def a_socket_breaks(world: World) -> str:
    """One producer's connections to Kraken: reset again and again, or silent until it takes them for dead."""
    number = world.random.randrange(len(world.stack.to_kraken))
    proxy, silent = world.stack.to_kraken[number], world.random.random() < 0.5
    fault = "hold" if silent else "reset"
    struck = proxy.struck[fault]
    if silent:
        proxy.hold()
        await world.some_time(5, 20)
    else:
        for _ in range(world.random.randint(1, 4)):
            proxy.reset()
            await world.some_time(0.5, 3)
    await proxy.heal()
    assert proxy.struck[fault] > struck
    await both_hear(world)
    return f"sockets of producer{number + 1} {'silent' if silent else 'reset'}"


async def kraken_repeats_and_reorders(world: World) -> str:
    """Each message twice, the rows of a message backwards."""
    faults, exchange, producers = world.stack.kraken.faults, world.exchange, world.stack.producers
    heard = await asyncio.to_thread(_heard, producers)
    before, bundles = exchange.rows, exchange.bundles
    faults.duplicates = faults.reorders = True
    try:
        seconds = await world.some_time(3, 10)
    finally:
        faults.duplicates = faults.reorders = False
    twice, bundles = exchange.rows - before, exchange.bundles - bundles
    assert bundles, "nothing could be reordered"

    def repeated() -> bool:
        # Some trades are always on their way, both now and when it began.
        least = exchange.rows - before + twice / 2
        return all(now - then >= least for now, then in zip(_heard(producers), heard, strict=True))

    await world.met(repeated, f"both producers to hear {twice} trades twice")
    return f"trades twice and {bundles} messages backwards for {seconds:.0f} s"


def _heard(producers: list[Process]) -> list[float]:
    """How many trades each producer has published or left out. Blocks."""
    return [sum(map(producer.metric, ("liqmon_trades_total", "liqmon_skipped_total"))) for producer in producers]


async def the_broker_is_away(world: World) -> str:
    """Stopped in good order, killed, or frozen."""
    kafka = world.stack.kafka
    assert kafka is not None
    how = world.random.choice(("stopped", "killed", "frozen"))
    async with world.broker_away:
        if how == "frozen":
            kafka.freeze()
            try:
                seconds = await world.some_time(2, 30)
                assert not await asyncio.to_thread(kafka._serves)
            finally:
                kafka.resume()
        else:
            await asyncio.to_thread(kafka.stop if how == "stopped" else kafka.kill)
            seconds = await world.some_time(1, 60)
            assert not await asyncio.to_thread(kafka._serves)
            await world.stack.start_kafka()
    return f"broker {how} for {seconds:.0f} s"


async def the_broker_is_slow(world: World) -> str:
    """Every piece takes up to a fifth of a second, now and then connections are reset."""
    proxy, resets = world.stack.to_kafka, 0
    struck = proxy.struck["delay"]
    proxy.delay(world.random.uniform(0.02, 0.2))
    for _ in range(3):
        await world.some_time(1, 4)
        if world.random.random() < 0.5:
            resets += proxy.reset()
    await proxy.heal()
    assert proxy.struck["delay"] > struck
    return f"broker slow, {resets} connections reset"


async def the_broker_is_replaced(world: World) -> str:
    """By an empty one, at rest: what it had not handed on would be lost with it. Workers notice and start again."""
    stack = world.stack
    starts, said = {worker.name: worker.starts for worker in stack.workers}, _said(stack.workers, REPLACED)
    await stack.replace_kafka()
    await world.met(lambda: all(worker.starts > starts[worker.name] for worker in stack.workers), "workers to notice")
    await stack.ready(*stack.workers, *stack.producers)
    assert _said(stack.workers, REPLACED) > said
    world.poisoned.clear()
    return "broker replaced by an empty one"


async def redis_fails(world: World) -> str:
    """Refused, a black hole, 5 s slow, emptied, or gone with all it held."""
    stack = world.stack
    how = world.random.choice(("refused", "silent", "slow", "emptied", "replaced"))
    met = increased(stack.producers, "liqmon_redis_unavailable_seconds_total")
    if how == "refused":
        await stack.to_redis.refuse()
    elif how == "silent":
        stack.to_redis.swallow()
    elif how == "slow":
        stack.to_redis.delay(5)
    elif how == "emptied":
        with redis.Redis(port=stack.redis.port) as marks:
            await world.met(lambda: bool(marks.dbsize()), "Redis to hold something")
            before, _, after = marks.pipeline().dbsize().flushall().dbsize().execute()
            assert before > after == 0
    else:
        await asyncio.to_thread(stack.redis.stop)
    seconds = await world.some_time(1, 10)
    if how != "emptied":
        await world.met(met, "producers to miss Redis")
    if how == "replaced":
        stack.start_redis()
    await stack.to_redis.heal()
    return f"Redis {how} for {seconds:.0f} s"


async def postgres_is_stopped(world: World) -> str:
    """Alerts wait."""
    await asyncio.to_thread(world.stack.postgres.stop)
    seconds = await world.some_time(1, 60)
    retried = increased(world.stack.workers, "liqmon_sink_retries_total", sink="postgres")
    await world.met_by_alerts(retried, "a worker to miss Postgres")
    world.stack.start_postgres()
    return f"Postgres stopped for {seconds:.0f} s"


async def postgres_is_cut(world: World) -> str:
    """In the middle of statements about alerts, before or after they arrived."""
    proxy, struck = world.stack.to_postgres, world.stack.to_postgres.struck["cut_at"]
    venue = world.stack.script.venues[world.random.randrange(2)].encode()
    proxy.cut_at(venue, delivered=world.random.random() < 0.5, times=world.random.randint(1, 8))
    await world.met_by_alerts(lambda: proxy.struck["cut_at"] > struck, "a statement to be cut")
    await world.some_time(1, 8)
    await proxy.heal()
    return f"{proxy.struck['cut_at'] - struck} statements cut"


async def discord_misbehaves(world: World) -> str:
    """429, 500, an answer that never comes, or connections refused."""
    stack = world.stack
    how = world.random.choice(("429", "500", "dropped", "refused"))
    if how == "refused":
        await stack.to_discord.refuse()
        try:
            await world.met_by_alerts(increased(stack.workers, "liqmon_sink_retries_total", sink="discord"), "refusals")
        finally:
            await stack.to_discord.heal()
        return "Discord refused"
    kinds = {"429": rate_limited(0.5), "500": Behaviour(status=500), "dropped": accepted_then_dropped()}
    stack.discord.script.extend([kinds[how]] * world.random.randint(1, 5))
    await world.met_by_alerts(lambda: not stack.discord.script, "Discord to be asked")
    return f"Discord {how}"


async def malformed_messages_come(world: World) -> str:
    """Some kinds; each comes up before any comes again."""
    doses = list(islice(world.poison, 8))
    now_ms = time.time_ns() // 1_000_000
    for number, dose in enumerate(doses):
        world.stack.sent += dose.good
        key = BAD_ROWS if dose.good else ("BTC/USD", "ETH/USD", "SOL/USD")[number % 3]
        world.publisher.put(Outgoing(dose.topic, key, dose.value, now_ms, 1, "poison"))
        world.poisoned.append(dose)
        await world.some_time(0.1, 0.5)
    return f"{len(doses)} malformed messages"


async def late_trades_come(world: World) -> str:
    """Older than the oldest pane that any market keeps."""
    seed = world.random.randrange(2**20)
    spot, _ = world.stack.script.venues
    tape = Tape(seed, "BTC/USD", venue=spot, start=START - 20_000, price="2500", tick="0.01", lot="0.0001")
    tape._next_id = 3_000_000_000 + seed * 1000
    trades = tape.calm(20).trades
    world.stack.sent += trades
    for message in messages_of(trades):
        world.publisher.put(message)
    await world.some_time(0.1, 1)
    return f"{len(trades)} trades too late"


async def late_trades_come_that_are_kept(world: World) -> str:
    """To a market of their own, too small to alert in any order: windows that were counted are corrected."""
    seed, late = world.random.randrange(2**20), world.random.randrange(60, LATE_SECONDS)
    spot, _ = world.stack.script.venues
    start = START + LATE_SECONDS
    tape = Tape(seed, "LTC/USD", venue=spot, start=start, price="80", tick="0.01", lot="0.0001", size_usd=5)
    # Below the ids of what comes late.
    tape._next_id = seed * 1000
    trades = with_late(reordered(tape.calm(60).trades, seed), seed, late_seconds=late, every=2)
    for at in range(0, len(trades), LATE_TRADES_A_FRAME):
        part = trades[at : at + LATE_TRADES_A_FRAME]
        world.stack.sent += part
        for message in messages_of(part):
            world.publisher.put(message)
        await world.some_time(0.05, 0.2)
    return f"{len(trades) // 3} of {len(trades)} trades {late} s late"


GROUPS: dict[str, tuple[Affliction, ...]] = {
    "workers": (
        a_worker_is_killed,
        a_worker_is_killed,
        all_workers_are_killed,
        a_worker_freezes,
        a_worker_freezes,
        workers_restart_in_turn,
        a_disk_is_full,
        the_webhook_is_gone,
    ),
    "producers": (
        a_producer_is_killed,
        a_producer_is_killed,
        a_producer_freezes,
        a_socket_breaks,
        kraken_repeats_and_reorders,
    ),
    "broker": (the_broker_is_away, the_broker_is_slow),
    "redis": (redis_fails,),
    "postgres": (postgres_is_stopped, postgres_is_cut),
    "discord": (discord_misbehaves,),
    "trades": (malformed_messages_come, late_trades_come, late_trades_come_that_are_kept),
}
"""Afflictions by who suffers; those of a group do not overlap."""

APART = (frozenset({"producers", "broker"}),)
"""Groups that do not overlap either: a producer that is killed while the broker is away loses what it alone heard."""
