"""What became of the rows that a feed read, for the person who reads the summary. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from streams.model.deadletters import reason_label
from streams.model.trade import Batch, Reject

# With its reason, a line of a terminal.
_SHOWN_CHARACTERS: Final = 80
_SHOWN_DETAIL: Final = 200


class Tally:
    """Counts rows that became trades, and refused ones by reason; remembers the first that was refused."""

    def __init__(self) -> None:
        self.rows = 0
        self.refused: Counter[str] = Counter()
        self._first = ""

    def add(self, batches: Iterable[Batch]) -> None:
        """Count what batches hold."""
        for batch in batches:
            self.rows += len(batch.trades)
            for refused in batch.rejects:
                self.refuse(refused)

    def refuse(self, refused: Reject) -> None:
        """Count a refused row."""
        self.refused[reason_label(refused.reason)] += 1
        if not self._first:
            text = refused.payload[: 4 * _SHOWN_CHARACTERS].decode(errors="replace").strip()
            shown = repr(text[:_SHOWN_CHARACTERS]) + ("..." if len(text) > _SHOWN_CHARACTERS else "")
            detail = " ".join(refused.detail.split())
            self._first = f"{refused.venue or 'a feed'}, {detail[:_SHOWN_DETAIL]}: {shown}"

    @property
    def is_useless(self) -> bool:
        """Whether there were rows, and every one of them was refused."""
        return self.rows == 0 and self.refused.total() > 0

    def reasons(self) -> str:
        """Say what was refused and why, with the first such row: where it stands and its text, cut."""
        counts = ", ".join(f"{reason} {count:,}" for reason, count in self.refused.most_common())
        return f"{counts}; the first: {self._first}" if counts else ""
