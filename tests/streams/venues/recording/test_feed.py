"""What recordings hold, in each of their formats, and how fast they are read."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import Fatal
from streams.model.trade import Kind, Side, Trade
from streams.venues.kraken.products import LINEAR_FUTURES, SPOT_PRODUCT
from streams.venues.recording.columns import Columns
from streams.venues.recording.csv_rows import CsvFormat
from streams.venues.recording.lines import Chunk
from streams.venues.recording.markets import Markets
from streams.venues.recording.times import Unit, milliseconds_to_us, seconds_to_us
from tests import real_data
from tests.streams.venues.recording.playing import read, recording, rejects_of, trades_of, write
from tests.wire import records


class TestRealFiles:
    """The recorded files, against a second reader that shares no code with this one."""

    async def test_spot_csv(self) -> None:
        """2203 trades with the taker's side, numbered from 1 in file order."""
        path = real_data.real_file(real_data.SPOT_CSV)
        feed = recording(path)
        trades = await trades_of(feed)
        assert trades == records(real_data.spot_csv(path, feed.venue))
        assert (len(trades), trades[-1].trade_id) == (2203, 2203)

    async def test_rest_page(self) -> None:
        """Real ids; times to the microsecond from their text."""
        path = real_data.real_file(real_data.REST_JSON)
        feed = recording(path)
        trades = await trades_of(feed)
        assert trades == records(real_data.rest_json(path, feed.venue))
        assert trades[0].time_us == 1_762_795_433_971_744
        assert [trade.trade_id for trade in trades] == list(range(10_218_208, 10_218_808))

    async def test_futures_session(self) -> None:
        """Snapshot rows stay snapshot rows, in time order; each message keeps the time at which it was received."""
        path = real_data.real_file(real_data.FUTURES_JSONL)
        feed = recording(path, venue="kraken_futures")
        batches = await read(feed)
        assert [trade for batch in batches for trade in batch.trades] == records(
            real_data.futures_jsonl(path, "kraken_futures")
        )
        assert sum(trade.is_snapshot for batch in batches for trade in batch.trades) == 1000
        assert all(1_626_994_927_000_000 < batch.received_us < 1_626_994_937_000_000 for batch in batches)


class TestTimeAndSales:
    """Kraken's published CSV: ``timestamp,price,volume``."""

    async def test_rows_without_side_and_ids(self, tmp_path: Path) -> None:
        """The market is told by the file's name, the id is the line's number, the side unknown, decimals are exact."""
        path = write(tmp_path / "XBTUSD.csv", "1381095255,122.0,0.1", "1381179030.0423,123.61000,0.00000001")
        venue, symbol = "recording:xbtusd", "BTC/USD"
        fill = (Side.UNKNOWN, Kind.FILL)
        assert await trades_of(recording(path)) == [
            Trade(venue, symbol, 1, *fill, Decimal("122.0"), Decimal("0.1"), 1_381_095_255_000_000, SPOT_PRODUCT),
            Trade(venue, symbol, 2, *fill, Decimal("123.61000"), Decimal("1E-8"), 1_381_179_030_042_300, SPOT_PRODUCT),
        ]

    async def test_market_and_venue_can_be_given(self, tmp_path: Path) -> None:
        """For files whose name tells nothing."""
        path = write(tmp_path / "today.csv", "1381095255,122.0,0.1")
        (trade,) = await trades_of(recording(path, symbol="ETH/USD", venue="kraken_spot"))
        assert (trade.venue, trade.symbol) == ("kraken_spot", "ETH/USD")

    async def test_windows_line_ends_and_blank_lines(self, tmp_path: Path) -> None:
        """Blank lines are no trades but keep their numbers; the last line needs no end."""
        path = tmp_path / "XBTUSD.csv"
        path.write_bytes(b"\xef\xbb\xbf1381095255,122.0,0.1\r\n\r\n1381095256,123.0,0.2")
        assert [trade.trade_id for trade in await trades_of(recording(path))] == [1, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("abc,1,1", "bad_time"),
        ("-5,1,1", "bad_time"),
        ("1381095255.,1,1", "bad_time"),
        ("1381095255,x,1", "wrong_type"),
        ("1381095255,1_0,1", "wrong_type"),
        ("1381095255,,1", "wrong_type"),
        ("1381095255,0,1", "bad_price"),
        ("1381095255,-1,1", "bad_price"),
        ("1381095255,NaN,1", "bad_price"),
        ("1381095255,1,sNaN", "bad_quantity"),
        ("1381095255,1,inf", "bad_quantity"),
        ("1381095255,1,1e400", "magnitude"),
        ("1381095255,1", "missing_field"),
        ("1381095255,1,1,1", "wrong_type"),
        ("\xff\xfe,1,1", "bad_time"),
    ],
)
async def test_a_malformed_row_is_refused_with_its_bytes_and_costs_no_other(
    tmp_path: Path, line: str, reason: str
) -> None:
    """Good, bad, good: two trades with the numbers of their lines, one reject with reason, line number and bytes."""
    path = tmp_path / "XBTUSD.csv"
    path.write_bytes(b"1381095255,1,1\n" + line.encode("latin-1") + b"\n1381095255,1,1\n")
    feed = recording(path)
    batches = await read(feed)
    assert [trade.trade_id for batch in batches for trade in batch.trades] == [1, 3]
    (reject,) = [reject for batch in batches for reject in batch.rejects]
    assert (reject.reason, reject.payload) == (reason, line.encode("latin-1"))
    assert reject.detail.startswith("line 2: ")
    assert (reject.venue, reject.symbol) == ("recording:xbtusd", "BTC/USD")
    assert (feed.progress.rows, feed.progress.rejects) == (2, 1)


class TestHeaderedCsv:
    """CSV with the header ``time_ms,side,price,qty``, columns in any order."""

    async def test_columns_are_found_by_name(self, tmp_path: Path) -> None:
        """The header says where each figure is; more columns do no harm."""
        path = write(tmp_path / "PF_XBTUSD.csv", "price,qty,extra,side,time_ms", "105.5,2,x,sell,1381095255123")
        assert await trades_of(recording(path)) == [
            Trade(
                "recording:pf_xbtusd",
                "PF_XBTUSD",
                1,
                Side.SELL,
                Kind.FILL,
                Decimal("105.5"),
                Decimal(2),
                1_381_095_255_123_000,
                LINEAR_FUTURES,
            )
        ]

    async def test_a_wrong_side_is_refused(self, tmp_path: Path) -> None:
        """Only buy and sell are sides."""
        path = write(tmp_path / "XBTUSD.csv", "time_ms,side,price,qty", "1381095255123,BUY!,1,1", "1381095255123,b,1,1")
        (reject,) = await rejects_of(recording(path))
        assert reject.reason == "bad_side"
        assert reject.detail.startswith("line 2: ")


SPOT_ROW = {
    "symbol": "BTC/USD", "side": "buy", "price": 105944.2, "qty": 0.00027625, "ord_type": "limit",
    "trade_id": 10218208, "timestamp": "2023-10-06T17:35:55.440295Z",
}  # fmt: skip
SPOT = {"channel": "trade", "type": "update", "data": [SPOT_ROW]}
FUTURES = {
    "feed": "trade", "product_id": "PI_XBTUSD", "uid": "05af78ac-a774-478c-a50c-8b9c234e071e", "side": "sell",
    "type": "liquidation", "seq": 653355, "time": 1612266317519, "qty": 15000, "price": 34969.5,
}  # fmt: skip


class TestJsonLines:
    """Recorded socket messages, one per line."""

    async def test_spot_and_futures_bare_and_wrapped_are_mixed(self, tmp_path: Path) -> None:
        """Each line is read by its own protocol; a receipt time is kept where there is one."""
        path = write(
            tmp_path / "session.jsonl",
            {"channel": "heartbeat"},
            SPOT,
            {"received": 1612266317.530123, "frame": FUTURES},
            {"received": 1612266318, "frame": json.dumps(SPOT)},
            {"event": "info", "version": 1},
        )
        batches = await read(recording(path))
        assert [(batch.received_us, [trade.symbol for trade in batch.trades]) for batch in batches] == [
            (0, ["BTC/USD"]),
            (1_612_266_317_530_123, ["PI_XBTUSD"]),
            (1_612_266_318_000_000, ["BTC/USD"]),
        ]
        assert batches[1].trades[0].kind is Kind.LIQUIDATION
        assert batches[1].trades[0].side is Side.SELL

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"channel":"trade","type"', "not_json"),
            ("[1,2]", "wrong_type"),
            ('{"received":"soon","frame":{"event":"info"}}', "bad_time"),
            ('{"something":"else"}', "missing_field"),
            ('{"result":{"XBTUSD":[["1","1"]]}}', "missing_field"),
            ('{"result":{"XBTUSD":[["1","1","1","b","l","",5]]}}', "bad_time"),
            ('{"result":{"XBTUSD":[["1","1",1.5,"x","l","",5]]}}', "bad_side"),
            ('{"result":{"XBTUSD":[["0","1",1.5,"b","l","",5]]}}', "bad_price"),
            ('{"result":{"XBTUSD":[[1,"1",1.5,"b","l","",5]]}}', "wrong_type"),
            ('{"result":{"XBTUSD":[["1","1",1612266317.5,"b","l","",-5]]}}', "magnitude"),
            ('{"result":{"XBTUSD":"none"}}', "wrong_type"),
            ('{"result":{"XBTEUR":[["1","1",1.5,"b","l","",5]]}}', "unknown_quote"),
        ],
    )
    async def test_a_malformed_line_is_refused_and_costs_no_other(self, tmp_path: Path, line: str, reason: str) -> None:
        """Good, bad, good."""
        path = write(tmp_path / "session.jsonl", SPOT, line, SPOT)
        batches = await read(recording(path))
        assert sum(len(batch.trades) for batch in batches) == 2
        assert [reject.reason for batch in batches for reject in batch.rejects] == [reason]

    async def test_answers_to_requests_are_no_trades(self, tmp_path: Path) -> None:
        """An acknowledgement has a result, as a REST page has."""
        result = {"channel": "trade", "snapshot": True, "symbol": "BTC/USD"}
        ack = {"method": "subscribe", "result": result, "success": True}
        path = write(tmp_path / "session.jsonl", ack, {"received": 1612266317, "frame": ack}, SPOT)
        assert len(await trades_of(recording(path))) == 1

    async def test_a_line_that_names_a_venue_that_is_not_known_is_refused(self, tmp_path: Path) -> None:
        """Its message belongs to no other venue."""
        path = write(
            tmp_path / "session.jsonl", {"venue": "elsewhere", "frame": SPOT}, {"venue": 7, "frame": SPOT}, SPOT
        )
        rejects = await rejects_of(recording(path))
        assert [reject.reason for reject in rejects] == ["unknown_venue", "wrong_type"]
        assert "kraken_spot, kraken_futures" in rejects[0].detail

    async def test_rest_pages_follow_each_other(self, tmp_path: Path) -> None:
        """One page a line, each with its own pair."""
        row = ["1.5", "2", 1762795433.9717445, "s", "m", "", 7]
        pages = [{"error": [], "result": {pair: [row], "last": "1"}} for pair in ("XBTUSDT", "XETHZUSD")]
        trades = await trades_of(recording(write(tmp_path / "pages.jsonl", *pages)))
        assert [(trade.symbol, trade.side, trade.time_us) for trade in trades] == [
            ("BTC/USDT", Side.SELL, 1_762_795_433_971_744),
            ("ETH/USD", Side.SELL, 1_762_795_433_971_744),
        ]

    async def test_a_rest_page_may_be_printed_over_many_lines(self, tmp_path: Path) -> None:
        """As tools that indent JSON leave it."""
        row = ["1.5", "2", 1762795433.9717445, "s", "m", "", 7]
        path = tmp_path / "page.json"
        path.write_text(json.dumps({"error": [], "result": {"XBTUSDT": [row], "last": "1"}}, indent=2))
        (trade,) = await trades_of(recording(path))
        assert trade.trade_id == 7


class TestRefusedFiles:
    """One clear line instead of a traceback."""

    def test_missing(self, tmp_path: Path) -> None:
        """The line names the file."""
        with pytest.raises(Fatal, match=r"none\.csv cannot be read: No such file"):
            recording(tmp_path / "none.csv")

    def test_directory(self, tmp_path: Path) -> None:
        """A directory is no recording."""
        with pytest.raises(Fatal, match="cannot be read: Is a directory"):
            recording(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
    def test_empty(self, tmp_path: Path, content: bytes) -> None:
        """Nothing but white space is nothing."""
        path = tmp_path / "XBTUSD.csv"
        path.write_bytes(content)
        with pytest.raises(Fatal, match="is empty"):
            recording(path)

    def test_market_not_told(self, tmp_path: Path) -> None:
        """The line says how to give it."""
        with pytest.raises(Fatal, match="--symbol"):
            recording(write(tmp_path / "trades.csv", "1381095255,122.0,0.1"))

    @pytest.mark.parametrize("name", ["XBTEUR.csv", "ETHXBT.csv"])
    def test_market_not_in_dollars(self, tmp_path: Path, name: str) -> None:
        """There is no conversion yet, and a rate of 1 is never assumed."""
        with pytest.raises(Fatal, match="conversion rate"):
            recording(write(tmp_path / name, "1381095255,122.0,0.1"))

    def test_a_future_that_is_not_in_dollars(self, tmp_path: Path) -> None:
        """The venue knows its notional in no dollar, whatever its prefix says."""
        with pytest.raises(Fatal, match="PF_XBTEUR, which no venue counts in USD"):
            recording(write(tmp_path / "PF_XBTEUR.csv", "1381095255,122.0,0.1"))

    def test_rest_page_not_in_dollars(self, tmp_path: Path) -> None:
        """Known at the start, so said at the start."""
        page = {"error": [], "result": {"XXBTZEUR": [], "last": "1"}}
        with pytest.raises(Fatal, match="conversion rate"):
            recording(write(tmp_path / "page.json", page))

    def test_wrong_venue_and_speed(self, tmp_path: Path) -> None:
        """Both are checked before anything is read."""
        path = write(tmp_path / "XBTUSD.csv", "1381095255,122.0,0.1")
        with pytest.raises(Fatal, match="venue"):
            recording(path, venue="Kraken Spot")
        with pytest.raises(Fatal, match="speed"):
            recording(path, speed=0)


@given(
    chunk_bytes=st.integers(1, 60),
    rows=st.lists(
        st.tuples(st.integers(1_300_000_000, 1_301_000_000), st.integers(1, 10**9)), min_size=1, max_size=20
    ).map(sorted),
)
def test_where_the_file_is_cut_into_chunks_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, chunk_bytes: int, rows: list[tuple[int, int]]
) -> None:
    """Lines that span chunks are whole lines."""
    path = tmp_path_factory.mktemp("chunks") / "XBTUSD.csv"
    path.write_text("".join(f"{second},{price},1\n" for second, price in rows))

    async def run() -> list[Trade]:
        return await trades_of(recording(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.venues.recording.feed.CHUNK_BYTES", chunk_bytes)
        trades = asyncio.run(run())
    assert [(trade.trade_id, trade.time_us // 1_000_000, int(trade.price)) for trade in trades] == [
        (number, second, price) for number, (second, price) in enumerate(rows, start=1)
    ]


async def test_an_endless_line_is_refused_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one reject with its first bytes; the rows around it are read."""
    monkeypatch.setattr("streams.venues.recording.feed.CHUNK_BYTES", 1000)
    monkeypatch.setattr("streams.venues.recording.reading.MAX_LINE_BYTES", 5000)
    path = tmp_path / "XBTUSD.csv"
    path.write_bytes(b"1381095255,1,1\n" + b"9" * 50_000 + b",1,1\n1381095255,1,1\n")
    batches = await read(recording(path))
    assert [trade.trade_id for batch in batches for trade in batch.trades] == [1, 3]
    (reject,) = [reject for batch in batches for reject in batch.rejects]
    assert reject.reason == "magnitude"
    assert len(reject.payload) <= 7000


@given(st.integers(0, 2**40), st.text("0123456789", min_size=1, max_size=12))
def test_times_are_cut_off_to_microseconds_without_a_float(seconds: int, fraction: str) -> None:
    """Digits beyond the sixth are dropped, none is changed."""
    expected = int(Decimal(f"{seconds}.{fraction}") * 1_000_000)
    assert seconds_to_us(f"{seconds}.{fraction}") == expected
    assert seconds_to_us(str(seconds)) == milliseconds_to_us(f"{seconds}000") == seconds * 1_000_000


@given(st.binary(max_size=60).filter(lambda line: b"\n" not in line))
def test_no_line_of_bytes_breaks_the_csv_reader(line: bytes) -> None:
    """It is a trade, a reject or blank."""
    columns = Columns(",", 3, 0, Unit.SECONDS, 1, 2)
    known = CsvFormat("recording:x", columns, Markets({}), ("BTC/USD", SPOT_PRODUCT), numbered=True, ids_before=0)
    (batch,) = known.read(Chunk([line], 1, 1, 1))
    assert len(batch.trades) + len(batch.rejects) == (1 if line.strip() else 0)


class Clock:
    """A loop's clock that tests turn: sleeping moves it on and takes no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


class TestSpeed:
    """At a speed, trades come when they are due; without one, as fast as they are read."""

    @pytest.mark.parametrize(("speed", "seconds"), [(1.0, 60.0), (10.0, 6.0), (0.5, 120.0)])
    async def test_a_minute_takes_a_minute_at_real_speed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: float, seconds: float
    ) -> None:
        """Trades of 0, 30 and 60 s, at real speed, ten times and half of it."""
        path = write(tmp_path / "XBTUSD.csv", *(f"{1381095255 + second},1,1" for second in (0, 30, 60)))
        clock = Clock(monkeypatch)
        due = [clock.now async for _ in recording(path, speed=speed).batches()]
        assert due == pytest.approx([0, seconds / 2, seconds])

    async def test_receipt_times_rule_where_there_are_any(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A snapshot's rows are old; what counts is when the message came."""
        lines = [{"received": received, "frame": FUTURES} for received in (1612266318, 1612266320.5)]
        clock = Clock(monkeypatch)
        feed = recording(write(tmp_path / "session.jsonl", *lines), speed=1)
        assert [clock.now async for _ in feed.batches()] == pytest.approx([0, 2.5])

    async def test_a_clock_that_goes_back_does_not_wait(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A late trade goes out at once."""
        path = write(tmp_path / "XBTUSD.csv", *(f"{1381095255 + second},1,1" for second in (0, 5, 2, 6)))
        clock = Clock(monkeypatch)
        due = [clock.now async for _ in recording(path, speed=1).batches()]
        assert due == pytest.approx([0, 5, 5, 6])

    async def test_without_a_speed_nothing_waits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A year in one go."""
        path = write(tmp_path / "XBTUSD.csv", "1381095255,1,1", "1412631255,1,1")
        clock = Clock(monkeypatch)
        assert len(await trades_of(recording(path))) == 2
        assert clock.now == 0


async def test_a_reader_that_is_left_reads_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the consumer does not ask for stays in the file: back-pressure reaches the disk."""
    monkeypatch.setattr("streams.venues.recording.feed.CHUNK_BYTES", 1000)
    feed = recording(write(tmp_path / "XBTUSD.csv", *["1381095255,1,1"] * 10_000))
    batches = feed.batches()
    await anext(batches)
    assert feed.progress.bytes <= 2000
    await batches.aclose()
    assert feed.progress.finished.is_set()


async def test_progress_tells_bytes_rows_and_rate(tmp_path: Path) -> None:
    """As a person reads it."""
    feed = recording(write(tmp_path / "XBTUSD.csv", *["1381095255,1,1"] * 1234))
    assert feed.progress.fraction == 0
    await trades_of(feed)
    assert feed.progress.finished.is_set()
    assert (feed.progress.fraction, feed.progress.rows) == (1.0, 1234)
    assert feed.progress.rate > 0
    assert str(feed.progress).startswith("XBTUSD.csv: 100%, 1,234 trades, ")
