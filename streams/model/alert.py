"""An alert's row as the monitor emits it."""

import msgspec

from streams.model.figures import Figures, with_figures


@with_figures(after="window_end")
class Alert(Figures, msgspec.Struct, frozen=True, omit_defaults=False):
    """An alert's row at its present state: one message on the topic ``alerts``, one row in ``liquidation_alerts``.

    Identity is (``rule``, ``venue``, ``symbol``, ``pane``); everything else is a column that may be brought up
    to date. A row with a higher ``count`` supersedes one with a lower: windows only ever gain trades.
    Amounts ending in ``_micro_usd`` are integers in micro-USD. ``pane`` is the start of the crossing pane in
    unix seconds; the window covers ``window_start`` (inclusive) to ``window_end`` (exclusive), unix seconds.
    """

    rule: str
    venue: str
    symbol: str
    pane: int
    severity: str
    threshold_micro_usd: int
    episode: int
    window_seconds: int
    window_start: int
    window_end: int
    received_us: int
    partition: int
    offset: int
