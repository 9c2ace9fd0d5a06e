"""What the text of a setting says: nothing, a list, a number, or a duration. Pure.

Numbers may be written ``1_000_000``, ``1,000,000`` or ``1M``, durations ``10m``. Whatever is not clear stays as it is,
and is refused by the type of the setting.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

_MILLISECONDS: Final = {
    "ms": 1,
    "s": 1000,
    "sec": 1000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
# A small m would be a thousandth to one reader and a million to the next.
_MULTIPLES: Final = {"k": 1000, "K": 1000, "M": 1_000_000}
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_WITH_UNIT: Final = re.compile(r"([+-]?\d[\d_]*(?:\.\d+)?) ?([A-Za-z]+)")
_DURATIONS: Final = {"_seconds": 1000, "_sec": 1000, "_ms": 1, "_days": 86_400_000}


def value_of(name: str, field: FieldInfo, written: Any) -> Any:
    """Return what a setting's text says, for its type to check. What is no text is returned as it is."""
    if not isinstance(written, str):
        return written
    if written == "" and field.default is None:
        return None
    types = set(types_of(field.annotation))
    parts = [part.strip() for part in written.split(",") if part.strip()] if tuple in types else [written]
    if types & {int, float}:
        parts = [number_text(name, part, is_whole=int in types) for part in parts]
    return tuple(parts) if tuple in types else parts[0]


def types_of(annotation: Any) -> Iterator[Any]:
    """Yield every type in an annotation: of ``tuple[int, ...]`` both."""
    yield getattr(annotation, "__origin__", annotation)
    for inner in get_args(annotation):
        if inner is not Ellipsis:
            yield from types_of(inner)


def unit_milliseconds(name: str) -> int | None:
    """Return the unit of a setting that is a duration, in milliseconds; None for anything else."""
    if name == "windows":
        return 1000
    return next((size for suffix, size in _DURATIONS.items() if name.endswith(suffix)), None)


def number_text(name: str, written: str, *, is_whole: bool = False) -> str:
    """Return a number in plain digits, in the unit of its setting; what is not clear as it is."""
    text = written.strip()
    if _GROUPED.fullmatch(text):
        return text.replace(",", "")
    found = _WITH_UNIT.fullmatch(text)
    if found is None:
        return written
    unit = unit_milliseconds(name)
    size = Decimal(_MULTIPLES.get(found[2], 0)) if unit is None else Decimal(_MILLISECONDS.get(found[2], 0)) / unit
    if not size:
        return written
    number = Decimal(found[1].replace("_", "")) * size
    if number == number.to_integral_value():
        return str(int(number))
    return written if is_whole else f"{number.normalize():f}"
