"""Seeded recordings: markets made for tests, each of one known difficulty, the same for the same seed.

A :class:`Tape` writes one market's trades in order; the functions below it spoil a tape the way networks and
producers do. :func:`scenarios` holds one recording of each kind.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from heapq import merge
from random import Random
from uuid import UUID

from tests.oracle import OracleTrade, is_inverse, is_spot

START = 1_760_000_000
"""Unix second at which recordings begin, unless told otherwise."""

MICRO = 1_000_000

SPOT = "kraken_spot"
FUTURES = "kraken_futures"


class Tape:
    """One market's trades, written forward in time.

    ``price`` is where the random walk starts. ``tick`` and ``lot`` are the engine's steps of price and quantity.
    ``size_usd`` is the notional of a typical trade. Spot ids are consecutive integers, futures ids are uuids,
    and times are in microseconds on spot and whole milliseconds on futures, as Kraken gives them.
    """

    def __init__(
        self,
        seed: int,
        symbol: str = "BTC/USD",
        *,
        venue: str | None = None,
        start: int = START,
        price: str = "60000",
        tick: str = "0.1",
        lot: str = "0.00000001",
        size_usd: float = 500.0,
    ) -> None:
        self.random = Random(f"{seed} {symbol}")
        self.symbol = symbol
        self.venue = venue or (SPOT if is_spot(symbol) else FUTURES)
        self.trades: list[OracleTrade] = []
        self._now_us = start * MICRO
        self._price = Decimal(price)
        self._tick = Decimal(tick)
        self._lot = Decimal(lot)
        self._size_usd = size_usd
        self._next_id = self.random.randrange(1_000, 10_000_000)

    def _new_id(self) -> int | str:
        if not is_spot(self.symbol):
            return str(UUID(int=self.random.getrandbits(128), version=4))
        self._next_id += 1
        return self._next_id

    def _move(self, drift: float) -> Decimal:
        step = Decimal(str(round(self.random.gauss(drift, 0.0002), 9)))
        ticks = max(1, round(self._price * (1 + step) / self._tick))
        self._price = ticks * self._tick
        return self._price

    def _quantity(self, usd: float) -> Decimal:
        amount = Decimal(str(round(usd, 4)))
        if self.symbol.startswith(("PI_", "FI_")):
            return max(Decimal(1), amount.quantize(Decimal(1)))
        return max(1, round(amount / self._price / self._lot)) * self._lot

    def trade(
        self, usd: float, *, side: str = "", kind: str = "fill", drift: float = 0.0, snapshot: bool = False
    ) -> OracleTrade:
        """Write one trade of about ``usd`` at the tape's present moment and return it."""
        resolution = 1 if is_spot(self.symbol) else 1000
        written = OracleTrade(
            venue=self.venue,
            symbol=self.symbol,
            id=self._new_id(),
            side=side or self.random.choice(("buy", "sell")),
            kind=kind,
            price=self._move(drift),
            qty=self._quantity(usd),
            time_us=self._now_us // resolution * resolution,
            is_snapshot=snapshot,
        )
        self.trades.append(written)
        return written

    def wait(self, seconds: float) -> "Tape":
        """Let time pass without a trade."""
        self._now_us += round(seconds * MICRO)
        return self

    def calm(self, seconds: float, per_second: float = 3.0, *, snapshot: bool = False) -> "Tape":
        """Trade at random moments, sizes heavy-tailed, some trades at one instant (an order that ate several)."""
        until = self._now_us + round(seconds * MICRO)
        while True:
            self.wait(self.random.expovariate(per_second))
            if self._now_us >= until:
                self._now_us = until
                return self
            for _ in range(1 + int(self.random.paretovariate(2.5)) // 2):
                self.trade(self._size_usd * min(self.random.paretovariate(1.3), 50.0), snapshot=snapshot)

    def surge(
        self, usd: float, seconds: float, trades: int = 40, *, side: str = "", kind: str = "fill", drift: float = 0.0
    ) -> "Tape":
        """Trade about ``usd`` in ``trades`` trades over ``seconds``."""
        for share in self._shares(trades):
            self.trade(usd * share, side=side, kind=kind, drift=drift)
            self.wait(seconds / trades)
        return self

    def cascade(self, usd: float, seconds: float, trades: int = 25, *, side: str = "sell") -> "Tape":
        """Liquidate about ``usd``: ``sell`` liquidates longs and pushes the price down, ``buy`` shorts and up."""
        drift = -0.0008 if side == "sell" else 0.0008
        return self.surge(usd, seconds, trades, side=side, kind="liquidation", drift=drift)

    def _shares(self, parts: int) -> list[float]:
        weights = [self.random.paretovariate(1.5) for _ in range(parts)]
        return [weight / sum(weights) for weight in weights]


def interleaved(*tapes: Iterable[OracleTrade]) -> list[OracleTrade]:
    """Return several markets' trades as one feed would bring them."""
    return list(merge(*tapes, key=lambda trade: trade.time_us))


def shuffled_in_panes(trades: list[OracleTrade], seed: int) -> list[OracleTrade]:
    """Shuffle arrival inside each second; the order of seconds stays."""
    random = Random(seed)
    places = [(t.time_us // MICRO, random.random(), i) for i, t in enumerate(trades)]
    return [trades[i] for _, _, i in sorted(places)]


def reordered(trades: list[OracleTrade], seed: int, within_seconds: float = 30.0) -> list[OracleTrade]:
    """Delay each trade's arrival by up to ``within_seconds``."""
    random = Random(seed)
    delayed = [(t.time_us + random.random() * within_seconds * MICRO, i) for i, t in enumerate(trades)]
    return [trades[i] for _, i in sorted(delayed)]


def duplicated(trades: list[OracleTrade], seed: int, share: float = 0.2, within: int = 50) -> list[OracleTrade]:
    """Bring a share of the trades a second time, up to ``within`` places later."""
    random = Random(seed)
    places = [(float(i), i) for i in range(len(trades))]
    places += [(i + random.uniform(0.5, within), i) for i in range(len(trades)) if random.random() < share]
    return [trades[i] for _, i in sorted(places)]


def with_late(trades: list[OracleTrade], seed: int, late_seconds: int, every: int = 20) -> list[OracleTrade]:
    """Add after every ``every`` trades one that happened ``late_seconds`` earlier, of an id of its own."""
    random = Random(seed)
    result = []
    for number, trade in enumerate(trades, start=1):
        result.append(trade)
        if number % every == 0:
            own = (
                2_000_000_000 + seed * 100_000 + number
                if isinstance(trade.id, int)
                else str(UUID(int=random.getrandbits(128), version=4))
            )
            result.append(replace(trade, id=own, time_us=trade.time_us - late_seconds * MICRO))
    return result


def with_wicks(trades: list[OracleTrade], seed: int, share: float = 0.2) -> list[OracleTrade]:
    """Let a share of the trades be followed, in their second, by one at another price and one back at theirs."""
    random = Random(f"wicks {seed}")
    result = []
    for trade in trades:
        result.append(trade)
        if random.random() < share and trade.time_us % MICRO < MICRO - 3_000:
            moved = random.choice((-1, 1)) * random.uniform(0.004, 0.02)
            result.append(_beside(trade, random, trade.time_us + 1_000, moved))
            result.append(_beside(trade, random, trade.time_us + 2_000, 0))
    return result


def with_swings(
    trades: list[OracleTrade], seed: int, every: int = 8, within_seconds: int = 420, swing: float = 0.002
) -> list[OracleTrade]:
    """Bring, after about one of ``every`` trades, a few of one earlier second at other prices.

    They open and close windows that are over, so that price moves appear and vanish. They are small, so that volumes
    hardly change. ``swing`` is a standard deviation.
    """
    random = Random(f"swings {seed}")
    result = []
    for trade in trades:
        result.append(trade)
        if random.random() * every < 1:
            second = trade.time_us // MICRO - random.randrange(1, within_seconds)
            for _ in range(random.choice((1, 2, 3, 5))):
                time_us = second * MICRO + random.randrange(1_000) * 1_000
                result.append(_beside(trade, random, time_us, random.gauss(0, swing)))
    return result


def with_snapshots(trades: list[OracleTrade], seed: int, share: float = 0.03) -> list[OracleTrade]:
    """Let a share of the trades come in snapshots."""
    random = Random(f"snapshots {seed}")
    return [replace(trade, is_snapshot=True) if random.random() < share else trade for trade in trades]


def with_copies_and_snapshots(seed: int) -> list[OracleTrade]:
    """Write two small markets whose trades come live, in snapshots, or as both in either order, some of them late."""
    random = Random(f"copies {seed}")
    arrivals: list[tuple[float, int, OracleTrade]] = []
    for symbol in ("XRP/USD", "PF_XBTUSD"):
        tape = Tape(seed, symbol, price="60000", tick="0.1", lot="0.0001")
        kinds = ("fill", "fill", "block") if is_spot(symbol) else ("fill", "liquidation", "liquidation", "block")
        for _ in range(30):
            usd = random.choice((10, 200_000, 600_000, 1_200_000))
            for _ in range(random.choice((1, 1, 3))):
                tape.trade(usd, kind=random.choice(kinds), drift=random.gauss(0, 0.003))
            tape.wait(random.choice((0, 0.4, 1, 40, 100, 200, 320)))
        for trade in tape.trades:
            for _ in range(random.choice((1, 1, 2, 3))):
                copy = replace(trade, is_snapshot=random.random() < 0.5)
                arrivals.append((trade.time_us + random.choice((0, 0, 3, 150, 400)) * MICRO, len(arrivals), copy))
    return [trade for _, _, trade in sorted(arrivals, key=lambda arrival: arrival[:2])]


def _beside(trade: OracleTrade, random: Random, time_us: int, moved: float) -> OracleTrade:
    """Return a small fill of an id of its own, at the price of ``trade`` moved by this part of it."""
    own: int | str = str(UUID(int=random.getrandbits(128), version=4))
    if is_spot(trade.symbol):
        own = random.randrange(10**12, 10**15)
    price = (trade.price * Decimal(str(round(1 + moved, 6)))).quantize(trade.price)
    most = Decimal(1) if is_inverse(trade.symbol) else Decimal("0.01")
    return replace(trade, id=own, kind="fill", price=price, qty=min(trade.qty, most), time_us=time_us)


def with_kinds(trades: list[OracleTrade], seed: int, share: float = 0.1) -> list[OracleTrade]:
    """Turn a share of a futures tape's fills into blocks and all that is none, which enter no figure."""
    random = Random(seed)
    return [
        replace(trade, kind=random.choice(("block", "termination", "assignment", "unwind", "covered_liquidation")))
        if trade.kind == "fill" and random.random() < share
        else trade
        for trade in trades
    ]


def _calm(seed: int) -> list[OracleTrade]:
    return Tape(seed, size_usd=100).calm(400).trades


def _burst(seed: int) -> list[OracleTrade]:
    tape = Tape(seed).calm(60).surge(1_400_000, 20).calm(30).surge(4_500_000, 15).calm(400)
    return tape.surge(12_000_000, 5).calm(60).trades


def _cascade(symbol: str, side: str) -> Callable[[int], list[OracleTrade]]:
    def write(seed: int) -> list[OracleTrade]:
        tape = Tape(seed, symbol, price="60000", tick="0.5", lot="0.0001")
        tape.calm(40).cascade(400_000, 10, side=side).calm(20).cascade(1_500_000, 6, side=side)
        return tape.calm(330).cascade(300_000, 3, side=side).calm(30).trades

    return write


def _snapshot_first(seed: int) -> list[OracleTrade]:
    tape = Tape(seed, "PF_XBTUSD", tick="1", lot="0.0001").cascade(900_000, 20)
    tape.trades = [replace(trade, is_snapshot=True) for trade in tape.trades]
    return tape.wait(30).calm(60).trades


def _sparse(seed: int) -> list[OracleTrade]:
    tape = Tape(seed, "XRP/USD", price="2.4", tick="0.00001", size_usd=2000)
    for _ in range(25):
        tape.surge(tape.random.uniform(10_000, 3_000_000), 2, trades=tape.random.randrange(1, 4))
        tape.wait(tape.random.choice((1, 40, 299, 300, 301, 900, 4000)))
    return tape.trades


def _silent(seed: int) -> list[OracleTrade]:
    """Silences about as long as the ring of stored chunks: what follows takes the place of what was just before."""
    tape = Tape(seed, "XRP/USD", price="2.4", tick="0.00001", size_usd=2000)
    for _ in range(14):
        tape.surge(tape.random.uniform(800_000, 6_000_000), 40, trades=tape.random.randrange(15, 40))
        tape.calm(20).wait(tape.random.choice((4_410, 4_440, 4_470, 7_800, 7_830, 7_860)))
    return tape.trades


def _cheap(seed: int) -> list[OracleTrade]:
    tape = Tape(seed, "PEPE/USD", price="0.000012", tick="0.000000001", lot="0.00001", size_usd=20_000)
    return tape.calm(60).surge(12_000_000, 30, trades=60).calm(60).trades


def _same_instant(seed: int) -> list[OracleTrade]:
    tape = Tape(seed, "ETH/USD", price="2500", tick="0.01")
    for _ in range(60):
        for _ in range(tape.random.randrange(1, 40)):
            tape.trade(tape.random.uniform(10, 4000))
        tape.wait(tape.random.choice((1.0, 2.0, 0.999999)))
    return tape.trades


def _several(seed: int) -> list[OracleTrade]:
    return interleaved(
        _burst(seed),
        _same_instant(seed),
        _cascade("PF_XBTUSD", "sell")(seed),
        _cascade("PI_XBTUSD", "buy")(seed),
    )


SCENARIOS: dict[str, Callable[[int], list[OracleTrade]]] = {
    "calm": _calm,
    "burst": _burst,
    "cascade of longs, linear": _cascade("PF_XBTUSD", "sell"),
    "cascade of shorts, inverse": _cascade("PI_XBTUSD", "buy"),
    "blocks and terminations": lambda seed: with_kinds(_cascade("PI_XBTUSD", "sell")(seed), seed),
    "snapshot of a cascade first": _snapshot_first,
    "sparse": _sparse,
    "hours of silence": _silent,
    "cheap token": _cheap,
    "same instant": _same_instant,
    "several markets": _several,
    "shuffled within seconds": lambda seed: shuffled_in_panes(_several(seed), seed),
    "reordered within the window": lambda seed: reordered(_several(seed), seed),
    "duplicated": lambda seed: duplicated(_several(seed), seed),
    "late": lambda seed: with_late(_burst(seed), seed, late_seconds=4_300),
    "late but kept": lambda seed: with_late(_several(seed), seed, late_seconds=200),
    "everything at once": lambda seed: duplicated(
        with_late(reordered(with_kinds(_several(seed), seed), seed), seed, late_seconds=4_300), seed
    ),
}
"""One recording of each difficulty, by name: call it with a seed."""

IN_ORDER = tuple(
    name for name in SCENARIOS if name not in {"reordered within the window", "late but kept", "everything at once"}
)
"""The scenarios whose trades arrive in the order of their panes, so that even the alerts' panes are the oracle's."""
