"""Live windows in Redis, for any reader: each market has a hash with the latest figures of its windows.

They are a copy, written a few times a second where something changed. Without Redis only they are missing.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from streams import keys
from streams.errors import Outage
from streams.model.kinds import kind_to_name
from streams.redis_link import RedisLink, Script
from streams.secured import redis_files
from streams.settings import Settings
from streams.tasks import cancelled
from streams.unexpected import say_once
from tables.market.rolling import Rolling
from tables.market.values import FIGURE_NAMES, figure_values
from tables.serving import LatestAlert, ServedMarkets, ShownRule, main_rule

log = logging.getLogger(__name__)

# Four times a second looks like at once to a person, and a busy market trades more often than that.
WRITE_SECONDS: Final = 0.25
TOUCH_SECONDS: Final = 20.0
"""How often a market is written that has not changed, so that it outlives :data:`streams.keys.WINDOW_SECONDS`."""

RETRY_SECONDS: Final = 3.0
"""How long after an error that is no outage: it may come again with each write."""

# Of each quarter of a second; what does not fit has its turn in the next. The stream comes first.
BUDGET_SECONDS: Final = 0.005
MAX_MARKETS_A_WRITE: Final = 200
# A write that takes longer than the pause between two would make the next one late.
DEADLINE_SECONDS: Final = 0.25

# KEYS: one per market. ARGV: lifetime in seconds, the time, what the keys of the partitions' lists begin with. Then for
# each market: its partition, its offset, the number of arguments that follow, and those: fields and values. An owner
# that was frozen while its partition moved knows less than what is there, and its offset says so.
WRITE: Final = Script("""
local at = 4
local lists = {}
for _, key in ipairs(KEYS) do
  local partition, offset, last = ARGV[at], tonumber(ARGV[at + 1]), at + 2 + ARGV[at + 2]
  local stored = redis.call('HMGET', key, 'partition', 'offset')
  if stored[1] ~= partition or tonumber(stored[2]) <= offset then
    redis.call('DEL', key)
    redis.call('HSET', key, 'partition', partition, 'offset', offset, unpack(ARGV, at + 3, last))
    redis.call('EXPIRE', key, ARGV[1])
    redis.call('ZADD', ARGV[3] .. partition, ARGV[2], key)
    lists[ARGV[3] .. partition] = true
  end
  at = last + 1
end
for list, _ in pairs(lists) do
  redis.call('ZREMRANGEBYSCORE', list, '-inf', ARGV[2] - ARGV[1])
  redis.call('EXPIRE', list, ARGV[1])
end
""")


def live_link(settings: Settings) -> RedisLink | None:
    """Return the Redis that live windows are written to and read from; None without REDIS_URL."""
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    return RedisLink(url, redis_files(settings), deadline_seconds=DEADLINE_SECONDS, without="live windows")


class LiveWindows:
    """Writes the windows of the markets that this worker serves. Without a Redis it does nothing."""

    def __init__(self, link: RedisLink | None, served: ServedMarkets) -> None:
        self._served = served
        self._link = link
        self._task: asyncio.Task[None] | None = None
        self._written: dict[Rolling, tuple[int, float]] = {}

    async def start(self) -> None:
        """Begin to write, in the background."""
        if self._link is not None:
            self._served.is_kept = True
            await self._link.open(wait_seconds=0)
            self._task = asyncio.create_task(self._run(self._link))

    async def stop(self) -> None:
        """Stop writing."""
        if self._task is not None:
            await cancelled(self._task)
        if self._link is not None:
            await self._link.close()

    async def _run(self, link: RedisLink) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            if not link.available:
                continue
            try:
                await self._served.load()
                await self._write(link)
            except Outage:
                continue
            except Exception as error:  # noqa: BLE001 - a copy is no reason to end, or to stop trying
                say_once(log, "live windows", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _write(self, link: RedisLink) -> None:
        """Write the markets whose turn it is. Raises :class:`Outage`; they are written again when it is over."""
        now = time.monotonic()
        market_keys: list[str] = []
        arguments: list[str | float] = [keys.WINDOW_SECONDS, f"{self._served.now():.3f}", keys.windows_of("")]
        taken: dict[Rolling, tuple[int, float]] = {}
        due = self._due(now)
        began = time.perf_counter()
        for partition, rolling in due:
            fields = self._fields(rolling)
            market_keys.append(keys.window(rolling.market.venue, rolling.market.symbol))
            arguments += (partition, rolling.market.offset, len(fields), *fields)
            taken[rolling] = (rolling.version, now)
            if time.perf_counter() - began > BUDGET_SECONDS or len(taken) == MAX_MARKETS_A_WRITE:
                break
        if taken:
            await link.call(WRITE, market_keys, arguments)
            self._written |= taken

    def _due(self, now: float) -> Iterable[tuple[int, Rolling]]:
        """Return the markets that changed or were not written for long, those first that have waited longest."""
        rollings = self._served.rollings()
        known = self._written
        self._written = {rolling: known[rolling] for _, rolling in rollings if rolling in known}
        never = (-1, 0.0)
        due = []
        for partition, rolling in rollings:
            rolling.poll()
            version, written_at = self._written.get(rolling, never)
            if version != rolling.version or now - written_at > TOUCH_SECONDS:
                due.append((written_at, partition, rolling))
        return [(partition, rolling) for _, partition, rolling in sorted(due, key=lambda one: one[0])]

    def _fields(self, rolling: Rolling) -> list[str | float]:
        """Return fields and values in turn, as docs/redis.md describes them."""
        market, served = rolling.market, self._served
        fields: list[str | float] = ["venue", market.venue, "symbol", market.symbol, "owner", served.owner]
        fields += ("updated_at", f"{served.now():.3f}", "watermark", market.watermark)
        if (kind := kind_to_name(market.symbol, market.kind)) is not None:
            fields += ("kind", msgspec.json.encode(kind).decode())
        if market.received_us:
            fields += ("received_at", f"{market.received_us / 1e6:.3f}")
        figures = rolling.figures()
        last_price = next((one.last_price for one in figures if one.count), None)
        if last_price is not None:
            fields += ("last_price", repr(last_price))
        if market.covered_since is not None:
            fields += ("covered_since", market.covered_since)
        if (missing := served.missing(rolling)) is not None:
            fields += ("missing_trades", msgspec.json.encode(missing).decode())
        fields += ("rules", msgspec.json.encode(served.standing(market, figures)).decode())
        fields += _alert_fields(served.latest_alerts(market), main_rule(served.rules_of(market)))
        for seconds, one in zip(served.windows, figures, strict=True):
            for name, value in zip(FIGURE_NAMES, figure_values(one), strict=True):
                fields += (f"{seconds}.{name}", repr(value))
        return fields


def _alert_fields(alerts: Mapping[str, LatestAlert], main: ShownRule | None) -> Iterator[str | int]:
    """Yield fields and values of each rule's latest alert; those of the main rule have names of their own."""
    for rule, alert in alerts.items():
        prefix = f"alert.{rule}."
        if main is not None and rule == main.name:
            prefix = "alert_"
            yield from ("alert_rule", rule)
        yield from (f"{prefix}pane", alert.pane, f"{prefix}severity", alert.severity)
        yield from (f"{prefix}episode", alert.episode, f"{prefix}open", int(alert.open))
        if alert.retracted:
            yield from (f"{prefix}retracted", 1)
