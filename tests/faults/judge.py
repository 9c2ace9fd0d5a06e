"""The verdict on a run: window tables, alert rows, dead letters and messages against the oracle."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec

from agents.alerts.columns import from_row
from streams.model.alert import Alert, AlertId
from streams.model.deadletters import DeadLetter
from streams.model.deadletters import decode as decode_letter
from streams.topics import ALERTS, APP_ID, DEAD_LETTERS
from tables.market.chunks import HEAD, decode_chunk, decode_head, market_of
from tables.market.span import Span
from tables.market.state import Market
from tables.stores.base import newer
from tests.faults.ledger import Entry
from tests.faults.processes import http_get
from tests.faults.stack import Stack
from tests.oracle import SEVERITIES, Figures, Oracle, OracleTrade, Terms, in_usd

CHANGELOG = f"{APP_ID}-panes-changelog"
TERMS = Terms()
WINDOWS = (60, 300, 900, 3600)
# The oracle judges this rule in the order in which trades arrive, as the program does: its rows are always exact.
IN_ORDER_OF_ARRIVAL = "price_move"
SAMPLES = 10
SERVED_SECONDS = 60
# Where a row came from is not the oracle's business.
UNJUDGED = frozenset({"received_us", "partition", "offset", "raised_offset", "covered_since"})
ROWS = "SELECT * FROM liquidation_alerts WHERE venue = ANY($1) ORDER BY venue, symbol, timestamp, rule"
OUTBOX = (
    "SELECT rule, venue, symbol, extract(epoch FROM timestamp)::bigint AS pane, state, ambiguous FROM alert_outbox"
    " WHERE venue = ANY($1)"
)


@dataclass(frozen=True)
class Verdict:
    """What an exact run held, in figures. ``extra_posts`` are messages beyond one an alert."""

    trades: int
    panes: int
    windows: int
    alerts: int
    posts: int
    extra_posts: int
    ambiguous: int
    unknown: int

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, name)} {name.replace('_', ' ')}" for name in self.__dataclass_fields__)


async def judge(
    stack: Stack,
    trades: list[OracleTrade],
    venues: Collection[str],
    *,
    disorder_seconds: int = 0,
    terms: Terms = TERMS,
    unsaid: Collection[str] = (),
) -> Verdict:
    """Compare what a drained stack holds of these venues with what the oracle makes of the trades sent there.

    Raises :class:`AssertionError` for any difference. ``disorder_seconds`` is by how much a trade may have come after
    one of a later pane; where none did, even the panes of the alerts are the oracle's. Price moves, which ``terms`` may
    ask for, are the oracle's in any case: ``trades`` must be in the order of the topic then. Of the columns ``unsaid``
    a row may say nothing: an earlier release does not know them.
    """
    oracle = Oracle(trades, terms)
    markets = restored(await stack.ledger.read(CHANGELOG), venues)
    panes, windows = check_tables(markets, oracle)
    await check_served(stack, oracle, venues)
    alerts = [from_row(row) for row in await stack.sql(ROWS, list(venues))]
    expected = oracle.alerts()
    if disorder_seconds:
        sent = [msgspec.json.decode(entry.value, type=Alert) for entry in await stack.ledger.read(ALERTS)]
        check_episodes(alerts, oracle, [alert for alert in sent if alert.venue in venues], disorder_seconds)
        exact = [alert for alert in alerts if alert.rule == IN_ORDER_OF_ARRIVAL]
        check_rows(exact, [alert for alert in expected if alert["rule"] == IN_ORDER_OF_ARRIVAL])
    else:
        check_rows(alerts, expected, unsaid)
    outbox = await stack.sql(OUTBOX, list(venues))
    posts, extra = check_messages(stack, alerts, outbox, venues)
    return Verdict(
        trades=len(trades),
        panes=panes,
        windows=windows,
        alerts=len(alerts),
        posts=posts,
        extra_posts=extra,
        ambiguous=sum(row["ambiguous"] for row in outbox),
        unknown=sum(row["state"] == "unknown" for row in outbox),
    )


def restored(changelog: list[Entry], venues: Collection[str]) -> dict[tuple[str, str], Market]:
    """Return the markets as a worker that starts anew would restore them."""
    values: dict[tuple[int, bytes], bytes] = {}
    for entry in changelog:
        if newer(values.get((entry.partition, entry.key)), entry.value):
            values[entry.partition, entry.key] = entry.value
    homes: dict[tuple[str, str], set[int]] = defaultdict(set)
    stored: dict[tuple[str, str], list[tuple[bytes, bytes]]] = defaultdict(list)
    for (partition, key), value in values.items():
        name = market_of(key)
        if name[0] in venues:
            homes[name].add(partition)
            stored[name].append((key, value))
    split = {name: partitions for name, partitions in homes.items() if len(partitions) > 1}
    assert not split, f"markets kept in several partitions: {split}"
    markets = {}
    for name, items in stored.items():
        heads = [decode_head(key, value) for key, value in items if key.endswith(HEAD.encode())]
        chunks = [decode_chunk(key, value) for key, value in items if not key.endswith(HEAD.encode())]
        markets[name] = Market(*name, Span(TERMS.window_seconds, TERMS.retention_seconds))
        markets[name].restore(heads[0], chunks)
    return markets


async def until_nothing_stale_is_last(stack: Stack, timeout_seconds: float = 30) -> int:
    """Wait until compaction would keep the newest value of each key; return of how many keys an old one lies behind.

    A worker that had lost its partition wrote those, and the owner writes its own again. Raises :class:`TimeoutError`.
    """
    overtaken: set[tuple[int, bytes]] = set()
    deadline = time.monotonic() + timeout_seconds
    while True:
        newest: dict[tuple[int, bytes], bytes] = {}
        last: dict[tuple[int, bytes], bytes] = {}
        for entry in await stack.ledger.read(CHANGELOG):
            key = entry.partition, entry.key
            last[key] = entry.value
            if newer(newest.get(key), entry.value):
                newest[key] = entry.value
            else:
                overtaken.add(key)
        if not (stale := [key for key, value in last.items() if value != newest[key]]):
            return len(overtaken)
        if time.monotonic() > deadline:
            raise TimeoutError(f"old values of {len(stale)} keys are the last ones, among them {stale[:3]}")
        await asyncio.sleep(1)


def check_tables(markets: dict[tuple[str, str], Market], oracle: Oracle) -> tuple[int, int]:
    """Every pane kept, with its ids, and a sample of windows are equal bit for bit. Return how many of each."""
    assert sorted(markets) == oracle.markets()
    panes = windows = 0
    for name, market in markets.items():
        assert market.watermark == oracle.watermark(*name), name
        expected = oracle.panes(*name)
        found = dict(market.panes(market.oldest, market.watermark)) | {
            number: pane
            for chunk in market.chunks.values()
            for number, pane in enumerate(chunk.panes, chunk.number * len(chunk.panes))
            if pane is not None and number >= market.oldest
        }
        differing = [
            f"{name} pane {number}: {_difference(expected.get(number), found, market, number)}"
            for number in sorted(found.keys() | expected.keys())
            if number not in found
            or number not in expected
            or _ids(found[number].ids) != expected[number]["ids"]
            or not _same(market, number, 1, expected[number])
        ]
        assert not differing, f"{len(differing)} panes differ, first: {differing[:3]}"
        panes += len(found)
        for number in [*list(found)[:: max(1, len(found) // SAMPLES)], market.watermark]:
            for seconds in WINDOWS:
                if number - seconds < market.watermark - TERMS.retention_seconds:
                    continue
                assert _same(market, number, seconds, oracle.window(*name, number, seconds) or {"count": 0}), (
                    f"{name}: the window of {seconds} s that ends with {number} differs"
                )
                windows += 1
    return panes, windows


def _same(market: Market, number: int, seconds: int, expected: Figures) -> bool:
    figures = msgspec.structs.asdict(market.figures(number, seconds))
    return all(figures[name] == value for name, value in expected.items() if name != "ids")


def _ids(kept: list[Any]) -> list[int]:
    if kept and isinstance(kept[0], bytes):
        return [int.from_bytes(uid, "big") for uid in kept]
    return [i for low, high in zip(kept[::2], kept[1::2], strict=True) for i in range(low, high + 1)]


def _difference(expected: Figures | None, found: dict[int, Any], market: Market, number: int) -> str:
    if expected is None:
        return "should be empty"
    if number not in found:
        return f"is missing, should hold {len(expected['ids'])} trades"
    ids = Counter(_ids(found[number].ids))
    wanted: Counter[int] = Counter(expected["ids"])
    missing, extra = list((wanted - ids).elements()), list((ids - wanted).elements())
    if missing or extra:
        return f"lacks {len(missing)} trades {missing[:3]}, has {len(extra)} extra {extra[:3]}"
    figures = msgspec.structs.asdict(market.figures(number, 1))
    return str(
        {name: (figures[name], value) for name, value in expected.items() if name in figures and figures[name] != value}
    )


def check_rows(alerts: list[Alert], expected: list[Figures], unsaid: Collection[str] = ()) -> None:
    """The rows are the oracle's, to the last digit; only what is ``unsaid`` may be null."""
    rows = {_key(row): row for row in map(_judged, alerts)}
    wanted = {_key(row): row for row in expected}
    missing, extra = sorted(wanted.keys() - rows.keys()), sorted(rows.keys() - wanted.keys())
    assert not missing, f"rows missing: {missing}"
    assert not extra, f"rows that should not be: {extra}"
    for key, row in rows.items():
        rows[key] = {**row, **{name: wanted[key][name] for name in unsaid if row[name] is None}}
    wrong = {
        key: {name: (rows[key][name], value) for name, value in row.items() if rows[key][name] != value}
        for key, row in wanted.items()
        if rows[key] != row
    }
    assert not wrong, f"{len(wrong)} rows differ (found, expected): {dict(list(wrong.items())[:2])}"


def check_episodes(alerts: list[Alert], oracle: Oracle, sent: list[Alert], disorder_seconds: int) -> None:
    """No episode is missed and none alerts twice; the figures of a row are its window's, and reach its severity.

    An alert of the oracle is there, or came up to ``disorder_seconds`` later, or its severity had been told before
    within the cooldown. Price moves are left out: :func:`check_rows` says more of them.
    """
    rows = [_judged(alert) for alert in alerts if alert.rule != IN_ORDER_OF_ARRIVAL]
    for expected in oracle.alerts():
        assert expected["rule"] == IN_ORDER_OF_ARRIVAL or any(
            _key(row)[:3] == _key(expected)[:3]
            and -TERMS.cooldown_seconds < row["pane"] - expected["pane"] <= disorder_seconds
            and SEVERITIES.index(row["severity"]) >= SEVERITIES.index(expected["severity"])
            for row in rows
        ), f"nothing as severe near {expected['symbol']} {expected['pane']}"
    for row in rows:
        figures = oracle.window(row["venue"], row["symbol"], row["pane"])
        assert figures is not None
        assert row | figures == row
        amount = "liquidation_volume_micro_usd" if row["rule"] == "liquidation" else "total_volume_micro_usd"
        reached = [level for level, m in enumerate(TERMS.multiples) if row[amount] >= row["threshold_micro_usd"] * m]
        assert reached, f"{row} does not reach its threshold"
        assert row["severity"] == SEVERITIES[reached[-1]]
    first: dict[AlertId, Alert] = {}
    for alert in sent:
        if alert.rule != IN_ORDER_OF_ARRIVAL:
            first.setdefault(alert.id, alert)
    check_quiet(list(first.values()))


def check_quiet(alerts: list[Alert]) -> None:
    """Within its cooldown an alert is followed by higher severities only, and these belong to its episode.

    ``alerts`` are in the order in which they came. One whose trades came late may have an earlier pane than others
    before it: then it is more severe than these.
    """
    told: dict[tuple[str, str, str], list[Alert]] = {}
    for alert in alerts:
        known = told.setdefault((alert.rule, alert.venue, alert.symbol), [])
        before = max((one for one in known if one.pane < alert.pane), key=lambda one: one.pane, default=None)
        if before is None or alert.pane >= before.pane + TERMS.cooldown_seconds:
            assert alert.episode == alert.pane, f"{alert} begins an episode"
        else:
            assert alert.episode == before.episode, f"{alert} belongs to the episode of {before}"
            assert SEVERITIES.index(alert.severity) > SEVERITIES.index(before.severity), f"{alert} after {before}"
        for later in known:
            if alert.pane < later.pane < alert.pane + TERMS.cooldown_seconds:
                assert SEVERITIES.index(alert.severity) > SEVERITIES.index(later.severity), f"{later} told of {alert}"
        known.append(alert)


async def check_served(stack: Stack, oracle: Oracle, venues: Collection[str]) -> None:
    """Every window that the workers show of these venues, from memory, is the oracle's bit for bit."""
    wanted = {
        (venue, symbol, seconds): in_usd(figures)
        for venue, symbol in oracle.markets()
        for seconds in WINDOWS
        if (figures := oracle.window(venue, symbol, oracle.watermark(venue, symbol), seconds))
    }
    asked = next(worker for worker in stack.workers if worker.running)
    found: dict[tuple[str, str, int], dict[str, Any]] = {}

    def all_are_served() -> bool:
        found.clear()
        for venue in venues:
            try:
                status, body = http_get(asked.port, f"/api/windows?{urlencode({'venue': venue})}")
            except OSError:
                return False
            if status != HTTPStatus.OK:
                return False
            found.update(((row["venue"], row["symbol"], row["window_seconds"]), row) for row in json.loads(body))
        return wanted.keys() <= found.keys() and all(row["source"] in ("memory", "peer") for row in found.values())

    await stack.until(all_are_served, SERVED_SECONDS, "every window to be served")
    differing = {
        key: {name: (found[key][name], value) for name, value in figures.items() if found[key][name] != value}
        for key, figures in wanted.items()
        if not figures.items() <= found[key].items()
    }
    assert not differing, f"{len(differing)} windows are shown that differ: {dict(list(differing.items())[:2])}"


def check_messages(stack: Stack, alerts: list[Alert], outbox: list[Any], venues: Collection[str]) -> tuple[int, int]:
    """Discord tells of each alert once, and beyond that no more often than there were ambiguous outcomes.

    Return how often alerts are told of, and how often beyond once each. A message may hold several.
    """
    told = (identity for message in stack.discord.messages for identity in message.identities)
    posts = Counter(identity for identity in told if _venue_of(identity) in venues)
    names = {_name(alert.rule, alert.venue, alert.symbol, alert.pane) for alert in alerts}
    assert posts.keys() <= names, f"messages about no row: {sorted(posts.keys() - names)}"
    rows = {_name(row["rule"], row["venue"], row["symbol"], row["pane"]): row for row in outbox}
    assert rows.keys() == names, "each alert has its row in the outbox"
    for name, row in rows.items():
        least = 1 if row["state"] == "sent" else 0
        most = (1 if row["state"] == "sent" else 0) + row["ambiguous"]
        assert least <= posts[name] <= most, f"{posts[name]} messages about {name}, {dict(row)}"
    total = sum(posts.values())
    return total, total - len(posts)


async def letters(stack: Stack, since: dict[int, int] | None = None) -> list[DeadLetter]:
    """Return the dead letters, each once: a record read again after a crash is refused again."""
    unique: dict[tuple[Any, ...], DeadLetter] = {}
    for entry in await stack.ledger.read(DEAD_LETTERS, since):
        letter = decode_letter(entry.value)
        place = (letter.partition, letter.offset) if letter.offset >= 0 else (entry.partition, entry.offset)
        unique[letter.topic, *place, letter.detail] = letter
    return list(unique.values())


def _judged(alert: Alert) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(alert).items() if name not in UNJUDGED}


def _key(row: dict[str, Any]) -> tuple[str, str, str, int]:
    return row["rule"], row["venue"], row["symbol"], row["pane"]


def _name(rule: str, venue: str, symbol: str, pane: int) -> str:
    return f"{rule} · {venue} · {symbol} · {pane}"


def _venue_of(identity: str) -> str:
    return identity.split(" · ")[1]
