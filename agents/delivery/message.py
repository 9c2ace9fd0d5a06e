"""An alert as a Discord message that a person reads at a glance. Pure: an alert in, the message's JSON out."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from agents.alerts.columns import instant
from agents.rules.book import describe, measured_of
from streams.model.alert import Alert
from streams.model.money import in_unit, multiple, whole_usd
from streams.settings import Settings

Message = dict[str, Any]

COLOURS: Final = {"LOW": 0xF1C40F, "MEDIUM": 0xE67E22, "HIGH": 0xE74C3C, "CRITICAL": 0x8E44AD}
MARKS: Final = {"LOW": "🟡", "MEDIUM": "🟠", "HIGH": "🔴", "CRITICAL": "🟣"}

TIMES_SIGN: Final = "\N{MULTIPLICATION SIGN}"

# Discord's limits, in characters; the last is over all text of all embeds.
MAX_CONTENT: Final = 2000
MAX_TITLE: Final = 256
MAX_DESCRIPTION: Final = 4096
MAX_FIELD_NAME: Final = 256
MAX_FIELD_VALUE: Final = 1024
MAX_FOOTER: Final = 2048
# Of a venue's or symbol's name; more is a broken name, and it must not crowd out the figures.
MAX_NAME: Final = 100

_MARKDOWN: Final = re.compile(r"([\\*`~|<>\[\]])")
_PUBLIC_HOST: Final = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+", re.IGNORECASE)


def message(
    alert: Alert,
    *,
    web_url: str,
    venue_names: Mapping[str, str] | None = None,
    possible_duplicate: bool = False,
    escalated_to: str | None = None,
) -> Message:
    """Return the body of the webhook request for an alert.

    ``web_url`` is the address of the web view. ``venue_names`` are venues' names for people. ``possible_duplicate``
    says so in the message. ``escalated_to`` is the severity that a later alert of the same episode reached.
    """
    market = escape(cut(alert.symbol, MAX_NAME))
    headline = sentence(alert)
    link = market_link(web_url, alert)
    venue = venue_name(alert.venue, venue_names or {})
    lines = [headline]
    if note := describe(alert).note:
        lines.append(note)
    if alert.retracted:
        lines.append("↩️ **Retracted**: later trades took this window back below the threshold.")
    if escalated_to is not None:
        lines.append(f"⬆️ **Escalated to {escalated_to}** later in this episode.")
    if possible_duplicate:
        lines.append("*Possible duplicate: Discord did not confirm an earlier attempt.*")
    embed: Message = {
        "title": cut(f"{MARKS.get(alert.severity, '')} {alert.severity} · {market} · {venue}", MAX_TITLE),
        "description": cut("\n".join(lines), MAX_DESCRIPTION),
        "color": COLOURS.get(alert.severity, 0x95A5A6),
        "fields": [
            {"name": cut(name, MAX_FIELD_NAME), "value": cut(value, MAX_FIELD_VALUE), "inline": inline}
            for name, value, inline in _fields(alert, link)
        ],
        "footer": {"text": cut(identity(alert), MAX_FOOTER)},
        "timestamp": instant(alert.pane).isoformat(),
    }
    if link and _PUBLIC_HOST.fullmatch(urlsplit(link).hostname or ""):
        embed["url"] = link
    flag = "possible duplicate · " if possible_duplicate else ""
    return {
        "content": cut(f"{flag}**{alert.severity}** {market}: {headline}", MAX_CONTENT),
        "embeds": [embed],
        "allowed_mentions": {"parse": []},
    }


def sentence(alert: Alert) -> str:
    """Say what happened: how much, of what, in how long, and how far beyond the threshold."""
    measured, threshold = measured_of(alert)
    what = describe(alert).what
    return f"{what} in {duration(alert.window_seconds)}, {multiple(measured, threshold)}{TIMES_SIGN} the threshold"


def _fields(alert: Alert, link: str) -> list[tuple[str, str, bool]]:
    fields = [
        ("Volume", whole_usd(alert.total_volume_micro_usd), True),
        ("VWAP", price(alert.vwap), True),
        ("Change", f"{alert.price_change_pct:+.2f} %", True),
        ("Buy / sell", f"{whole_usd(alert.buy_volume_micro_usd)} / {whole_usd(alert.sell_volume_micro_usd)}", True),
        ("Largest trade", whole_usd(alert.largest_trade_micro_usd), True),
        ("Trades", f"{alert.count:,}", True),
        ("High / low", f"{price(alert.high)} / {price(alert.low)}", True),
        ("Volatility", f"{alert.realized_volatility * 100:.3f} %", True),
        ("Threshold", in_unit(measured_of(alert)[1], alert.unit), True),
    ]
    if alert.liquidation_volume_micro_usd:
        longs, shorts = alert.liquidation_long_micro_usd, alert.liquidation_short_micro_usd
        fields.insert(1, ("Liquidated long / short", f"{whole_usd(longs)} / {whole_usd(shorts)}", True))
    fields.append(("Window (UTC)", between(instant(alert.window_start), instant(alert.window_end)), False))
    if link:
        fields.append(("Web view", link, False))
    return fields


def market_link(web_url: str, alert: Alert) -> str:
    """Return the address of the market's page at the alert's moment; empty where it would be too long to send."""
    if not web_url:
        return ""
    query = urlencode({"venue": alert.venue, "symbol": alert.symbol, "at": alert.pane})
    link = f"{web_url.rstrip('/')}/market?{query}"
    return link if len(link) <= MAX_FIELD_VALUE else ""


def web_address(settings: Settings) -> str:
    """Return the web view's address for readers of messages: as configured, or built from host and port."""
    if settings.web_public_url:
        return settings.web_public_url.rstrip("/")
    host = "localhost" if settings.web_host in {"0.0.0.0", "::", ""} else settings.web_host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{settings.web_port}" if ":" in host else f"http://{host}:{settings.web_port}"


def identity(alert: Alert) -> str:
    """Return the alert's identity as text, the same in every message about it."""
    return f"{alert.rule} · {cut(alert.venue, MAX_NAME)} · {cut(alert.symbol, MAX_NAME)} · {alert.pane}"


def venue_name(venue: str, names: Mapping[str, str]) -> str:
    """Return a venue's name for people: the one that it gives itself, else ``kraken_spot`` is ``kraken spot``."""
    return escape(cut(names.get(venue, venue.replace("_", " ")), MAX_NAME))


def price(value: float) -> str:
    """Return a price with thousands separators and as many decimals as its size calls for."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.2f}"
    if size >= 1:
        return f"{value:,.4f}"
    return f"{value:.6g}"


def duration(seconds: int) -> str:
    """Return a window's length in the largest unit that divides it: ``5 min``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def between(start: datetime, end: datetime) -> str:
    """Return a span of time; the second date only where it differs."""
    same_day = start.date() == end.date()
    return (
        f"{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S}"
        if same_day
        else f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}"
    )


def cut(text: str, limit: int) -> str:
    """Return the text within a limit, an ellipsis in place of what is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escape(text: str) -> str:
    """Return the text with Discord's markdown taken literally."""
    return _MARKDOWN.sub(r"\\\1", text)
