"""Everything that may befall a running stack, by the part that suffers it, for schedules made at random.

Each affliction leaves the stack as it found it, says what it did, and raises :class:`AssertionError` where it met
nobody: a fault that fell beside the run shows nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import islice

import redis

from streams.publisher import Message
from tests.discord_server import Behaviour, accepted_then_dropped, rate_limited, webhook_gone
from tests.faults.feed import messages_of
from tests.faults.processes import Process
from tests.faults.world import World, both_hear, increased
from tests.recordings import START, Tape

Affliction = Callable[[World], Awaitable[str]]


async def a_worker_is_killed(world: World) -> str:
    """Any of them, at any moment; it is started again at once, or when others have its partitions."""
    victim = world.someone(world.stack.workers)
    await world.some_time(0, 1)
    victim.kill()
    seconds = await world.some_time(0, 15)
    victim.start()
    return f"{victim.name} killed, started again after {seconds:.0f} s"


async def all_workers_are_killed(world: World) -> str:
    """Half of the times what they kept on disk is deleted."""
    for worker in world.stack.workers:
        worker.kill()
    deleted = world.random.random() < 0.5
    for worker in world.stack.workers:
        if deleted:
            world.stack.delete_data(worker)
        worker.start()
    return f"all workers killed{', directories deleted' if deleted else ''}"


async def a_worker_freezes(world: World) -> str:
    """For less or more than the broker waits for a sign of life."""
    victim = world.someone(world.stack.workers)
    await world.some_time(0, 1)
    victim.freeze()
    try:
        seconds = await world.some_time(2, 30)
    finally:
        victim.resume()
    return f"{victim.name} frozen for {seconds:.0f} s"


async def workers_restart_in_turn(world: World) -> str:
    """In good order, one every 5 s."""
    for worker in world.stack.workers:
        if worker.running:
            await asyncio.gather(asyncio.to_thread(worker.stop), world.some_time(5, 5))
        if not worker.running:
            worker.start()
    return "workers restarted in turn"


async def a_disk_is_full(world: World) -> str:
    """The first worker's; it ends, and is started again once there is room."""
    worker = world.stack.workers[0]
    if world.disk is None or not worker.running:
        return "no disk to fill"
    starts = worker.starts
    world.disk.fill()
    try:
        await world.met(lambda: worker.starts > starts or not worker.running, "the worker to end on its full disk")
    finally:
        world.disk.free()
    return f"{worker.name}'s disk full"


async def the_webhook_is_gone(world: World) -> str:
    """404; whoever met it is restarted with a webhook that works."""
    discord, workers = world.stack.discord, world.stack.workers
    asked, said = len(discord.requests), sum(map(_gone_webhooks, workers))
    discord.always = webhook_gone()
    try:
        await world.met_by_alerts(lambda: sum(map(_gone_webhooks, workers)) > said, "somebody to find the webhook gone")
    finally:
        discord.always = None
    for worker in workers:
        if worker.running and _gone_webhooks(worker):
            await asyncio.to_thread(worker.stop)
            worker.start()
    return f"webhook gone, {len(discord.requests) - asked} requests"


def _gone_webhooks(worker: Process) -> int:
    return worker.log_text().count("the Discord webhook is gone")


async def a_producer_is_killed(world: World) -> str:
    """The other one has heard everything; it may be next when this one has too."""
    victim = world.someone(world.stack.producers)
    await world.some_time(0, 1)
    victim.kill()
    seconds = await world.some_time(1, 10)
    victim.start()
    await both_hear(world)
    return f"{victim.name} killed for {seconds:.0f} s"


async def a_producer_freezes(world: World) -> str:
    """It wakes with old trades."""
    victim = world.someone(world.stack.producers)
    victim.freeze()
    try:
        seconds = await world.some_time(2, 15)
    finally:
        victim.resume()
    await both_hear(world)
    return f"{victim.name} frozen for {seconds:.0f} s"


async def a_socket_breaks(world: World) -> str:
    """One producer's connections to Kraken: reset again and again, or silent until it takes them for dead."""
    number = world.random.randrange(len(world.stack.to_kraken))
    proxy, silent = world.stack.to_kraken[number], world.random.random() < 0.5
    if silent:
        proxy.hold()
        await world.some_time(5, 20)
    else:
        for _ in range(world.random.randint(1, 4)):
            proxy.reset()
            await world.some_time(0.5, 3)
    await proxy.heal()
    assert proxy.struck["hold" if silent else "reset"]
    await both_hear(world)
    return f"sockets of producer{number + 1} {'silent' if silent else 'reset'}"


async def kraken_repeats_and_reorders(world: World) -> str:
    """Each message twice, the rows of a message backwards."""
    faults = world.stack.kraken.faults
    faults.duplicates = faults.reorders = True
    try:
        seconds = await world.some_time(3, 10)
    finally:
        faults.duplicates = faults.reorders = False
    return f"trades twice and backwards for {seconds:.0f} s"


async def the_broker_is_away(world: World) -> str:
    """Stopped in good order, killed, or frozen."""
    kafka = world.stack.kafka
    assert kafka is not None
    how = world.random.choice(("stopped", "killed", "frozen"))
    if how == "frozen":
        kafka.freeze()
        try:
            seconds = await world.some_time(2, 30)
        finally:
            kafka.resume()
    else:
        await asyncio.to_thread(kafka.stop if how == "stopped" else kafka.kill)
        seconds = await world.some_time(1, 40)
        await world.stack.start_kafka()
    return f"broker {how} for {seconds:.0f} s"


async def the_broker_is_slow(world: World) -> str:
    """Every piece takes up to a fifth of a second, now and then connections are reset."""
    proxy = world.stack.to_kafka
    proxy.delay(world.random.uniform(0.02, 0.2))
    for _ in range(3):
        await world.some_time(1, 4)
        if world.random.random() < 0.5:
            proxy.reset()
    await proxy.heal()
    assert proxy.struck["delay"]
    return "broker slow, connections reset"


async def the_broker_is_replaced(world: World) -> str:
    """By an empty one, at rest: what it had not handed on would be lost with it. Workers notice and start again."""
    stack = world.stack
    starts = {worker.name: worker.starts for worker in stack.workers}
    await stack.replace_kafka()
    await world.met(lambda: all(worker.starts > starts[worker.name] for worker in stack.workers), "workers to notice")
    await stack.ready(*stack.workers, *stack.producers)
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
        redis.Redis(port=stack.redis.port).flushall()
    else:
        stack.redis.stop()
    seconds = await world.some_time(1, 10)
    if how != "emptied":
        await world.met(met, "producers to miss Redis")
    if how == "replaced":
        stack.start_redis()
    await stack.to_redis.heal()
    return f"Redis {how} for {seconds:.0f} s"


async def postgres_is_stopped(world: World) -> str:
    """Alerts wait."""
    world.stack.postgres.stop()
    seconds = await world.some_time(1, 40)
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
        key = "ADA/USD" if dose.good else ("BTC/USD", "ETH/USD", "SOL/USD")[number % 3]
        world.publisher.put(Message(dose.topic, key, dose.value, now_ms, 1, "poison"))
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
    return f"{len(trades)} trades too late"


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
    "trades": (malformed_messages_come, late_trades_come),
}
"""Afflictions by who suffers; those of a group do not overlap."""

APART = (frozenset({"producers", "broker"}),)
"""Groups that do not overlap either: a producer that is killed while the broker is away loses what it alone heard."""
