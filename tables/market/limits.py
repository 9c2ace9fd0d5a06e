"""What a feed may make a worker keep."""

from typing import Final

MAX_MARKETS_PER_PARTITION: Final = 20_000
"""More markets than any exchange lists: a feed that invents symbols must not fill memory."""
