"""CSV as programs write it: whatever its header, its quotes, its times and its order."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BadRecording
from streams.model.trade import Kind, Side
from streams.venues.recording.times import Unit, reader_of, unit_of
from tests import real_data
from tests.streams.venues.recording.playing import read, recording, rejects_of, trades_of, write
from tests.wire import records

HEADER = "time_ms,side,price,qty"


async def only_trade(path: Path, symbol: str | None = None) -> tuple[int, Side, Decimal, Decimal]:
    """Return what the one row of a file says."""
    (trade,) = await trades_of(recording(path, symbol=symbol))
    return trade.time_us, trade.side, trade.price, trade.quantity


class TestQuotes:
    """Files from spreadsheets."""

    async def test_quoted_rows_with_bom_and_crlf(self, tmp_path: Path) -> None:
        """Header and rows are both unquoted; the real file gives the same trades as it does bare."""
        plain = real_data.real_file(real_data.SPOT_CSV)
        text = io.StringIO()
        with plain.open(newline="") as lines:
            csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(csv.reader(lines))
        path = tmp_path / plain.name
        path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
        feed = recording(path)
        assert await trades_of(feed) == records(real_data.spot_csv(plain, feed.venue))

    async def test_a_quote_that_is_not_closed_costs_its_line_only(self, tmp_path: Path) -> None:
        """It swallows nothing below it."""
        path = write(tmp_path / "XBTUSD.csv", '"1381095255","122.0","0.1"', '"1381095256,1,1', "1381095257,1,1")
        feed = recording(path)
        batches = await read(feed)
        assert [trade.trade_id for batch in batches for trade in batch.trades] == [1, 3]
        (reject,) = [reject for batch in batches for reject in batch.rejects]
        assert (reject.reason, reject.payload) == ("wrong_type", b'"1381095256,1,1')
        assert reject.detail.startswith("line 2: ")

    @pytest.mark.parametrize("delimiter", [";", "\t"])
    async def test_other_delimiters(self, tmp_path: Path, delimiter: str) -> None:
        """As some programs save tables."""
        lines = [line.replace(",", delimiter) for line in (HEADER, "1381095255123,buy,1.5,2")]
        time_us, *_ = await only_trade(write(tmp_path / "XBTUSD.csv", *lines))
        assert time_us == 1_381_095_255_123_000


class TestHeaders:
    """Columns are found by their names, in any order."""

    @pytest.mark.parametrize(
        ("header", "row"),
        [
            ("price,volume,timestamp", "1.5,2,1381095255.5"),
            ("Timestamp, Price, Amount", "1381095255.5, 1.5, 2"),
            ('"time","price","size"', '"1381095255500","1.5","2"'),
            ("datetime,price,quantity", "2013-10-06T21:34:15.5Z,1.5,2"),
            ("date,price,quantity", "2013-10-06 23:34:15.5+02:00,1.5,2"),
            ("note,time_us,price,qty", "a_b,1381095255500000,1.5,2"),
            ("time_ns,price,qty,ordertype,type", "1381095255500000000,1.5,2,l,m"),
        ],
    )
    async def test_names_that_programs_use(self, tmp_path: Path, header: str, row: str) -> None:
        """The same trade in each."""
        found = await only_trade(write(tmp_path / "XBTUSD.csv", header, row))
        assert found == (1_381_095_255_500_000, Side.UNKNOWN, Decimal("1.5"), Decimal(2))

    @pytest.mark.parametrize(
        ("text", "side"),
        [("BUY", Side.BUY), ("Sell", Side.SELL), ("b", Side.BUY), (" sELL ", Side.SELL), ("unknown", Side.UNKNOWN)],
    )
    async def test_sides_however_they_are_written(self, tmp_path: Path, text: str, side: Side) -> None:
        """Case and blanks mean nothing."""
        found = await only_trade(write(tmp_path / "XBTUSD.csv", HEADER, f"1381095255123,{text},1,1"))
        assert found[1] is side

    async def test_a_header_amid_the_rows_is_no_row(self, tmp_path: Path) -> None:
        """Files that were put together have one each; nothing of them is refused."""
        path = write(tmp_path / "XBTUSD.csv", "", HEADER, "1381095255123,buy,1,1", HEADER, "1381095255124,buy,1,1")
        assert [trade.trade_id for trade in await trades_of(recording(path))] == [1, 3]
        path = write(tmp_path / "ETHUSD.csv", "1381095255,1,1", "time,price,volume", "1381095256,1,1")
        assert [trade.trade_id for trade in await trades_of(recording(path))] == [1, 3]

    async def test_kinds_of_trades(self, tmp_path: Path) -> None:
        """Where the type is the kind of trade, liquidations are liquidations; of other kinds the word is kept."""
        lines = [f"1381095255123,sell,1,1,{kind}" for kind in ("Liquidation", "fill", "unwind", "")]
        batches = await read(recording(write(tmp_path / "PF_XBTUSD.csv", f"{HEADER},type", *lines)))
        trades = [trade for batch in batches for trade in batch.trades]
        assert [trade.kind for trade in trades] == [Kind.LIQUIDATION, Kind.FILL, Kind.BLOCK]
        assert [trade.word for trade in trades] == ["", "", "unwind"]
        assert [reject.reason for batch in batches for reject in batch.rejects] == ["missing_field"]

    @pytest.mark.parametrize(
        ("lines", "found"),
        [
            (["when,price,qty", "1,2,3"], "names no time: one of its columns must be called time_ms or "),
            (["time,price", "1,2"], "names no quantity"),
            (["time,price,size,amount", "1381095255,2,3,4"], "amount and size could both be the quantity"),
            (["a,b,c", "1381095255,2,3"], "columns 'a, b, c' are not known: its header must name time, price and qty"),
            (["1381095255,2,3,b,l"], "rows of 5 columns and no header: put a first line above it"),
            (["2.5,3,1381095255"], "times stand in the last column, as in price,volume,timestamp: put a first line"),
            (["time,price,qty", "2013-10-06 21:34:15,1,1"], "has no time zone: write it with Z at its end"),
            (["time_ms,price,qty", "1381095255,1,1"], "time 1381095255000 us is outside 2009 to 2100"),
            (["exchange,symbol,timestamp,price,amount", "bitmex,XBTUSD,1381095255000000,1,1"], "exchange is 'bitmex'"),
        ],
    )
    def test_what_is_not_certain_is_refused_by_the_name_of_what_was_found(
        self, tmp_path: Path, lines: list[str], found: str
    ) -> None:
        """The line says what to do about it."""
        with pytest.raises(BadRecording) as refused:
            recording(write(tmp_path / "XBTUSD.csv", *lines))
        assert found in str(refused.value)
        assert str(refused.value).startswith("recording XBTUSD.csv ")


class TestTimes:
    """What a column of times counts is told by its name or by its size."""

    @pytest.mark.parametrize(
        "time",
        [
            "1616666442.295",
            "1616666442295",
            "1616666442295.0",
            "1616666442295000",
            "1616666442295000000",
            "1.616666442295E9",
            "1.616666442295e+12",
        ],
    )
    async def test_seconds_to_nanoseconds_without_a_header(self, tmp_path: Path, time: str) -> None:
        """Data frames print whole numbers as floats, and spreadsheets as powers."""
        time_us, *_ = await only_trade(write(tmp_path / "XBTUSD.csv", f"{time},122.0,0.1"))
        assert time_us == 1_616_666_442_295_000

    async def test_an_exponent_of_whole_seconds(self, tmp_path: Path) -> None:
        """1.7E9 is 1 700 000 000."""
        assert (await only_trade(write(tmp_path / "XBTUSD.csv", "1.7E9,1,1")))[0] == 1_700_000_000_000_000

    @given(st.integers(1_230_768_000_000_000, 4_102_444_799_999_999))
    def test_each_unit_is_told_by_its_size(self, time_us: int) -> None:
        """And read back exactly."""
        texts = {
            Unit.SECONDS: f"{time_us // 10**6}.{time_us % 10**6:06}",
            Unit.MILLISECONDS: f"{time_us // 1000}.{time_us % 1000:03}",
            Unit.MICROSECONDS: str(time_us),
            Unit.NANOSECONDS: f"{time_us}999",
        }
        for unit, text in texts.items():
            assert unit_of([text, "?"]) is unit
            assert reader_of(unit)(text) == time_us

    @pytest.mark.parametrize("text", ["1e999", "9" * 5000, "1_0", "-1", "+1", "", "NaN", "\u0661"])
    @pytest.mark.parametrize("unit", Unit)
    def test_what_is_no_time_is_refused_at_once(self, text: str, unit: Unit) -> None:
        """No power is computed that would fill the memory."""
        with pytest.raises(ValueError, match=r"no time|no date|Exceeds the limit"):
            reader_of(unit)(text)


class TestIdentities:
    """Rows with ids of their own keep them; 0 is none."""

    async def test_the_ids_of_the_file_are_the_trades_own(self) -> None:
        """The real three days of BTC/USDT have ids with holes."""
        path = real_data.real_file("kraken_spot_btcusdt_2023-11-17_3days.csv")
        with path.open(newline="") as lines:
            wanted = [int(row["trade_id"]) for row in csv.DictReader(lines)]
        assert [trade.trade_id for trade in await trades_of(recording(path))] == wanted

    @pytest.mark.parametrize("identity", ["0", "", "0.0"])
    async def test_an_id_that_is_0_everywhere_is_none(self, tmp_path: Path, identity: str) -> None:
        """Sixty rows are sixty trades, with the ids that files without ids get."""
        rows = [f"{identity},{1381095255123 + at},buy,1,1" for at in range(60)]
        trades = await trades_of(recording(write(tmp_path / "XBTUSD.csv", f"trade_id,{HEADER}", *rows)))
        assert [trade.trade_id for trade in trades] == list(range(1, 61))

    async def test_a_row_without_an_id_among_others_meets_none_of_theirs(self, tmp_path: Path) -> None:
        """Its id is one that no venue gives."""
        rows = [f"{identity},1381095255123,buy,1,1" for identity in ("7", "0", "2.0", "x")]
        batches = await read(recording(write(tmp_path / "XBTUSD.csv", f"id,{HEADER}", *rows)))
        assert [trade.trade_id for batch in batches for trade in batch.trades] == [7, 2**62 + 2, 2]
        assert [reject.reason for batch in batches for reject in batch.rejects] == ["wrong_type"]

    async def test_futures_are_told_apart_by_uid(self, tmp_path: Path) -> None:
        """Their trade_id is a place on a page: the same two on each."""
        uid = "05af78ac-a774-478c-a50c-8b9c234e071e"
        path = write(tmp_path / "PF_XBTUSD.csv", f"trade_id,uid,{HEADER}", f"1,{uid},1381095255123,buy,1,1")
        (trade,) = await trades_of(recording(path))
        assert trade.trade_id == 0x05AF78ACA774478CA50C8B9C234E071E
        path = write(tmp_path / "PF_ETHUSD.csv", f"trade_id,{HEADER}", *["1,1381095255123,buy,1,1"] * 2)
        assert [trade.trade_id for trade in await trades_of(recording(path))] == [1, 2]


class TestMarkets:
    """Rows may name their market."""

    async def test_several_markets_in_one_file(self, tmp_path: Path) -> None:
        """Each row is of its own; one that cannot be counted in USD costs itself."""
        names = ["XBTUSD", "PI_XBTUSD", "ETH/USD", "xbt-usd", "ETH/EUR"]
        rows = [f"{name},1381095255123,buy,1,1" for name in names]
        batches = await read(recording(write(tmp_path / "all.csv", f"symbol,{HEADER}", *rows)))
        trades = [trade for batch in batches for trade in batch.trades]
        assert [trade.symbol for trade in trades] == ["BTC/USD", "PI_XBTUSD", "ETH/USD", "BTC/USD"]
        assert [reject.reason for batch in batches for reject in batch.rejects] == ["unknown_quote"]

    async def test_trades_as_tardis_records_them(self, tmp_path: Path) -> None:
        """Microseconds, Kraken's two exchanges under their names, ids where there are some."""
        header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
        uid = "05af78ac-a774-478c-a50c-8b9c234e071e"
        row = f"cryptofacilities,PI_XBTUSD,1585699200245000,1585699201000000,{uid},sell,6400.5,5"
        spot = "kraken,XBT/USD,1585699200245000,1585699201000000,,unknown,6400.5,5"
        future, pair = await trades_of(recording(write(tmp_path / "trades.csv", header, row, spot)))
        assert (future.symbol, future.side, future.time_us) == ("PI_XBTUSD", Side.SELL, 1_585_699_200_245_000)
        assert future.trade_id == 0x05AF78ACA774478CA50C8B9C234E071E
        assert (pair.symbol, pair.side, pair.trade_id) == ("BTC/USD", Side.UNKNOWN, 2**62 + 2)

    def test_a_market_is_not_given_twice(self, tmp_path: Path) -> None:
        """--symbol is for files that name none."""
        path = write(tmp_path / "all.csv", f"symbol,{HEADER}", "ETH/USD,1381095255123,buy,1,1")
        with pytest.raises(BadRecording, match="names its markets in a column: leave --symbol out"):
            recording(path, symbol="BTC/USD")


async def test_the_first_bad_line_is_counted_as_an_editor_does(tmp_path: Path) -> None:
    """With the header and blank lines."""
    path = write(tmp_path / "XBTUSD.csv", HEADER, "", "1381095255123,buy,1,1", "1381095255123,buy,none,1")
    (reject,) = await rejects_of(recording(path))
    assert reject.detail == "line 4: price is 'none', not a number"


@pytest.mark.parametrize("identity", ["1", "77"])
async def test_an_identity_that_all_rows_share_is_none(tmp_path: Path, identity: str) -> None:
    """All rows but one would vanish as duplicates."""
    path = write(
        tmp_path / "XBTUSD.csv", "time,price,qty,trade_id", *(f"{1381095255 + n},1,1,{identity}" for n in range(9))
    )
    assert len({trade.trade_id for trade in await trades_of(recording(path))}) == 9


async def test_a_row_that_is_there_twice_is_one_trade(tmp_path: Path) -> None:
    """Its identity is its own."""
    path = write(tmp_path / "XBTUSD.csv", "time,price,qty,trade_id", *["1381095255,1,1,77"] * 2)
    assert [trade.trade_id for trade in await trades_of(recording(path))] == [77, 77]


@pytest.mark.parametrize("written", ["2013-10-06 21:34:15+00", "2013-10-06t21:34:15z", "2013-10-06 23:34:15+02"])
async def test_dates_as_databases_write_them(tmp_path: Path, written: str) -> None:
    """Postgres leaves the minutes of a zone out where they are none."""
    path = write(tmp_path / "XBTUSD.csv", "date,price,qty", f"{written},1,1")
    assert [trade.time_us for trade in await trades_of(recording(path))] == [1_381_095_255_000_000]
