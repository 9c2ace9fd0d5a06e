"""Markets whose owner does not answer, from the live windows that it left in Redis (see docs/redis.md)."""

import asyncio
import logging
import math
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import msgspec

from streams import keys
from streams.errors import UNREADABLE
from streams.model.figures import FIGURES
from streams.model.kinds import MarketKind, implied_kind
from streams.redis_link import RedisLink, Script
from tables.market.limits import MOST_MARKETS
from tables.market.panes import PANE_SECONDS
from tables.market.values import FIGURE_NAMES, figures_from
from tables.serving import LatestAlert, ServedMarkets, Standing
from tables.web.api.rows import MarketRow, WindowRow
from tables.web.cluster.judging import judged, judgements_of
from tables.web.cluster.replicas import NONSENSE

log = logging.getLogger(__name__)

# One answer is then 75 KB, read in about half a millisecond.
MARKETS_A_CALL: Final = 25

# Both answer JSON, which is read many times faster than Redis's own replies.
LIST: Final = Script("return cjson.encode(redis.call('ZRANGE', KEYS[1], 0, ARGV[1]))")
READ: Final = Script("""
local found = {}
for _, key in ipairs(KEYS) do
  local hash = redis.call('HGETALL', key)
  if #hash > 0 then table.insert(found, cjson.encode(hash)) end
end
return found
""")


_RULES_PANE: Final = re.compile(r"alert\..+\.pane").fullmatch


class Copy(msgspec.Struct, frozen=True):
    """A market as its owner last wrote it to Redis. Times are unix seconds.

    ``windows`` are those of its owner by their length in seconds, shortest first, each as in a market's row.
    ``standing`` is None where an earlier release wrote the copy: it does not say by which rules.
    """

    venue: str
    symbol: str
    owner: str
    partition: int
    offset: int
    watermark: int
    updated_at: float
    received_at: float | None
    alerts: dict[str, LatestAlert]
    windows: dict[int, list[float | None]]
    kind: MarketKind
    standing: Standing | None
    covered_since: int | None
    missing_trades: list[int] | None


class Copies:
    """Reads the copies and makes rows of them. Without a Redis there are none."""

    def __init__(self, link: RedisLink | None, served: ServedMarkets) -> None:
        self._link = link
        self._served = served
        self._is_refused_said = False
        # Concurrent calls would compete with each other and with the writer for the link's connections.
        self._one_at_a_time = asyncio.Lock()

    @property
    def is_configured(self) -> bool:
        """Whether there is a Redis to read from."""
        return self._link is not None

    @property
    def available(self) -> bool:
        """Whether it answered fast the last time it was asked."""
        return self._link is not None and self._link.available

    async def read(self, partition: int) -> AsyncIterator[list[Copy]]:
        """Yield the markets of a partition, some at a time; those that cannot be read are left out.

        Raises :class:`Outage` when Redis does not answer within its deadline, at once while it is left alone.
        """
        if self._link is None:
            return
        async with self._one_at_a_time:
            found = _decoded(await self._link.call(LIST, [keys.windows_of(partition)], [MOST_MARKETS - 1]))
        for start in range(0, len(found), MARKETS_A_CALL):
            async with self._one_at_a_time:
                answer = await self._link.call(READ, found[start : start + MARKETS_A_CALL], [])
            copies = [self._copy(_decoded(one)) for one in answer] if isinstance(answer, list) else []
            yield [copy for copy in copies if copy is not None and copy.partition == partition]

    def _copy(self, pairs: list[str]) -> Copy | None:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=False))
        try:
            return Copy(
                venue=fields["venue"],
                symbol=fields["symbol"],
                owner=fields["owner"],
                partition=int(fields["partition"]),
                offset=int(fields["offset"]),
                watermark=int(fields["watermark"]),
                updated_at=_finite(fields["updated_at"]),
                received_at=_finite(fields["received_at"]) if "received_at" in fields else None,
                alerts=_latest_alerts(fields),
                windows={seconds: _figures(fields, seconds) for seconds in _lengths(fields)},
                kind=_kind(fields),
                standing=msgspec.json.decode(fields["rules"], type=Standing) if "rules" in fields else None,
                covered_since=int(fields["covered_since"]) if "covered_since" in fields else None,
                missing_trades=_missing(fields),
            )
        except (KeyError, ValueError, *UNREADABLE) as error:
            if not self._is_refused_said:
                self._is_refused_said = True
                log.warning("a live window in Redis cannot be read (%r); such markets are left out", error)
            return None

    def age_seconds(self, copy: Copy) -> float:
        """Return the time since a copy was written."""
        return max(0.0, round(self._served.now() - copy.updated_at, 3))

    def window_rows(self, copy: Copy) -> Iterator[WindowRow]:
        """Yield every window of a market."""
        end = copy.watermark + PANE_SECONDS
        received = copy.received_at
        standing, now = self._standing(copy), self._served.now()
        missing: Sequence[int | None] = copy.missing_trades or [None] * len(copy.windows)
        for (seconds, figures), lacking in zip(copy.windows.items(), missing, strict=True):
            of_rules = seconds == standing.window_seconds
            yield WindowRow(
                venue=copy.venue,
                symbol=copy.symbol,
                window_seconds=seconds,
                window_start=end - seconds,
                window_end=end,
                owner=copy.owner,
                partition=copy.partition,
                source="redis",
                age_seconds=None if received is None else max(0.0, round(now - received, 3)),
                copy_age_seconds=self.age_seconds(copy),
                judgements=judgements_of(standing.rules, standing.measured, copy.alerts, seconds) if of_rules else [],
                covered_since=copy.covered_since,
                missing_trades=lacking,
                **dict(zip(FIGURE_NAMES, figures, strict=True)),
            )

    def _standing(self, copy: Copy) -> Standing:
        """Return the rules of a copy's owner. Where it does not say them, return this worker's."""
        if copy.standing is not None:
            return copy.standing
        served = self._served
        rule_window = copy.windows.get(served.rule_window)
        measured = {} if rule_window is None else served.measured(copy, figures_from(rule_window))
        return Standing(served.rules_of(copy), measured, served.rule_window)

    def market_row(self, copy: Copy) -> MarketRow:
        """Return a market with all its windows."""
        standing = self._standing(copy)
        found = judged(standing.rules, standing.measured, copy.alerts, standing.window_seconds)
        return MarketRow(
            venue=copy.venue,
            symbol=copy.symbol,
            owner=copy.owner,
            partition=copy.partition,
            offset=copy.offset,
            received=copy.received_at,
            pane=copy.watermark,
            rule=found.rule,
            threshold_usd=found.threshold_usd,
            amount_usd=found.amount_usd,
            latest_alert=found.latest_alert,
            windows=[*copy.windows.values()],
            copied=copy.updated_at,
            window_seconds=tuple(copy.windows),
            judgements=found.judgements,
            covered_since=copy.covered_since,
            missing_trades=copy.missing_trades,
        )


def _missing(fields: dict[str, str]) -> list[int] | None:
    if "missing_trades" not in fields:
        return None
    missing = msgspec.json.decode(fields["missing_trades"], type=list[int])
    if len(missing) != len(_lengths(fields)):
        raise ValueError(f"missing_trades has {len(missing)} windows, its market {len(_lengths(fields))}")
    return missing


def _kind(fields: dict[str, str]) -> MarketKind:
    if "kind" not in fields:
        return implied_kind(fields["symbol"])
    return msgspec.json.decode(fields["kind"], type=MarketKind)


def _lengths(fields: dict[str, str]) -> list[int]:
    """Return the lengths of the windows that a market's owner wrote, shortest first."""
    return sorted(int(name.removesuffix(".count")) for name in fields if name.endswith(".count"))


def _figures(fields: dict[str, str], seconds: int) -> list[float | None]:
    """Return a window's figures; null for what joined after its owner's release."""
    values: list[float | None] = []
    for figure in FIGURES:
        text = fields.get(f"{seconds}.{figure.name}") if figure.is_later else fields[f"{seconds}.{figure.name}"]
        values.append(None if text is None else int(text) if figure.type.json is int else _finite(text))
    return values


def _latest_alerts(fields: dict[str, str]) -> dict[str, LatestAlert]:
    """Return the latest alert of each rule. Raises :class:`KeyError` or :class:`ValueError` for what makes no sense."""
    prefixes = {name[len("alert.") : -len(".pane")]: name[: -len("pane")] for name in fields if _RULES_PANE(name)}
    if "alert_pane" in fields:
        prefixes[fields["alert_rule"]] = "alert_"
    return {
        rule: LatestAlert(
            rule=rule,
            pane=int(fields[f"{prefix}pane"]),
            severity=fields[f"{prefix}severity"],
            episode=int(fields[f"{prefix}episode"]),
            open=fields[f"{prefix}open"] == "1",
            retracted=fields.get(f"{prefix}retracted") == "1",
        )
        for rule, prefix in prefixes.items()
    }


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _decoded(answer: bytes | str) -> list[str]:
    """Return the strings of a JSON list; none where it is no such list (an empty table in Lua is ``{}``)."""
    try:
        return msgspec.json.decode(answer, type=list[str])
    except (*NONSENSE, TypeError):
        return []
