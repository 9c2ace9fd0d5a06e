"""What clients ask a broker for, as a proxy between them reads it."""

from collections.abc import Callable
from typing import Final

_PRODUCE: Final = b"\0\0"


def writes_to(topic: str) -> Callable[[bytes], bool]:
    """Return whether bytes, as one read brought them, are a request to write to a topic."""
    name = len(topic).to_bytes(2, "big") + topic.encode()
    # The kind of a request stands behind its size of 4 bytes.
    return lambda piece: piece[4:6] == _PRODUCE and name in piece
