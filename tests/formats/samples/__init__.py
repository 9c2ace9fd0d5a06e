"""The samples themselves, by format version and name."""

import json
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Final

_DIRECTORY: Final = Path(__file__).parent
VERSIONS: Final = sorted(int(path.stem) for path in _DIRECTORY.glob("[0-9]*.json"))
ADDED: Final = "added"


@cache
def samples(version: int | str) -> dict[str, bytes]:
    """Return what the release of a version wrote, or what was added since, by name."""
    held: dict[str, str] = json.loads((_DIRECTORY / f"{version}.json").read_text(encoding="utf-8"))
    return {name: b64decode(value) for name, value in held.items()}


def sample(version: int | str, name: str) -> bytes:
    """Return one of them."""
    return samples(version)[name]
