"""Reading alerts back: the history with filters, and what changed lately, each with the state of its delivery."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
import msgspec

from agents.alerts.columns import AMOUNTS, COVERED_SINCE, IN_UNIT, THRESHOLD_USD, from_row, instant, unix_seconds
from agents.alerts.postgres import answering
from agents.alerts.words import sentence
from agents.rules.book import describe
from streams.errors import Outage
from streams.model.figures import with_figures
from streams.model.units import USD

# A query takes milliseconds. A page is better told that Postgres does not answer than kept waiting longer.
QUERY_SECONDS: Final = 3.0
# Of changes in the last seconds: more than the page's news shows, and some tens of milliseconds to read.
MAX_CHANGES: Final = 500
# Five thousand rows at once would keep the stream waiting for a tenth of a second.
ROWS_BETWEEN_TURNS: Final = 100

Iso = Annotated[datetime, msgspec.Meta(description="RFC 3339, UTC")]


@with_figures(after="threshold_usd", in_usd=True)
class AlertRow(msgspec.Struct, frozen=True):
    """An alert as its row in ``liquidation_alerts`` has it, with the window as it was.

    Its identity is rule, venue, symbol and pane.
    """

    rule: str
    venue: str
    symbol: str
    pane: Annotated[int, msgspec.Meta(description="start of the pane that crossed, unix seconds")]
    timestamp: Iso
    alert_severity: str
    episode: Annotated[int, msgspec.Meta(description="pane of the episode's first alert, unix seconds")]
    window_seconds: int
    window_start: Annotated[int, msgspec.Meta(description="unix seconds, inclusive")]
    window_end: Annotated[int, msgspec.Meta(description="unix seconds, exclusive")]
    threshold_usd: Annotated[float | None, msgspec.Meta(description="null for a rule in another unit")]
    source_partition: int
    source_offset: int
    revision: Annotated[int, msgspec.Meta(description="1, and one more each time later figures replaced these")]
    recorded_at: Iso
    updated_at: Iso
    delivery: Annotated[
        str | None,
        msgspec.Meta(description="pending, sending, sent, unknown, dead or disabled (no webhook); null: no message"),
    ]
    possible_duplicate: Annotated[bool | None, msgspec.Meta(description="Discord may have the message twice")]
    delivery_attempts: int | None
    unit: Annotated[
        str,
        msgspec.Meta(description="of threshold, measured and severity_step: usd, percent or count; empty if unknown"),
    ]
    threshold: Annotated[float | None, msgspec.Meta(description="what the rule compares with")]
    measured: Annotated[float | None, msgspec.Meta(description="what the rule measured of this window")]
    severity_step: Annotated[float | None, msgspec.Meta(description="what the severity begins with")]
    cooldown_seconds: Annotated[int | None, msgspec.Meta(description="cooldown in force")]
    raised_offset: Annotated[int | None, msgspec.Meta(description="offset of the message that raised the alert")]
    retracted: Annotated[bool, msgspec.Meta(description="later trades took it back below the first step")]
    what: Annotated[str, msgspec.Meta(description="what happened in the window, in words")]
    note: Annotated[str, msgspec.Meta(description="what a reader must know of the rule's figure; may be empty")]
    covered_since: Annotated[
        int | None,
        msgspec.Meta(
            description="the first pane of the market that was counted, unix seconds: a window that begins before it "
            "is not whole; null if nobody knows"
        ),
    ] = None
    sentence: Annotated[
        str | None,
        msgspec.Meta(description="the alert in one line, as messages have it; null in rows of an earlier release"),
    ] = None


_IN_OUTBOX: Final = {
    "delivery": "state",
    "possible_duplicate": "possible_duplicate",
    "delivery_attempts": "attempts",
}
_ADDED: Final = ("pane", "what", "note", "sentence")
_STORED: Final = [name for name in AlertRow.__struct_fields__ if name not in (*_ADDED, *_IN_OUTBOX)]
_SELECT: Final = (
    "SELECT "  # noqa: S608 - constants
    + ", ".join(f'alert."{name}"' for name in _STORED)
    + ", "
    + ", ".join(f"outbox.{column} AS {name}" for name, column in _IN_OUTBOX.items())
    + ' FROM liquidation_alerts AS alert LEFT JOIN alert_outbox AS outbox USING (rule, venue, symbol, "timestamp")'
)
_NEWEST_FIRST: Final = 'ORDER BY alert."timestamp" DESC, venue, symbol, rule'
_CHANGED: Final = """
WHERE (rule, venue, symbol, "timestamp") IN (
    SELECT rule, venue, symbol, "timestamp" FROM liquidation_alerts WHERE updated_at >= $1
    UNION SELECT rule, venue, symbol, "timestamp" FROM alert_outbox WHERE updated_at >= $1
)
ORDER BY greatest(alert.updated_at, outbox.updated_at) DESC LIMIT $2
"""
# ``static/search.js`` says the same. A symbol is found without its dividers too: btcusd.
_HAS_WORDS: Final = """
NOT EXISTS (
    SELECT 1 FROM unnest(${}::text[]) AS word
    WHERE strpos(replace(lower(concat_ws(' ', venue, symbol, translate(symbol, '/_-', ''))), 'xbt', 'btc'), word) = 0
)
"""
_UNIX: Final = ("episode", "window_start", "window_end")


class AlertHistory:
    """Reads alerts through the pool that ``pool`` returns. It returns None until Postgres was reached."""

    row_type = AlertRow

    def __init__(self, pool: Callable[[], asyncpg.Pool | None]) -> None:
        self._pool = pool

    async def find(
        self,
        *,
        venue: str | None = None,
        symbol: str | None = None,
        market: str | None = None,
        rules: Sequence[str] = (),
        severities: Sequence[str] = (),
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
    ) -> list[AlertRow]:
        """Return alerts, newest first. A filter that is None or empty lets every alert pass.

        ``market`` is words, each of which the venue or the symbol has as a part, in any case; XBT is BTC.
        ``since`` (inclusive) and ``until`` (exclusive) are unix seconds of panes. Raises :class:`Outage` when
        Postgres does not answer.
        """
        conditions, values = [], []
        for condition, value in (
            ("venue = ${}", venue),
            ("symbol = ${}", symbol),
            (_HAS_WORDS, None if market is None else plain(market).split()),
            ("rule = ANY(${}::text[])", list(rules) or None),
            ("alert.alert_severity = ANY(${}::text[])", list(severities) or None),
            ('alert."timestamp" >= ${}', None if since is None else instant(since)),
            ('alert."timestamp" < ${}', None if until is None else instant(until)),
        ):
            if value is not None:
                values.append(value)
                conditions.append(condition.format(len(values)))
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return await self._fetch(f"{where} {_NEWEST_FIRST} LIMIT {int(limit)}", *values)

    async def latest(self, limit: int) -> list[AlertRow]:
        """Return the latest alerts, newest first. Raises :class:`Outage` when Postgres does not answer."""
        return await self.find(limit=limit)

    async def changed_since(self, moment: datetime) -> list[AlertRow]:
        """Return alerts recorded, brought up to date or delivered since ``moment``, oldest change first.

        Of more than :data:`MAX_CHANGES` the latest are returned. Raises :class:`Outage` when Postgres does not answer.
        """
        return (await self._fetch(_CHANGED, moment, MAX_CHANGES))[::-1]

    async def _fetch(self, clauses: str, *values: Any) -> list[AlertRow]:
        pool = self._pool()
        if pool is None:
            raise Outage("reading alerts: Postgres was not reached yet")
        with answering("reading alerts"):
            rows = await pool.fetch(f"{_SELECT} {clauses}", *values, timeout=QUERY_SECONDS)
        found = []
        for number, row in enumerate(rows, 1):
            found.append(_row(row))
            if number % ROWS_BETWEEN_TURNS == 0:
                await asyncio.sleep(0)
        return found


def plain(text: str) -> str:
    """Return text as it is searched for: in small letters, and with one name for Bitcoin."""
    return text.lower().replace("xbt", "btc")


def _row(row: Any) -> AlertRow:
    fields = dict(row)
    fields["pane"] = unix_seconds(fields["timestamp"])
    for name in _UNIX:
        fields[name] = unix_seconds(fields[name])
    for name in (*AMOUNTS, THRESHOLD_USD, *IN_UNIT):
        fields[name] = None if fields[name] is None else float(fields[name])
    alert = from_row(row)
    fields[COVERED_SINCE] = alert.covered_since
    fields["unit"] = alert.unit
    if alert.unit != USD.name:
        fields[THRESHOLD_USD] = None
    description = describe(alert)
    return AlertRow(what=description.what, note=description.note, sentence=sentence(alert), **fields)
