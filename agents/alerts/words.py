"""An alert in words: the same sentence and the same name in messages, on the terminal and in the log. Pure."""

from typing import Final

from agents.alerts.columns import instant
from agents.rules.book import describe, measured_of
from streams.model.alert import Alert
from streams.model.kinds import MAX_NAME
from streams.model.money import multiple
from streams.model.units import USD

TIMES_SIGN: Final = "\N{MULTIPLICATION SIGN}"


def sentence(alert: Alert) -> str:
    """Say what happened: how much, of what, in how long, how far beyond the threshold, and whether it still stands."""
    parts = [f"{describe(alert).what} in {duration(alert.window_seconds)}"]
    threshold, measured = threshold_of(alert), alert.measured
    if measured is None and alert.unit == USD.name:
        measured, _ = measured_of(alert)
    if threshold is not None and measured is not None:
        parts.append(f"{multiple(measured, threshold)}{TIMES_SIGN} the threshold")
    if alert.counted_from is not None:
        parts.append(f"of data since {instant(alert.counted_from):%H:%M:%S}")
    return ", ".join(parts) + (" (retracted)" if alert.retracted else "")


def threshold_of(alert: Alert) -> int | None:
    """Return the threshold, an integer of the alert's unit; None where nobody wrote it down (decision 0024)."""
    if alert.threshold is None and alert.unit == USD.name:
        return alert.threshold_micro_usd
    return alert.threshold


def identity(alert: Alert) -> str:
    """Return the alert's identity as text, the same in every message and every line about it.

    No market's name is longer than MAX_NAME. Anybody may write to the topic ``alerts``, and is cut short.
    """
    return f"{alert.rule} · {cut(alert.venue, MAX_NAME)} · {cut(alert.symbol, MAX_NAME)} · {alert.pane}"


def duration(seconds: int) -> str:
    """Return a window's length in the largest unit that divides it: ``5 min``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def elapsed(seconds: float) -> str:
    """Return how long something has taken, in its largest whole unit: ``40 s``, ``3 min``, ``2 h``, ``5 d``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0, seconds))} s"


def cut(text: str, limit: int) -> str:
    """Return the text within a limit, an ellipsis in place of what is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
