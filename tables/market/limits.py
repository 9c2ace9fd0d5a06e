"""What a feed may make a worker keep."""

from typing import Final

MOST_MARKETS: Final = 20_000
"""Most markets of a partition that a reader takes from Redis: as many as the setting of workers may say."""
