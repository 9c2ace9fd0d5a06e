"""Units of what rules measure. A measured value is an integer of the unit's smallest step, and so exact."""

from decimal import Decimal
from typing import Final

import msgspec


class Unit(msgspec.Struct, frozen=True):
    """A unit by name. ``decimals`` is how many decimal digits of it the integers keep."""

    name: str
    decimals: int

    def integer(self, value: float | Decimal) -> int:
        """Return a value of settings as an integer of this unit, rounded half to even."""
        return round(Decimal(str(value)).scaleb(self.decimals))

    def number(self, integer: int) -> float:
        """Return the double nearest to an integer of this unit."""
        return integer / int(10**self.decimals)

    def decimal(self, integer: int) -> Decimal:
        """Return an integer of this unit as an exact decimal."""
        return Decimal(integer).scaleb(-self.decimals)


USD: Final = Unit("usd", 6)
PERCENT: Final = Unit("percent", 9)
COUNT: Final = Unit("count", 0)

UNITS: Final = {unit.name: unit for unit in (USD, PERCENT, COUNT)}
