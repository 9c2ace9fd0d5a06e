"""Why a setting is refused, in our own words: what it must be, what it is, and an example. Never a secret's value."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from streams.settings_texts import types_of, unit_milliseconds

MAX_SHOWN: Final = 60
_UNITS: Final = {
    "_seconds": "seconds",
    "_sec": "seconds",
    "windows": "seconds",
    "_ms": "milliseconds",
    "_days": "days",
    "_usd": "USD",
    "_pct": "percent",
}
# From the largest, and what a duration is at least for its sake.
_DURATIONS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
# Port numbers are never written in groups.
_GROUPED_FROM: Final = 100_000


def explain(error: ValidationError, fields: Mapping[str, FieldInfo]) -> str:
    """Return pydantic's findings as one line: each variable once, by its name. ``fields`` are the settings'."""
    findings: dict[str, str] = {}
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        text = item["msg"].removeprefix("Value error, ")
        field = fields.get(name)
        if field is not None and item["type"] != "value_error":
            text = _refusal(name, field, item["input"])
        findings.setdefault(name or text, f"{name.upper()}: {text}" if name else text)
    return "; ".join(findings.values())


def _refusal(name: str, field: FieldInfo, value: Any) -> str:
    shown = ""
    if field.repr and SecretStr not in types_of(field.annotation):
        text = str(value)
        shown = f", not {text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + '…'!r}"
    examples = " or ".join(_examples(name, field))
    return f"{_must_be(name, field)}{shown}{f'; for example {examples}' if examples else ''}"


def _must_be(name: str, field: FieldInfo) -> str:
    choices = [one for one in _choices(field.annotation) if one is not None]
    types = set(types_of(field.annotation))
    if choices:
        return f"must be one of {', '.join(map(str, choices))}"
    if bool in types:
        return "must be true or false"
    if types & {int, float}:
        return f"must be {_numbers(name, types)}{_bounds(field)}{' (comma separated)' if tuple in types else ''}"
    least = next((one.min_length for one in field.metadata if isinstance(one, MinLen)), None)
    if least is not None:
        return f"must have at least {least} characters"
    pattern = next((one.pattern for one in field.metadata if getattr(one, "pattern", None)), None)
    return f"must match {pattern}" if pattern else f"is not {field.description}"


def _numbers(name: str, types: set[Any]) -> str:
    if name.endswith("_port"):
        return "a port"
    kind = "number" if float in types else "whole number"
    unit = next((word for suffix, word in _UNITS.items() if name.endswith(suffix)), "")
    many = tuple in types
    return f"{'' if many else 'a '}{kind}{'s' if many else ''}{f' of {unit}' if unit else ''}"


def _bounds(field: FieldInfo) -> str:
    lower = next((one for one in field.metadata if isinstance(one, Ge | Gt)), None)
    upper = next((one for one in field.metadata if isinstance(one, Le | Lt)), None)
    if isinstance(lower, Ge) and isinstance(upper, Le):
        return f" from {_written(lower.ge)} to {_written(upper.le)}"
    parts = []
    if lower is not None:
        parts.append(f"of at least {_written(lower.ge)}" if isinstance(lower, Ge) else f"above {_written(lower.gt)}")
    if upper is not None:
        parts.append(f"of at most {_written(upper.le)}" if isinstance(upper, Le) else f"below {_written(upper.lt)}")
    return f" {' and '.join(parts)}" if parts else ""


def _examples(name: str, field: FieldInfo) -> Iterator[str]:
    """Yield the default or the field's own examples, and a duration as people write it."""
    if SecretStr in types_of(field.annotation):
        return
    default = field.default
    if isinstance(default, bool):
        return
    if isinstance(default, tuple):
        yield ",".join(map(str, default))
    elif isinstance(default, int | float):
        yield _written(default).replace(",", "_")
        unit = unit_milliseconds(name)
        if unit is not None:
            size = default * unit
            yield next(
                (f"{size // one:.0f}{word}" for word, one in _DURATIONS if size and size % one == 0), f"{size:g}ms"
            )
    elif isinstance(default, str) and default:
        yield default
    for example in field.examples or ():
        yield str(example)


def _choices(annotation: Any) -> Iterator[Any]:
    for inner in get_args(annotation):
        if not isinstance(inner, type) and not get_args(inner) and inner is not Ellipsis:
            yield inner
        else:
            yield from _choices(inner)


def _written(number: Any) -> str:
    if isinstance(number, float) and not number.is_integer():
        return f"{number:.12f}".rstrip("0")
    return f"{int(number):,}" if number >= _GROUPED_FROM else f"{int(number)}"
