"""JSON as programs print it, with NaN and Infinity. Neither is JSON; each may spoil its own field and no other."""

import re
from decimal import DecimalException
from typing import Any, Final

import msgspec

# Everything that decoding hostile text can raise.
BAD_JSON: Final = (msgspec.DecodeError, DecimalException, UnicodeDecodeError, RecursionError, ValueError)

# A constant is replaced by this string, which is recognised where the field is read.
_MARK: Final = "\x00constant "
_MARK_JSON: Final = rb'"\u0000constant '
# Possessive quantifiers: the time stays linear whatever the text is.
_STRING_OR_CONSTANT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_MARKED: Final = re.compile(re.escape(_MARK_JSON) + rb'([^"]*)"')


def mark_constants(data: bytes) -> bytes:
    """Return the text with each bare NaN and Infinity turned into a string that the rows recognise."""

    def replace(found: re.Match[bytes]) -> bytes:
        text = found.group()
        return text if text.startswith(b'"') else _MARK_JSON + text + b'"'

    return _STRING_OR_CONSTANT.sub(replace, data)


def unmark(data: bytes) -> bytes:
    """Return the text as it was before :func:`mark_constants`."""
    return _MARKED.sub(rb"\1", data)


def constant_of(value: Any) -> str:
    """Return which constant was marked here (``NaN``, ``-Infinity``); empty for any other value."""
    return value.removeprefix(_MARK) if isinstance(value, str) and value.startswith(_MARK) else ""
