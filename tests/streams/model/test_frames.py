"""The frame: what goes in comes out, and anything else is refused in one way."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.errors import BadRecord
from streams.model.amounts import UNITS_PER_BASE, amounts_of
from streams.model.frames import (
    KIND_MASK,
    KIND_SHIFT,
    MAX_FRAME_TRADES,
    SIDE_MASK,
    SNAPSHOT,
    VERSION,
    decode_frame,
    encode_end,
    encode_frame,
)
from streams.model.kinds import FUTURES_KIND, SPOT_KIND, MarketKind
from streams.model.products import Product, linear
from streams.model.trade import Kind, Side, Trade
from streams.venues.kraken.products import SPOT_PRODUCT
from tests.kraken import product_of
from tests.trades import BTC, INVERSE, PERPETUAL, frame_of, future, spot

SYMBOLS = st.sampled_from([BTC, PERPETUAL, INVERSE])


# A liquidation says which side the taker was.
SIDES_AND_KINDS = [(side, kind) for side in Side for kind in Kind if side or kind is not Kind.LIQUIDATION]


@st.composite
def trades_of_one_market(draw: st.DrawFn) -> list[Trade]:
    """Up to a dozen trades of one market, in any order of time and id."""
    symbol = draw(SYMBOLS)
    trade = st.builds(
        lambda id_, tag, *rest: Trade("kraken", symbol, id_, *tag, *rest),
        st.integers(0, 2**63 - 1 if symbol == BTC else 2**128 - 1),
        st.sampled_from(SIDES_AND_KINDS),
        st.decimals(Decimal("0.01"), Decimal(90_000), places=4),
        st.decimals(Decimal("0.01"), Decimal(9_000), places=8),
        st.integers(1_300_000_000_000_000, 4_000_000_000_000_000),
        st.just(product_of(symbol)),
        st.booleans(),
    )
    return draw(st.lists(trade, min_size=1, max_size=12))


@given(trades=trades_of_one_market(), received_us=st.integers(0, 2**62))
def test_what_goes_in_comes_out(trades: list[Trade], received_us: int) -> None:
    """Every figure of every trade, in the order of arrival."""
    frame = decode_frame(encode_frame(trades[0].venue, trades[0].symbol, trades, received_us))
    assert (frame.version, frame.venue, frame.symbol) == (VERSION, trades[0].venue, trades[0].symbol)
    assert frame.received_us == received_us
    assert len(frame) == len(trades)
    assert frame.wide_ids == (trades[0].symbol != BTC)
    assert frame.trade_ids() == [trade.trade_id for trade in trades]
    for trade, figures in zip(trades, frame.figures(), strict=True):
        time_us, price, notional, whole, fraction, flags = figures
        amounts = amounts_of(trade)
        assert (time_us, price, notional) == (trade.time_us, float(trade.price), amounts.notional_micro_usd)
        assert whole * UNITS_PER_BASE + fraction == amounts.quantity_units
        assert Side(flags & SIDE_MASK) is trade.side
        assert Kind((flags & KIND_MASK) >> KIND_SHIFT) is trade.kind
        assert bool(flags & SNAPSHOT) == trade.is_snapshot


def test_columns_are_what_the_documentation_says() -> None:
    """A program in another language reads them by the module's table: little endian, one item per trade."""
    trade = spot(258, price=Decimal("0.5"), quantity=Decimal("2.25"), side=Side.SELL, is_snapshot=True)
    fields = msgspec.msgpack.decode(frame_of([trade], received_us=7))
    assert fields[:4] == [1, "kraken_spot", BTC, 7]
    ids, times, prices, notionals, rests, quantities, fractions, flags = fields[4:]
    assert ids == bytes([2, 1, 0, 0, 0, 0, 0, 0])
    assert int.from_bytes(times, "little") == trade.time_us
    assert prices == bytes([0, 0, 0, 0, 0, 0, 0xE0, 0x3F])
    assert int.from_bytes(notionals, "little") == 1_125_000
    assert rests == bytes(4)
    assert (int.from_bytes(quantities, "little"), int.from_bytes(fractions, "little")) == (2, 25 * 10**12)
    assert flags == bytes([0b10010])


PERP = MarketKind("perp", has_liquidations=True, id_bytes=8)
# Written by 0.1 (commit 1a202df), whose frames named no kinds.
GOLDEN = {
    BTC: (
        "9c01ab6b72616b656e5f73706f74a74254432f55534407c4080100000000000000c40800401e18240a0600c4080000000000"
        "005940c40800e1f50500000000c40400000000c4080100000000000000c4080000000000000000c40101"
    ),
    PERPETUAL: (
        "9c01ae6b72616b656e5f66757475726573a950465f58425455534407c41000000000000000000000000000000001c4080040"
        "1e18240a0600c4080000000000005940c40800e1f50500000000c40400000000c4080100000000000000c408000000000000"
        "0000c40101"
    ),
}


class OldFrame(msgspec.Struct, array_like=True):
    """A frame as releases before kinds read it."""

    version: int
    venue: str
    symbol: str
    received_us: int
    ids: bytes
    times_us: bytes
    prices: bytes
    notionals: bytes
    rests: bytes
    quantities: bytes
    fractions: bytes
    flags: bytes


@pytest.mark.parametrize("trade", [spot(1), future(1)], ids=["spot", "futures"])
def test_frames_of_todays_markets_are_what_they_were(trade: Trade) -> None:
    """Byte for byte: their symbols say what they are."""
    assert frame_of([trade], 7).hex() == GOLDEN[trade.symbol]


def a_product(kind: MarketKind) -> Product:
    return Product(kind, linear)


@pytest.mark.parametrize(
    ("symbol", "product"),
    [("PF_BTC", SPOT_PRODUCT), ("BTC-PERP", a_product(FUTURES_KIND)), ("BTC-PERP", a_product(PERP))],
)
def test_a_frame_names_the_kind_that_its_symbol_does_not_say(symbol: str, product: Product) -> None:
    """As one more item, which releases before kinds pass over."""
    trades = [spot(number, symbol=symbol, product=product) for number in (3, 4)]
    value = frame_of(trades, 7)
    frame = decode_frame(value)
    assert (frame.kind, frame.wide_ids) == (product.kind, product.kind.has_wide_ids)
    assert frame.trade_ids() == [3, 4]
    assert msgspec.msgpack.decode(value)[12:] == [list(msgspec.structs.astuple(product.kind))]
    old = msgspec.msgpack.decode(value, type=OldFrame)
    assert (old.symbol, old.flags, old.fractions) == (symbol, frame.flags, frame.fractions)


def test_a_frame_with_further_items_is_a_frame() -> None:
    """A later release may have more to say."""
    items = msgspec.msgpack.decode(frame_of([spot(1)]))
    frame = decode_frame(msgspec.msgpack.encode([*items, None, False, None, False, b"more"]))
    assert (frame.kind, frame.trade_ids()) == (SPOT_KIND, [1])


@pytest.mark.parametrize("kind", [[], ["perp", True], ["perp", True, 7], ["", True, 8], "perp", 8])
def test_a_frame_that_names_no_possible_kind_is_refused(kind: object) -> None:
    """Ids of another width cannot be counted."""
    items = msgspec.msgpack.decode(frame_of([spot(1)]))
    assert reason_for(msgspec.msgpack.encode([*items, kind])) == "not_a_frame"


def test_words_for_other_kinds_travel_behind_what_an_older_worker_reads() -> None:
    """One per trade; the flags say block, and the first fourteen items are those of a frame without words."""
    words = ["", "assignment", "something new"]
    trades = [future(number, kind=Kind.BLOCK if word else Kind.FILL, word=word) for number, word in enumerate(words, 1)]
    plain = [msgspec.structs.replace(trade, word="") for trade in trades]
    items = msgspec.msgpack.decode(frame_of(trades))
    assert decode_frame(frame_of(trades)).words == words
    assert items[:12] == msgspec.msgpack.decode(frame_of(plain))
    assert items[12:14] == [None, False]
    assert len(msgspec.msgpack.decode(frame_of(plain))) == 12


@pytest.mark.parametrize("words", [[], ["a"], ["a", "b", "c"], ["a", 7], ["a", "b" * 33], "ab", [b"a", b"b"]], ids=repr)
def test_words_that_fit_no_trades_are_refused(words: object) -> None:
    """One text per trade, of at most 32 characters."""
    items = msgspec.msgpack.decode(frame_of([spot(1), spot(2)]))
    assert reason_for(msgspec.msgpack.encode([*items, None, False, words])) == "not_a_frame"


def test_wide_ids_are_the_bytes_of_the_uid() -> None:
    """Big endian, as a UUID prints."""
    fields = msgspec.msgpack.decode(frame_of([future(0x05AF78ACA774478CA50C8B9C234E071E)]))
    assert fields[4].hex() == "05af78aca774478ca50c8b9c234e071e"


@pytest.mark.parametrize("count", [0, MAX_FRAME_TRADES + 1])
def test_frames_hold_between_one_and_five_thousand(count: int) -> None:
    """A producer cannot make another one."""
    with pytest.raises(BadRecord, match="1 to 5000"):
        encode_frame("kraken_spot", BTC, [spot(number) for number in range(count)], 0)


def test_one_bad_trade_refuses_the_frame() -> None:
    """The producer sifts trades before; a frame never carries what a worker would refuse."""
    with pytest.raises(BadRecord, match="bad_price"):
        frame_of([spot(1), spot(2, price=Decimal("NaN"))])


def altered(**changes: object) -> bytes:
    """Return the frame of two trades with some fields replaced."""
    return msgspec.msgpack.encode(msgspec.structs.replace(decode_frame(frame_of([spot(1), spot(2)])), **changes))


WIDE = decode_frame(frame_of([future(1), future(2)])).ids
NARROW = decode_frame(frame_of([spot(1), spot(2)])).ids


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": 2},
        {"flags": b""},
        {"flags": b"\x01"},
        {"ids": NARROW[:-1]},
        {"ids": NARROW + NARROW[:8]},
        {"times_us": b""},
        {"prices": bytes(17)},
        {"notionals": bytes(8)},
        {"rests": bytes(16)},
        {"quantities": bytes(24)},
        {"fractions": bytes(1)},
        {"venue": ""},
        {"venue": "v" * 65},
        {"symbol": ""},
        {"symbol": "S" * 65},
        {"ids": WIDE},
        {"symbol": PERPETUAL},
        {"symbol": "BTC|USD"},
        {"venue": "kraken|spot"},
        {"symbol": "BTC\x00/USD"},
    ],
    ids=repr,
)
def test_ill_formed_frames_are_refused(changes: dict[str, object]) -> None:
    """Another version, ragged columns, names that no key or column holds, ids of the other kind of market."""
    with pytest.raises(BadRecord) as refused:
        decode_frame(altered(**changes))
    assert refused.value.reason == "not_a_frame"


@pytest.mark.parametrize("trades", [[spot(1), spot(2)], [future(1)]])
def test_columns_behind_the_flags_are_not_looked_at(trades: list[Trade]) -> None:
    """A later release's producer may add some, of any type, before every worker reads them."""
    value = frame_of(trades)
    known = [*msgspec.msgpack.decode(value), None, False, None, False]
    longer = msgspec.msgpack.encode([*known, "spot", b"\x00" * 7, {"kind": [1]}])
    assert decode_frame(longer) == decode_frame(value)


@pytest.mark.parametrize("version", [0, 2, 2**40])
@pytest.mark.parametrize("more", [[], ["spot"]])
def test_another_version_is_refused_by_its_number(version: int, more: list[str]) -> None:
    """Whoever can publish may write one: it must end no worker, and its letter says what it was."""
    fields = [version, *msgspec.msgpack.decode(frame_of([spot(1)]))[1:], *more]
    with pytest.raises(BadRecord, match=f"frame version {version} is not known, only 1 is"):
        decode_frame(msgspec.msgpack.encode(fields))


def reason_for(data: bytes) -> str | None:
    """Return why the bytes are refused, None for a frame."""
    try:
        decode_frame(data)
    except BadRecord as error:
        return error.reason
    return None


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1")
@example(msgspec.msgpack.encode([1, 2, 3]))
@example(msgspec.msgpack.encode(["1"] + [b""] * 11))
@example(msgspec.msgpack.encode({"version": 1}))
@example(b"\x9c\x01\xa1\xff")
@example(b"\x91" * 5000)
@example(b"\x81\xa1a" * 5000)
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    """No other exception, whatever arrives."""
    assert reason_for(data) in (None, "not_a_frame")


@given(at=st.integers(0, 300), value=st.integers(0, 255), cut=st.integers(0, 300))
def test_a_damaged_frame_is_a_frame_or_refused(at: int, value: int, cut: int) -> None:
    """A byte changed anywhere, an end cut off."""
    data = bytearray(frame_of([spot(number) for number in range(1, 6)]))
    data[at % len(data)] = value
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        assert reason_for(damaged) in (None, "not_a_frame")


def test_no_frame_begins_like_json() -> None:
    """The worker tells the two apart by the first byte."""
    assert frame_of([spot()])[:1] not in (b"{", b"[", b'"', b" ", b"\n")


def test_a_frame_without_trades_ends_a_recording() -> None:
    """It names the market as its other frames do. Without that word a frame must hold trades."""
    end = encode_end("recording:x", "BTC/USD", SPOT_KIND, 7)
    frame = decode_frame(end)
    assert (frame.venue, frame.symbol, frame.kind) == ("recording:x", "BTC/USD", SPOT_KIND)
    assert (frame.is_end, len(frame)) == (True, 0)
    assert not frame.wide_ids
    assert decode_frame(encode_end("recording:x", PERPETUAL, FUTURES_KIND, 7)).wide_ids
    empty = msgspec.msgpack.encode(msgspec.msgpack.decode(end)[:-1])
    with pytest.raises(BadRecord, match="not 0"):
        decode_frame(empty)
