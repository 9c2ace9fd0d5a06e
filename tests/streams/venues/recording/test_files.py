"""Recordings as files: packed, newest first, several at once, and what they are where they are no recordings."""

import gzip
import io
import json
import os
import random
import tarfile
import tracemalloc
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BadRecording
from streams.model.trade import Kind, Side, Trade
from streams.venues.recording import containers
from streams.venues.recording.reading import backwards, forwards
from tests import real_data
from tests.streams.venues.recording.playing import read, recording, trades_of, write
from tests.wire import records

FIRST = 1_381_095_255
HISTORY_ROW: dict[str, Any] = {
    "time": "2021-07-22T23:02:07.683Z", "trade_id": 1, "price": 32260.5, "size": 2500, "side": "sell",
    "type": "liquidation", "uid": "05af78ac-a774-478c-a50c-8b9c234e071e",
}  # fmt: skip


def rows(*seconds: int) -> bytes:
    """Return rows of time and sales; each price is its time after the first."""
    return b"".join(b"%d,%d,1\n" % (FIRST + second, second + 1) for second in seconds)


def seconds(trades: list[Trade]) -> list[int]:
    """Return when trades happened."""
    return [trade.time_us // 1_000_000 - FIRST for trade in trades]


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class TestPacked:
    """Packed files are unpacked as they are read."""

    async def test_gzip_has_the_identities_of_its_content(self, tmp_path: Path) -> None:
        """The real file, packed: the same venue, market and trades; progress counts bytes on disk."""
        plain = real_data.real_file(real_data.SPOT_CSV)
        path = tmp_path / f"{plain.name}.gz"
        path.write_bytes(gzip.compress(plain.read_bytes()))
        feed = recording(path)
        assert feed.venue == recording(plain).venue
        assert await trades_of(feed) == records(real_data.spot_csv(plain, feed.venue))
        assert (feed.progress.bytes, feed.progress.total_bytes) == (path.stat().st_size,) * 2

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    async def test_zip_with_one_member(self, tmp_path: Path, method: int) -> None:
        """The member's name tells the market, the archive's the venue. A stored one is no CSV with odd lines."""
        path = zipped(tmp_path / "Trades 2013.zip", {"XBTUSD.csv": rows(0, 1, 2)}, method)
        trades = await trades_of(recording(path))
        assert [(trade.venue, trade.symbol) for trade in trades] == [("recording:trades-2013", "BTC/USD")] * 3

    async def test_zip_with_many_members_plays_in_the_order_of_time(self, tmp_path: Path) -> None:
        """What is not in dollars is left out and said; folders and what systems add are no members."""
        members = {
            "all/": b"", "all/XBTUSD.csv": rows(0, 2, 4), "all/ETHUSD.csv": rows(1, 2, 3), "all/XBTEUR.csv": rows(0),
            "__MACOSX/all/._XBTUSD.csv": b"\0\1", "all/.DS_Store": b"\0",
        }  # fmt: skip
        feed = recording(zipped(tmp_path / "Kraken_Trading_History.zip", members))
        trades = await trades_of(feed)
        assert [(trade.symbol[:3], at) for trade, at in zip(trades, seconds(trades), strict=True)] == [
            ("BTC", 0), ("ETH", 1), ("ETH", 2), ("BTC", 2), ("ETH", 3), ("BTC", 4),
        ]  # fmt: skip
        (note,) = feed.notes
        assert note == "left out 1 members that are not quoted in USD: Kraken_Trading_History.zip:all/XBTEUR.csv"
        feed = recording(zipped(tmp_path / "Kraken_Trading_History.zip", members), symbol="XBT/USD")
        assert {trade.symbol for trade in await trades_of(feed)} == {"BTC/USD"}

    @pytest.mark.parametrize("packing", ["gzip", "zip"])
    async def test_memory_does_not_grow_with_what_a_file_unpacks_to(self, tmp_path: Path, packing: str) -> None:
        """Of twenty megabytes on twenty kilobytes of disk, as much is held at once as of a small file."""
        content = rows(0) + b"\n" * 20_000_000
        path = tmp_path / f"XBTUSD.csv.{packing[:2]}"
        if packing == "zip":
            path = zipped(tmp_path / "XBTUSD.zip", {"XBTUSD.csv": content})
        else:
            path.write_bytes(gzip.compress(content, 1))
        del content
        tracemalloc.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("streams.venues.recording.feed.CHUNK_BYTES", 16 * 1024)
            batches = recording(path).batches()
            for _ in range(20):
                await anext(batches)
            await batches.aclose()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 4_000_000

    async def test_a_file_that_is_cut_off_ends_with_what_it_is(self, tmp_path: Path) -> None:
        """What could be read was played; the end says why there is no more."""
        random.seed(1)
        whole = gzip.compress(b"".join(b"%d,%f,1\n" % (FIRST + at, random.uniform(1, 2)) for at in range(20_000)))
        path = tmp_path / "XBTUSD.csv.gz"
        path.write_bytes(whole[: len(whole) // 2])
        feed = recording(path)
        with pytest.raises(BadRecording, match=r"XBTUSD\.csv\.gz cannot be read on: it is damaged or cut off"):
            await read(feed)
        assert feed.progress.rows > 1000


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("XBTUSD.csv"))
    return packed.getvalue()


def _zip(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"PK\x03\x04" + bytes(range(256)) * 9, "cannot be read: it is damaged or cut off"),
        (_zip(), "is an empty zip archive: give what is in it"),
        (_zip(a__npy="x"), "is NumPy arrays in a zip archive: give CSV or JSON"),
        (_zip(a__csv="1,2\n"), "XBTUSD.csv:a.csv is CSV, but it has rows of 2 columns"),
        (_zip(XBTEUR__csv="1381095255,1,1\n"), "XBTUSD.csv:XBTEUR.csv is of BTC/EUR"),
        (b"BZh91AY&SY", "is bzip2: give what is in it, as text, .gz or .zip"),
        (b"\xfd7zXZ\x00..", "is xz"),
        (b"\x28\xb5\x2f\xfd..", "is Zstandard"),
        (b"PAR1....", "is a Parquet table"),
        (_tar(), "is a tar archive"),
        (gzip.compress(_tar()), "is a tar archive"),
        (gzip.compress(gzip.compress(b"1381095255,1,1\n")), "is packed twice"),
        ("time,price,qty\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"<!DOCTYPE html><html>", "is a web page or XML"),
        (b"\x00\x01\x02\x03\n" * 9, "has no known format: what is read is CSV of Kraken's timestamp,price,volume"),
        (b'{"no": 1}\n', "is JSON with keys of no known message (no)"),
        (b'{"channel": "trade"', "begins as JSON, and is cut off or damaged"),
        (b'[{"price": 1}]', "is a list of JSON"),
        (b'{"error":["EGeneral:Too many requests"]}', "EGeneral:Too many requests"),
        (b'{"error":["EAPI:Rate limit exceeded"],"result":{}}', "an error of Kraken's REST interface"),
        (b'{"error":[],"result":{"XXBTZUSD":[[1,"1","1","1","1","1","1",2]]}}', "OHLC, whose candles are no trades"),
        (b'{"elements":[],"len":0}', "Kraken's futures executions, which do not say which of them are liquidations"),
        (b'{"candles":[],"more_candles":false}', "candles of futures, which are no trades"),
    ],
    # What packs writes the time: by its content, a case would have another name in each process of a run.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_recording_is_refused_by_its_name(tmp_path: Path, content: bytes, found: str) -> None:
    """Before anything is played."""
    path = tmp_path / "XBTUSD.csv"
    path.write_bytes(content)
    with pytest.raises(BadRecording) as refused:
        recording(path)
    assert found in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["krakenUSD.csv", "tradesUSD.csv", "bitstamp_usd.csv"])
def test_an_exchange_is_no_currency(tmp_path: Path, name: str) -> None:
    """The market must be given."""
    path = tmp_path / name
    path.write_bytes(rows(0))
    with pytest.raises(BadRecording, match=r"told from its name; give it as SYMBOL=BTC/USD .*--symbol BTC/USD"):
        recording(path)
    assert recording(path, symbol="XBTUSD").venue.startswith("recording:")


@pytest.mark.parametrize("name", ["XBTUSD.csv", "XBTUSD.csv.gz"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """What is read to find the format would be missing from the numbers; without a writer it would be waited for."""
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(BadRecording, match="is a pipe or a device, which can be read once only: save it to a file"):
        recording(path)


def test_members_of_one_name_are_refused(tmp_path: Path) -> None:
    """The last of them would be played twice."""
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("XBTUSD.csv", rows(0))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("XBTUSD.csv", rows(1))
    with pytest.raises(BadRecording, match=r"has two members called XBTUSD\.csv"):
        recording(tmp_path / "two.zip")


@pytest.mark.parametrize(("pair", "said"), [("XXBTZUSD", "names its market, BTC/USD"), ("XXBTZEUR", "is of XXBTZEUR")])
def test_a_page_is_of_the_market_that_it_names(tmp_path: Path, pair: str, said: str) -> None:
    """``--symbol`` is for files that name none: another market's trades would be counted as its."""
    path = write(tmp_path / "page.json", {"error": [], "result": {pair: [["1.5", "2", FIRST, "b", "m", "", 7]]}})
    with pytest.raises(BadRecording, match=said):
        recording(path, symbol="ETH/USD")


class TestUseless:
    """A file of which nothing can be used is an error, with reasons and the first bad line."""

    def test_at_the_start(self, tmp_path: Path) -> None:
        """Where the first rows tell it."""
        path = write(tmp_path / "XBTUSD.csv", "1,2,3", "4,5,6", "soon," + "9" * 300 + ",1")
        with pytest.raises(BadRecording) as refused:
            recording(path)
        text = str(refused.value)
        words = "has no row that can be used, of 3 read (bad_time 3; the first: recording:xbtusd, line 1: time 1000000"
        assert words in text
        assert text.endswith(": '1,2,3')")

    @pytest.mark.parametrize("content", [b"timestamp,price,volume", b"\xef\xbb\xbftime,price,qty\r\n\r\n"])
    def test_a_header_alone(self, tmp_path: Path, content: bytes) -> None:
        """As of an export that found nothing."""
        path = tmp_path / "XBTUSD.csv"
        path.write_bytes(content)
        with pytest.raises(BadRecording, match="has a header and no row below it"):
            recording(path)

    async def test_at_the_end(self, tmp_path: Path) -> None:
        """Where a session begins with what is no trade."""
        lines = [{"channel": "heartbeat"}] * 3000
        path = write(tmp_path / "session.jsonl", *lines, {"channel": "trade", "data": [{"symbol": "ETH/USD"}]})
        feed = recording(path)
        with pytest.raises(BadRecording, match=r"session\.jsonl has no row that can be used.* line 3001: .*ETH/USD"):
            await read(feed)
        assert feed.progress.rejects == 1

    async def test_one_of_several_files(self, tmp_path: Path) -> None:
        """The others are played, and the end names it."""
        lines = [{"channel": "heartbeat"}] * 3000
        bad = write(tmp_path / "session.jsonl", *lines, {"channel": "trade", "data": 1})
        good = write(tmp_path / "XBTUSD.csv", rows(0, 1).decode())
        feed = recording(bad, good)
        with pytest.raises(BadRecording, match=r"session\.jsonl has no row"):
            await read(feed)
        assert feed.progress.rows == 2


class TestNewestFirst:
    """Files whose first row is the newest are played from their end."""

    @pytest.mark.parametrize("packing", ["", ".gz", ".zip"])
    async def test_a_real_day_turned_round_is_the_same_day(self, tmp_path: Path, packing: str) -> None:
        """No trade is late, none is lost, and ids rise with time."""
        plain = real_data.real_file(real_data.SPOT_CSV)
        header, *lines = plain.read_bytes().splitlines(keepends=True)
        path = tmp_path / plain.name
        content = header + b"".join(reversed(lines))
        if packing == ".zip":
            path = zipped(path.with_suffix(".zip"), {plain.name: content})
        else:
            path = tmp_path / (plain.name + packing)
            path.write_bytes(gzip.compress(content) if packing else content)
        feed = recording(path)
        assert await trades_of(feed) == records(real_data.spot_csv(plain, feed.venue))
        assert feed.progress.fraction == 1

    async def test_a_refused_row_has_the_number_of_its_line(self, tmp_path: Path) -> None:
        """Counted from the top, with the header."""
        path = write(tmp_path / "XBTUSD.csv", "time,price,qty", rows(3, 2).decode(), "x,1,1", rows(1).decode().strip())
        batches = await read(recording(path))
        assert seconds([trade for batch in batches for trade in batch.trades]) == [1, 2, 3]
        assert [reject.detail for batch in batches for reject in batch.rejects] == ["line 5: 'x' is no time in seconds"]

    async def test_a_late_row_does_not_turn_a_file(self, tmp_path: Path) -> None:
        """Times must fall all along, and from the first row to the last."""
        path = tmp_path / "XBTUSD.csv"
        path.write_bytes(rows(5, 6, 7, 8, 1))
        assert seconds(await trades_of(recording(path))) == [5, 6, 7, 8, 1]
        path.write_bytes(rows(5, 4, 3, 2, 7))
        assert seconds(await trades_of(recording(path))) == [5, 4, 3, 2, 7]

    async def test_what_is_packed_may_need_room_on_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that unpacks to more than there is room for does not fill the disk."""
        monkeypatch.setattr(containers, "MAX_SPOOLED_BYTES", 10_000)
        path = tmp_path / "XBTUSD.csv.gz"
        path.write_bytes(gzip.compress(rows(*reversed(range(5000)))))
        with pytest.raises(BadRecording, match="packed and newest first, and unpacks to more than there is room for"):
            await read(recording(path))

    @given(
        content=st.lists(st.sampled_from([b"", b"a", b"bcd", b"\r", b"e" * 40])).map(b"\n".join),
        start=st.integers(0, 5),
        chunk_bytes=st.integers(1, 20),
    )
    def test_backwards_is_forwards_turned_round(self, content: bytes, start: int, chunk_bytes: int) -> None:
        """Each line with its number, however the file is cut."""

        def told(_: int) -> None:
            pass

        def pairs(chunks: Any) -> list[tuple[int, bytes]]:
            return [pair for chunk in chunks for pair in zip(chunk.numbers(), chunk.lines, strict=True)]

        file = io.BytesIO(content)
        start = min(start, len(content))
        file.seek(start)
        wanted = pairs(forwards(file, 3, chunk_bytes, told))
        found = pairs(backwards(file, start, 3, chunk_bytes, told))
        assert [pair for pair in found[::-1] if pair[1]] == [pair for pair in wanted if pair[1]]


class TestSeveralFiles:
    """Files of one run play in the order of time."""

    async def test_each_trade_comes_when_it_happened(self, tmp_path: Path) -> None:
        """Of three files with thousands of rows, one of them newest first, one of socket messages."""
        random.seed(3)
        times = sorted(random.randrange(10_000) for _ in range(9000))
        one, two = tmp_path / "XBTUSD.csv", tmp_path / "ETHUSD.csv"
        one.write_bytes(rows(*times[::3]))
        two.write_bytes(rows(*times[1::3][::-1]))
        row = {"symbol": "SOL/USD", "side": "buy", "price": 1, "qty": 1}
        lines = [
            {"received": FIRST + at, "frame": {"channel": "trade", "type": "update", "data": [
                row | {"trade_id": number, "timestamp": f"2013-10-07T00:{at // 60 % 60:02}:{at % 60:02}Z"},
            ]}}
            for number, at in enumerate(times[2::3])
        ]  # fmt: skip
        three = write(tmp_path / "session.jsonl", *lines)
        feed = recording(one, two, three)
        found = []
        for batch in await read(feed):
            found += [
                batch.received_us // 1_000_000 - FIRST if batch.received_us else trade.time_us // 1_000_000 - FIRST
                for trade in batch.trades
            ]
        assert found == times
        assert feed.progress.fraction == 1

    async def test_files_of_one_name_number_their_rows_apart(self, tmp_path: Path) -> None:
        """Two quarters of a market are one market, and no row is taken for one of the other file."""
        paths = []
        for quarter, times in (("q1", (0, 1)), ("q2", (1, 2))):
            (tmp_path / quarter).mkdir()
            paths.append(tmp_path / quarter / "XBTUSD.csv")
            paths[-1].write_bytes(rows(*times))
        trades = await trades_of(recording(*paths))
        assert seconds(trades) == [0, 1, 1, 2]
        assert {(trade.venue, trade.symbol) for trade in trades} == {("recording:xbtusd", "BTC/USD")}
        assert len({trade.trade_id for trade in trades}) == 4

    async def test_a_trade_of_the_future_holds_up_no_other(self, tmp_path: Path) -> None:
        """It goes out where it stands; what follows it in its file keeps its time."""
        one, two = tmp_path / "XBTUSD.csv", tmp_path / "ETHUSD.csv"
        one.write_bytes(rows(0) + b"4000000000,9,1\n" + rows(3))
        two.write_bytes(rows(1, 2, 4))
        assert seconds(await trades_of(recording(one, two))) == [0, 4_000_000_000 - FIRST, 1, 2, 3, 4]

    def test_no_file_is_played_twice(self, tmp_path: Path) -> None:
        """Its trades would be counted twice."""
        (tmp_path / "XBTUSD.csv").write_bytes(rows(0))
        with pytest.raises(BadRecording, match=r"XBTUSD\.csv is given twice"):
            recording(tmp_path / "XBTUSD.csv", tmp_path / "XBTUSD.csv")

    def test_a_market_that_is_given_for_all_must_be_that_of_each(self, tmp_path: Path) -> None:
        """A file of another one is not taken for it."""
        for name in ("XBTUSD.csv", "ETHUSD.csv"):
            (tmp_path / name).write_bytes(rows(0))
        with pytest.raises(BadRecording, match=r"ETHUSD\.csv is of ETH/USD by its name, and --symbol BTC/USD is for"):
            recording(tmp_path / "XBTUSD.csv", tmp_path / "ETHUSD.csv", symbol="XBTUSD")

    async def test_memory_does_not_grow_with_the_number_of_files(self, tmp_path: Path) -> None:
        """Hundreds of markets are read by a few kilobytes each."""
        content = rows(*range(300))
        path = zipped(tmp_path / "all.zip", {f"A{number}USD.csv": content for number in range(100)})
        tracemalloc.start()
        batches = recording(path).batches()
        for _ in range(3):
            await anext(batches)
        await batches.aclose()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 40_000_000


class TestPages:
    """Answers of Kraken's REST interface."""

    async def test_futures_history_keeps_its_liquidations(self, tmp_path: Path) -> None:
        """Newest first as it comes, the market by the file's name; an identity is the uid."""
        newer = HISTORY_ROW | {"time": "2021-07-22T23:02:08Z", "type": "fill", "uid": str(UUID(int=5)), "side": "buy"}
        page = {"result": "success", "history": [newer, HISTORY_ROW], "serverTime": "2021-07-22T23:03:00Z"}
        older, last = await trades_of(recording(write(tmp_path / "PI_XBTUSD.json", page)))
        assert (older.kind, older.side, older.quantity, older.price) == (
            Kind.LIQUIDATION, Side.SELL, Decimal(2500), Decimal("32260.5"),
        )  # fmt: skip
        assert older.time_us == 1_626_994_927_683_000
        assert (older.symbol, older.trade_id) == ("PI_XBTUSD", UUID(HISTORY_ROW["uid"]).int)
        assert (last.trade_id, last.kind) == (5, Kind.FILL)

    async def test_pages_that_go_back_in_time_are_played_forwards(self, tmp_path: Path) -> None:
        """As a loop over lastTime leaves them, one a line; a bad row costs itself."""
        pages = []
        for minute in (5, 4, 3):
            history = [
                HISTORY_ROW
                | {"time": f"2021-07-22T23:{minute:02}:{second:02}Z", "uid": str(UUID(int=60 * minute + second))}
                for second in (30, 20, 10)
            ]
            pages.append({"result": "success", "history": [*history, {"time": "now"}]})
        batches = await read(recording(write(tmp_path / "pf_xbtusd.jsonl", *pages)))
        assert [trade.trade_id for batch in batches for trade in batch.trades] == [
            190, 200, 210, 250, 260, 270, 310, 320, 330,
        ]  # fmt: skip
        assert [reject.detail for batch in batches for reject in batch.rejects] == [
            f"line {line}: price is missing" for line in (3, 2, 1)
        ]

    def test_history_must_say_its_market(self, tmp_path: Path) -> None:
        """Its rows do not."""
        with pytest.raises(BadRecording, match="no market can be told from its name"):
            recording(write(tmp_path / "history.json", {"result": "success", "history": [HISTORY_ROW]}))

    @pytest.mark.parametrize("cells", [[], [0]], ids=["6 cells", "id 0"])
    async def test_rows_without_ids_are_numbered(self, tmp_path: Path, cells: list[int]) -> None:
        """Sixty rows over two pages are sixty trades."""
        pages = [
            {"result": {"XBTUSD": [["1", "1", FIRST + page * 30 + at, "b", "l", "", *cells] for at in range(30)]}}
            for page in range(2)
        ]
        trades = await trades_of(recording(write(tmp_path / "pages.jsonl", *pages)))
        assert [trade.trade_id for trade in trades] == list(range(1, 61))

    async def test_a_row_without_an_id_among_others_meets_none_of_theirs(self, tmp_path: Path) -> None:
        """Its id is one that no venue gives."""
        page = {"result": {"XBTUSD": [["1", "1", FIRST, "b", "l", "", trade_id] for trade_id in (1, 0)]}}
        trades = await trades_of(recording(write(tmp_path / "page.json", page)))
        assert [trade.trade_id for trade in trades] == [1, 2**62 + 1]

    async def test_a_page_that_is_newest_first_is_turned(self, tmp_path: Path) -> None:
        """So none of its rows is late."""
        page = {"result": {"XBTUSD": [["1", "1", FIRST + 2 - at, "b", "l", "", 9 - at] for at in range(3)]}}
        assert seconds(await trades_of(recording(write(tmp_path / "page.json", json.loads(json.dumps(page)))))) == [
            0,
            1,
            2,
        ]


async def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """Whether a recording is read to its end, left, or refused."""
    path = zipped(tmp_path / "all.zip", {"XBTUSD.csv": rows(0, 1), "ETHUSD.csv": rows(2, 1)})
    before = len(list(Path("/dev/fd").iterdir()))
    await trades_of(recording(path))
    batches = recording(path).batches()
    await anext(batches)
    await batches.aclose()
    with pytest.raises(BadRecording):
        recording(zipped(tmp_path / "bad.zip", {"XBTUSD.csv": b"?"}))
    assert len(list(Path("/dev/fd").iterdir())) == before
