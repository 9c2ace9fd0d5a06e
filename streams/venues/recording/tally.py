"""What became of a recording's rows, for the person who plays it."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from streams.model.trade import Batch, Reject

# A line of a terminal, with what stands before it.
_SHOWN_CHARACTERS: Final = 80


class Tally:
    """Counts rows that became trades, and refused ones by reason; remembers the first that was refused."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.rows = 0
        self.refused: Counter[str] = Counter()
        self.first: Reject | None = None

    def add(self, batches: Iterable[Batch]) -> None:
        """Count what batches hold."""
        for batch in batches:
            self.rows += len(batch.trades)
            for refused in batch.rejects:
                self.refused[refused.reason] += 1
                self.first = self.first or refused

    @property
    def is_useless(self) -> bool:
        """Whether there were rows, and every one of them was refused."""
        return self.rows == 0 and self.refused.total() > 0

    def reasons(self) -> str:
        """Say what was refused and why, with the first such row: its line and its text, cut."""
        if self.first is None:
            return ""
        by_reason = ", ".join(f"{reason} {count:,}" for reason, count in self.refused.most_common())
        text = self.first.payload[: 4 * _SHOWN_CHARACTERS].decode(errors="replace").strip()
        shown = repr(text[:_SHOWN_CHARACTERS]) + ("..." if len(text) > _SHOWN_CHARACTERS else "")
        return f"{by_reason}; the first is {self.label} {self.first.detail}: {shown}"
