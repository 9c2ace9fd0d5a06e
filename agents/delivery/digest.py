"""Several notices as one Discord message: a line each, short enough that ten always fit. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from agents.alerts.words import cut, elapsed, identity, sentence
from agents.delivery.base import Backlog, Notice
from agents.delivery.message import MAX_CONTENT, Message, embed_of, escape, link_title, market_link, shortage, title
from agents.rules.book import describe
from streams.severities import SEVERITIES

MOST_EMBEDS: Final = 10
# Discord takes 6000 characters over all embeds of a message: 600 for each of ten. Only names and sentences of unusual
# length are cut. The other lines of a description have 160 characters together.
MAX_TITLE: Final = 90
MAX_SENTENCE: Final = 110
MAX_NOTE: Final = 80
MAX_FOOTER: Final = 170


def digest(
    notices: Sequence[Notice],
    *,
    web_url: str,
    venue_names: Mapping[str, str] | None = None,
    backlog: Backlog | None = None,
) -> Message:
    """Return the body of the webhook request for up to :data:`MOST_EMBEDS` notices, as they are ordered.

    ``backlog`` is told where the message is posted. An edited message leaves it out.
    """
    return {
        "content": cut(_content(notices, web_url, backlog), MAX_CONTENT),
        "embeds": [_embed(notice, web_url, venue_names or {}) for notice in notices],
        "allowed_mentions": {"parse": []},
    }


def _content(notices: Sequence[Notice], web_url: str, backlog: Backlog | None) -> str:
    counts = Counter(notice.alert.severity for notice in notices)
    each = ", ".join(f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity])
    parts = [f"**{len(notices)} alerts**: {each}"]
    if backlog is not None:
        parts.append(f"the oldest is {elapsed(backlog.oldest_seconds)} old")
        if backlog.waiting:
            parts.append(f"{backlog.waiting:,} more wait")
    if any(notice.possible_duplicate for notice in notices):
        parts.append("with possible duplicates")
    line = " · ".join(parts)
    return f"{line}\n{web_url.rstrip('/')}/alerts" if web_url else line


def _embed(notice: Notice, web_url: str, venue_names: Mapping[str, str]) -> Message:
    alert = notice.alert
    lines = [cut(escape(sentence(alert)), MAX_SENTENCE)]
    if note := describe(alert).note:
        lines.append(cut(note, MAX_NOTE))
    if notice.raised_at is not None:
        # Discord writes it as an age, and keeps it true while somebody looks.
        lines.append(f"raised <t:{notice.raised_at}:R>")
    if lacking := shortage(alert):
        lines.append(lacking)
    if alert.retracted:
        lines.append("↩️ **Retracted**")
    if notice.escalated_to is not None:
        lines.append(f"⬆️ **Escalated to {notice.escalated_to}**")
    if notice.possible_duplicate:
        lines.append("*Possible duplicate*")
    embed = embed_of(
        alert,
        title=cut(title(alert, venue_names), MAX_TITLE),
        description="\n".join(lines),
        footer=cut(identity(alert), MAX_FOOTER),
    )
    # Discord shows embeds with the same link as one. Two rules may have judged the same market at the same moment.
    link = market_link(web_url, alert)
    return link_title(embed, link and f"{link}&{urlencode({'rule': alert.rule})}")
