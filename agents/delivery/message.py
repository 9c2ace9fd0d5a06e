"""A notice as a Discord message that a person reads at a glance. Pure: a notice in, the message's JSON out."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from agents.alerts.columns import instant
from agents.alerts.words import cut, duration, identity, sentence, threshold_of
from agents.delivery.base import Notice
from agents.rules.book import describe
from streams.model.alert import Alert
from streams.model.figures import AMOUNT, FIGURES, NUMBER, PERCENTAGE, PRICE, RATIO, Figure
from streams.model.kinds import MAX_NAME
from streams.model.money import in_unit, percent, price, ratio, whole_usd
from streams.settings import Settings

Message = dict[str, Any]

COLOURS: Final = {"LOW": 0xF1C40F, "MEDIUM": 0xE67E22, "HIGH": 0xE74C3C, "CRITICAL": 0x8E44AD}
GREY: Final = 0x95A5A6
EMOJI: Final = {"LOW": "🟡", "MEDIUM": "🟠", "HIGH": "🔴", "CRITICAL": "🟣"}

# Discord's limits, in characters. It allows 6000 over all embeds, which the cut names and figures never reach.
MAX_CONTENT: Final = 2000
MAX_TITLE: Final = 256
MAX_DESCRIPTION: Final = 4096
MAX_FIELD_NAME: Final = 256
MAX_FIELD_VALUE: Final = 1024
MAX_FOOTER: Final = 2048

# How a figure is written follows from its type.
_WRITTEN: Final[Mapping[Any, Callable[[Any], str]]] = {
    AMOUNT: whole_usd,
    NUMBER: "{:,}".format,
    PRICE: price,
    PERCENTAGE: percent,
    RATIO: ratio,
}

_MARKDOWN: Final = re.compile(r"([\\*`~|<>\[\]])")
_PUBLIC_HOST: Final = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+", re.IGNORECASE)


def message(notice: Notice, *, web_url: str, venue_names: Mapping[str, str] | None = None) -> Message:
    """Return the body of the webhook request for a notice.

    ``web_url`` is the address of the web view. ``venue_names`` are venues' names for people.
    """
    alert = notice.alert
    headline = escape(sentence(alert))
    link = market_link(web_url, alert)
    lines = [headline]
    if note := describe(alert).note:
        lines.append(note)
    if lacking := shortage(alert):
        lines.append(f"{lacking}, so the window holds less than {duration(alert.window_seconds)}.")
    if alert.retracted:
        lines.append("↩️ **Retracted**: later trades took this window back below the threshold.")
    if notice.escalated_to is not None:
        lines.append(f"⬆️ **Escalated to {notice.escalated_to}** later in this episode.")
    if notice.possible_duplicate:
        lines.append("*Possible duplicate: Discord did not confirm an earlier attempt.*")
    embed = embed_of(
        alert,
        title=cut(title(alert, venue_names or {}), MAX_TITLE),
        description=cut("\n".join(lines), MAX_DESCRIPTION),
        footer=cut(identity(alert), MAX_FOOTER),
    )
    embed["fields"] = [
        {"name": cut(name, MAX_FIELD_NAME), "value": cut(value, MAX_FIELD_VALUE), "inline": inline}
        for name, value, inline in _fields(alert, link)
    ]
    flag = "possible duplicate · " if notice.possible_duplicate else ""
    return {
        "content": cut(f"{flag}**{alert.severity}** {_market(alert)}: {headline}", MAX_CONTENT),
        "embeds": [link_title(embed, link)],
        "allowed_mentions": {"parse": []},
    }


def embed_of(alert: Alert, *, title: str, description: str, footer: str) -> Message:
    """Return an embed with these texts, in the colour and with the time of an alert."""
    return {
        "title": title,
        "description": description,
        "color": COLOURS.get(alert.severity, GREY),
        "footer": {"text": footer},
        "timestamp": instant(alert.pane).isoformat(),
    }


def title(alert: Alert, venue_names: Mapping[str, str]) -> str:
    """Return an embed's title: how severe, which market, where."""
    emoji, venue = EMOJI.get(alert.severity, ""), venue_name(alert.venue, venue_names)
    return f"{emoji} {alert.severity} · {_market(alert)} · {venue}"


def _market(alert: Alert) -> str:
    return escape(cut(alert.symbol, MAX_NAME))


def link_title(embed: Message, link: str) -> Message:
    """Return the embed with its title as a link, where Discord takes the address for one."""
    is_public = link and _PUBLIC_HOST.fullmatch(urlsplit(link).hostname or "")
    return {**embed, "url": link} if is_public else embed


def _fields(alert: Alert, link: str) -> list[tuple[str, str, bool]]:
    """Return the embed's fields: name, value, and whether others may stand beside it."""
    fields = [(label, value, True) for label, value in _figures(alert).items()]
    threshold = threshold_of(alert)
    if threshold is not None:
        fields.append(("Threshold", in_unit(threshold, alert.unit), True))
    fields.append(("Window (UTC)", between(instant(alert.window_start), instant(alert.window_end)), False))
    if link:
        fields.append(("Web view", link, False))
    return fields


def _figures(alert: Alert) -> dict[str, str]:
    """Return the figures that the table heads with a label, amounts first. Amounts that are all 0 are left out."""
    labelled: dict[str, list[Figure[Any]]] = {}
    for figure in sorted(FIGURES, key=lambda figure: not figure.type.is_amount):
        if figure.heading and getattr(alert, figure.field) is not None:
            labelled.setdefault(figure.heading, []).append(figure)
    return {
        label: " / ".join(_WRITTEN[figure.type](getattr(alert, figure.field)) for figure in figures)
        for label, figures in labelled.items()
        if any(getattr(alert, figure.field) or not figure.type.is_amount for figure in figures)
    }


def shortage(alert: Alert) -> str:
    """Say that the alert's window reaches back before counting began, in the words of the pages; empty if it is whole.

    Its length is bounded: it holds a time of day and no name.
    """
    since = alert.counted_from
    return "" if since is None else f"⏳ **Not whole yet**: counted since {instant(since):%H:%M:%S} UTC"


def market_link(web_url: str, alert: Alert) -> str:
    """Return the address of the market's page at the alert's moment. It is empty where it would be too long to send."""
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
    return f"{settings.web_scheme}://{f'[{host}]' if ':' in host else host}:{settings.web_port}"


def venue_name(venue: str, names: Mapping[str, str]) -> str:
    """Return a venue's name for people: the one that it gives itself, else ``kraken_spot`` is ``kraken spot``."""
    return escape(cut(names.get(venue, venue.replace("_", " ")), MAX_NAME))


def between(start: datetime, end: datetime) -> str:
    """Return a span of time; the second date only where it differs."""
    same_day = start.date() == end.date()
    return (
        f"{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S}"
        if same_day
        else f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}"
    )


def escape(text: str) -> str:
    """Return the text with Discord's markdown taken literally."""
    return _MARKDOWN.sub(r"\\\1", text)
