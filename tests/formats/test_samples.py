"""Every release reads what the releases before it wrote, and writes the same bytes for the same content."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.counting.monitor import SourceMessage, decode
from agents.counting.runs import row_of, rows_of
from streams.model import deadletters
from streams.model.alert import decode_alert
from streams.model.amounts import amounts_of
from streams.model.frames import decode_frame
from streams.model.trade import Trade
from tables.market.chunks import decode_chunk, decode_head
from tables.market.coverage import covered_since
from tables.serving import ServedMarkets
from tables.web.cluster.copies import Copies
from tests.faults.ledger import Entry
from tests.faults.previous import ROOT, refolded, unadded
from tests.formats import content
from tests.formats.samples import ADDED, VERSIONS, sample, samples
from tests.trades import row_reader
from tests.worker import MemoryWorker

# Their readers leave fields alone that they do not know: a further one is no new format.
OBJECTS = ("alert", "dead letter of a worker", "dead letter of a producer", "live window")
WRITTEN = content.written()


@pytest.mark.parametrize("name", sorted(WRITTEN.keys() - {*OBJECTS}))
def test_the_same_content_makes_the_same_bytes(name: str) -> None:
    """As the first release: a mixed group, and a way back, are possible."""
    assert WRITTEN[name] == sample(1, name)


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_keep_the_fields_they_had(name: str) -> None:
    """Every one with the same value; later releases may add some."""
    before, now = (json.loads(value) for value in (sample(1, name), WRITTEN[name]))
    assert before.items() <= now.items()


def test_the_same_messages_make_the_same_state(tmp_path: Path) -> None:
    """In every bit, with alerts and without one, of markets of either kind; a head adds since when it counts."""
    messages = [b64decode(value) for value in json.loads(sample(1, "messages"))]
    entries = [Entry(0, offset, b"", value) for offset, value in enumerate(messages)]
    found = refolded(ROOT, entries, {}, {"LIQUIDATION_THRESHOLD_USD": "20000"}, tmp_path)
    expected = {key: b64decode(value) for key, value in json.loads(sample(1, "state of the messages")).items()}
    assert {key.decode(): value for (_, key), value in unadded(found).items()} == expected


def test_there_is_a_sample_of_all_that_is_written() -> None:
    """Who writes something new adds a sample of it."""
    assert WRITTEN.keys() <= samples(VERSIONS[-1]).keys()


@pytest.mark.parametrize("name", sorted(content.added()))
def test_what_was_added_stays_as_it_is(name: str) -> None:
    """Within the version, so the same holds for it."""
    assert content.added().keys() == samples(ADDED).keys()
    assert content.added()[name] == sample(ADDED, name)


def test_a_head_says_since_when_it_counts() -> None:
    """Whoever restores it."""
    head = decode_head(b"", sample(ADDED, "head of a market that says since when it counts"))
    assert covered_since(head.tail.more, head.watermark, 4200) == content.NOON - 100


def test_trades_of_other_kinds_are_read() -> None:
    """As rows that say block, with their words beside them; one as JSON too."""
    frame = decode_frame(sample(ADDED, "frame of trades of other kinds"))
    assert frame.words == content.OTHER_WORDS
    assert rows_of(frame) == [row_of(trade, amounts_of(trade)) for trade in content.OTHER_TRADES]
    one = decode(SourceMessage(content.OTHER_ROW, 0, 0, content.NOON), row_reader())
    assert (len(one), one.kind_name(0)) == (1, "assignment")


@pytest.mark.parametrize("version", VERSIONS)
class TestReading:
    """Of each version."""

    @pytest.mark.parametrize(
        ("name", "trades"),
        [("frame of spot trades", content.SPOT_TRADES), ("frame of futures trades", content.FUTURES_TRADES)],
    )
    def test_a_frame(self, version: int, name: str, trades: list[Trade]) -> None:
        """Every figure of every trade."""
        frame = decode_frame(sample(version, name))
        assert (frame.venue, frame.symbol) == (trades[0].venue, trades[0].symbol)
        assert rows_of(frame) == [row_of(trade, amounts_of(trade)) for trade in trades]

    @pytest.mark.parametrize(
        ("name", "row"),
        [
            ("spot", (77, 1_760_000_010_000_001, 60000.1, 30_000_050_600, 1_000_000, 0, 50_000_001_000_000, 1)),
            (
                "futures",
                (content.UID.to_bytes(16), 1_760_000_010_000_000, 60000.0, 30_000_000_000, 0, 0, 50_000_000_000_000, 6),
            ),
        ],
    )
    def test_a_row(self, version: int, name: str, row: tuple[Any, ...]) -> None:
        """One trade as JSON."""
        message = SourceMessage(sample(version, f"row of a {name} trade"), 0, 0, content.NOON + 0.25)
        trades = decode(message, row_reader())
        assert (trades.venue, trades.received_us) == (f"kraken_{name}", content.NOON * 10**6 + 250_000)
        assert trades.rows == [row]

    def test_an_alert(self, version: int) -> None:
        """As the recorder reads it."""
        assert decode_alert(sample(version, "alert")) == content.ALERT

    def test_dead_letters(self, version: int) -> None:
        """As ``liqmon topic dead-letters`` reads them."""
        assert deadletters.decode(sample(version, "dead letter of a worker")) == content.LETTER
        assert deadletters.decode(sample(version, "dead letter of a producer")) == content.PRODUCERS_LETTER

    def test_chunks_and_heads(self, version: int) -> None:
        """Every pane, identity and mark."""
        assert decode_chunk(b"k", sample(version, "chunk of a spot market")) == content.SPOT_CHUNK
        assert decode_chunk(b"k", sample(version, "chunk of a futures market")) == content.FUTURES_CHUNK
        assert decode_head(b"k", sample(version, "head")) == content.SPOT_HEAD
        assert decode_head(b"k", sample(version, "head of a new market")) == content.NEW_HEAD

    def test_live_windows(self, version: int) -> None:
        """As a worker shows those of one that does not answer."""
        fields = json.loads(sample(version, "live window")) | {"partition": "2", "offset": "41"}
        copy = Copies(None, ServedMarkets(MemoryWorker()))._copy([part for pair in fields.items() for part in pair])
        assert copy is not None
        assert (copy.venue, copy.symbol, copy.watermark) == ("kraken_spot", "BTC/USD", content.NOON)
        assert {seconds: window[:2] for seconds, window in copy.windows.items()} == {60: [1, 5.0], 300: [2, 10.0]}
        assert copy.alerts == {"volume": content.LATEST_ALERT}


class TestReadingAhead:
    """What a later release may add without a new version."""

    def test_an_alert_with_fields_that_nobody_knows_yet(self) -> None:
        """The row holds what is known."""
        later = msgspec.json.decode(sample(1, "alert")) | {"unit": "usd", "seen": {"step": 2}, "steps": [1, 2]}
        assert decode_alert(msgspec.json.encode(later)) == content.ALERT

    def test_a_dead_letter_with_a_field_that_nobody_knows_yet(self) -> None:
        """It is read as before."""
        later = msgspec.json.decode(sample(1, "dead letter of a worker")) | {"release": "9.9.9"}
        assert deadletters.decode(msgspec.json.encode(later)) == content.LETTER

    @pytest.mark.parametrize("more", [["spot"], [None, b"\x00", {"kind": "x"}], [0, 1, 2, 3, 4]])
    def test_a_frame_with_columns_that_nobody_knows_yet(self, more: list[object]) -> None:
        """Also so many that the array's length takes more bytes."""
        value = sample(1, "frame of spot trades")
        longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(value), None, False, None, False, *more])
        assert decode_frame(longer) == decode_frame(value)
