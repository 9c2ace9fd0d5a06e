"""A message gives all of its good rows, whatever the others are, and what the venue says beside trades."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.deadletters import REASONS
from streams.venues.kraken.parsing import parse_futures_message, parse_spot_message
from streams.venues.parsed import Ack, Parsed
from tests.kraken import KRAKEN_FUTURES, KRAKEN_SPOT
from tests.streams.venues.kraken.test_trade_rows import FUTURES_ROW, SPOT_REFUSALS, SPOT_ROW


def spot_message(*rows: str, kind: str = "update") -> bytes:
    """Return a v2 message that holds these rows."""
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'.encode()


def futures_snapshot(*rows: str) -> bytes:
    """Return a v1 snapshot that holds these rows."""
    return f'{{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[{",".join(rows)}]}}'.encode()


def test_every_row_of_a_message_is_read() -> None:
    """Not only the first, and each by its own symbol."""
    parsed = parse_spot_message(spot_message(SPOT_ROW, SPOT_ROW.replace("BTC", "ETH"), SPOT_ROW), KRAKEN_SPOT)
    assert [trade.symbol for trade in parsed.trades] == ["BTC/USD", "ETH/USD", "BTC/USD"]
    assert not parsed.is_snapshot


def test_rows_of_a_snapshot_say_so() -> None:
    """A message of type snapshot marks its trades as history."""
    parsed = parse_spot_message(spot_message(SPOT_ROW, kind="snapshot"), KRAKEN_SPOT)
    assert parsed.is_snapshot
    assert parsed.trades[0].is_snapshot


@pytest.mark.parametrize(("old", "new", "reason"), SPOT_REFUSALS)
def test_a_bad_row_costs_only_itself(old: str, new: str, reason: str) -> None:
    """The rows before and after it come out; it is kept byte for byte, with its reason."""
    bad = SPOT_ROW.replace(old, new, 1)
    parsed = parse_spot_message(spot_message(SPOT_ROW, bad, SPOT_ROW), KRAKEN_SPOT)
    assert len(parsed.trades) == 2
    assert [(reject.reason, reject.payload) for reject in parsed.rejects] == [(reason, bad.encode())]


def test_a_reject_names_the_market_where_it_can() -> None:
    """The dead letter can be found by symbol."""
    parsed = parse_spot_message(spot_message(SPOT_ROW.replace("105944.20", "-1")), KRAKEN_SPOT.called("venue"))
    assert (parsed.rejects[0].symbol, parsed.rejects[0].venue) == ("BTC/USD", "venue")


def test_a_constant_inside_a_string_is_text() -> None:
    """Only a bare NaN is a number that is none."""
    parsed = parse_spot_message(spot_message(SPOT_ROW.replace("limit", 'a \\"NaN Infinity'), "NaN"), KRAKEN_SPOT)
    assert len(parsed.trades) == 1
    assert [reject.payload for reject in parsed.rejects] == [b"NaN"]


def test_a_futures_snapshot_comes_out_in_time_order() -> None:
    """It is sent newest first."""
    rows = [FUTURES_ROW.replace("1612266317519", str(1612266317519 - age)) for age in (0, 1, 1, 7)]
    rows = [row.replace("05af78ac", f"0000000{number}") for number, row in enumerate(rows)]
    parsed = parse_futures_message(futures_snapshot(*rows), KRAKEN_FUTURES)
    assert [trade.trade_id >> 96 for trade in parsed.trades] == [3, 2, 1, 0]
    assert all(trade.is_snapshot for trade in parsed.trades)


def test_a_bad_row_of_a_futures_snapshot_costs_only_itself() -> None:
    """The others come out in time order still."""
    parsed = parse_futures_message(
        futures_snapshot(FUTURES_ROW, FUTURES_ROW.replace("15000", "NaN"), FUTURES_ROW), KRAKEN_FUTURES
    )
    assert len(parsed.trades) == 2
    assert [reject.reason for reject in parsed.rejects] == ["bad_quantity"]


def test_a_snapshot_row_without_product_belongs_to_the_snapshots() -> None:
    """The surrounding message names the product."""
    parsed = parse_futures_message(
        futures_snapshot(FUTURES_ROW.replace('"product_id":"PI_XBTUSD",', "")), KRAKEN_FUTURES
    )
    assert [trade.symbol for trade in parsed.trades] == ["PI_XBTUSD"]


def test_a_live_futures_trade_is_one_message() -> None:
    """Good or bad, it is one row."""
    assert len(parse_futures_message(FUTURES_ROW.encode(), KRAKEN_FUTURES).trades) == 1
    bad = FUTURES_ROW.replace("34969.5", "0").encode()
    assert [(reject.reason, reject.payload) for reject in parse_futures_message(bad, KRAKEN_FUTURES).rejects] == [
        ("bad_price", bad)
    ]


@pytest.mark.parametrize(
    ("text", "acks"),
    [
        (
            '{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true,"time_in":"x"}',
            [Ack("BTC/USD", accepted=True)],
        ),
        (
            '{"error":"Currency pair not supported X/USD","method":"subscribe","success":false,"symbol":"X/USD"}',
            [Ack("X/USD", accepted=False, error="Currency pair not supported X/USD", is_definite=True)],
        ),
    ],
)
def test_spot_acknowledgements_name_their_symbol(text: str, acks: list[Ack]) -> None:
    """In the result on success, beside the error on failure."""
    assert parse_spot_message(text.encode(), KRAKEN_SPOT).acks == acks


@pytest.mark.parametrize(
    ("text", "acks"),
    [
        (
            '{"event":"subscribed","feed":"trade","product_ids":["PI_XBTUSD","PF_ETHUSD"]}',
            [Ack("PI_XBTUSD", accepted=True), Ack("PF_ETHUSD", accepted=True)],
        ),
        ('{"event":"subscribed","feed":"heartbeat"}', []),
        (
            '{"event":"error","message":"Invalid product id"}',
            [Ack("", accepted=False, error="Invalid product id", is_definite=True)],
        ),
        (
            '{"event":"alert","message":"Couldn\'t subscribe to invalid product `PF_NOPEUSD`"}',
            [
                Ack(
                    "PF_NOPEUSD",
                    accepted=False,
                    error="Couldn't subscribe to invalid product `PF_NOPEUSD`",
                    is_definite=True,
                )
            ],
        ),
        ('{"event":"error","message":"Service unavailable"}', [Ack("", accepted=False, error="Service unavailable")]),
        ('{"event":"error","message":"Invalid feed"}', []),
        ('{"event":"alert","message":"Failed to subscribe to authenticated feed"}', []),
        ('{"event":"alert","message":"maintenance at noon"}', []),
        ('{"event":"subscribed_failed","feed":"heartbeat","message":"busy"}', []),
        (
            '{"event":"subscribed_failed","feed":"trade","product_ids":["PX"]}',
            [Ack("PX", accepted=False, error="subscription refused")],
        ),
    ],
)
def test_futures_acknowledgements_may_name_none(text: str, acks: list[Ack]) -> None:
    """The error event says what is wrong but not with which product."""
    assert parse_futures_message(text.encode(), KRAKEN_FUTURES).acks == acks


@pytest.mark.parametrize(
    ("text", "is_definite"),
    [
        ("Currency pair not supported X/USD", True),
        ("Currency pair not in ISO 4217-A3 format XUSD", True),
        ("Symbol not found", True),
        ("Invalid product id", True),
        ("Couldn't subscribe to invalid product `PF_XUSD`", True),
        ("Exceeded msg rate", False),
        ("Service unavailable", False),
        ("Service:Unavailable", False),
        ("Subscription snapshot must be a boolean", False),
        ("Internal error", False),
        ("", False),
    ],
)
def test_only_a_definite_answer_is_a_refusal(text: str, is_definite: bool) -> None:
    """Whatever else Kraken says may pass."""
    message = msgspec.json.encode({"error": text, "method": "subscribe", "success": False, "symbol": "X/USD"})
    assert parse_spot_message(message, KRAKEN_SPOT).acks == [
        Ack("X/USD", accepted=False, error=text, is_definite=is_definite)
    ]


@pytest.mark.parametrize(
    ("text", "acks"),
    [
        ('{"error":"Exceeded msg rate","success":false}', [Ack("", accepted=False, error="Exceeded msg rate")]),
        (
            '{"error":"Exceeded msg rate","method":"ping","success":false}',
            [Ack("", accepted=False, error="Exceeded msg rate")],
        ),
        ('{"error":"Malformed request","method":"error","success":false}', []),
    ],
)
def test_a_busy_venue_says_so_to_any_request(text: str, acks: list[Ack]) -> None:
    """With or without the method, which is asked for again too."""
    assert parse_spot_message(text.encode(), KRAKEN_SPOT).acks == acks


@pytest.mark.parametrize(
    ("warnings", "expected"),
    [
        ('["a","b"]', ["a", "b"]),
        ('"a"', ["a"]),
        ("null", []),
        ('{"a":1}', ['{"a":1}']),
        (str(["a"] * 99).replace("'", '"'), ["a"] * 10),
    ],
)
def test_warnings_of_an_acknowledgement_are_told(warnings: str, expected: list[str]) -> None:
    """In whatever form they come, the acknowledgement is one."""
    text = f'{{"method":"subscribe","result":{{"symbol":"BTC/USD","warnings":{warnings}}},"success":true}}'
    parsed = parse_spot_message(text.encode(), KRAKEN_SPOT)
    assert (parsed.acks, parsed.warnings) == ([Ack("BTC/USD", accepted=True)], expected)


def test_the_state_of_the_exchange_is_told() -> None:
    """While it is not online, silence is no fault."""
    text = b'{"channel":"status","type":"update","data":[{"system":"maintenance","api_version":"v2"}]}'
    assert parse_spot_message(text, KRAKEN_SPOT).system == "maintenance"
    assert parse_futures_message(b'{"event":"alert","message":"soon down"}', KRAKEN_FUTURES).notice == "soon down"


@pytest.mark.parametrize(
    "text",
    [
        '{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"A"}',
        '{"event":"subscribed_failed","feed":"trade","product_ids":["A"],"message":"Already subscribed to feed"}',
    ],
    ids=["spot", "futures"],
)
def test_already_subscribed_is_an_acknowledgement(text: str) -> None:
    """An answer that was lost does not end in a refusal."""
    parse, venue = (parse_futures_message, KRAKEN_FUTURES) if "feed" in text else (parse_spot_message, KRAKEN_SPOT)
    (ack,) = parse(text.encode(), venue).acks
    assert (ack.symbol, ack.accepted) == ("A", True)


def test_already_subscribed_names_no_symbol_where_the_venue_does_not() -> None:
    """Then it can only mean a symbol that was asked for alone."""
    text = b'{"error":"Already subscribed","method":"subscribe","success":false}'
    assert [(ack.symbol, ack.accepted) for ack in parse_spot_message(text, KRAKEN_SPOT).acks] == [("", True)]


@pytest.mark.parametrize(
    "text", [b'{"channel":"heartbeat"}', b'{"method":"pong","req_id":1}', b'{"channel":"instrument","data":{}}']
)
def test_other_messages_hold_nothing(text: bytes) -> None:
    """Heartbeats and channels that nobody asked for are neither trades nor faults."""
    assert parse_spot_message(text, KRAKEN_SPOT) == Parsed()
    assert parse_futures_message(b'{"feed":"heartbeat","time":1}', KRAKEN_FUTURES) == Parsed()
    assert parse_futures_message(b'{"event":"info","version":1}', KRAKEN_FUTURES) == Parsed()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not_json"),
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"[1]", "wrong_type"),
        (b"{}", "missing_field"),
        (b'{"channel":7}', "wrong_type"),
        (b'{"channel":"trade","type":"update"}', "missing_field"),
        (b'{"channel":"trade","type":"update","data":{}}', "wrong_type"),
        (b'{"feed":"trade_snapshot","product_id":"PI_XBTUSD"}', "missing_field"),
    ],
)
def test_a_message_that_is_none_is_kept_whole(text: bytes, reason: str) -> None:
    """Its bytes go to the dead letters."""
    venue = KRAKEN_FUTURES if b"feed" in text else KRAKEN_SPOT
    assert [(reject.reason, reject.payload) for reject in venue.read_message(text).rejects] == [(reason, text)]


_pieces = st.sampled_from(
    [b'{"channel":"trade",', b'"data":[', SPOT_ROW.encode(), b"NaN", b"]", b"}", b",", b'"', b"\\"]
)


@given(st.lists(_pieces, max_size=12).map(b"".join) | st.binary(max_size=100))
def test_no_message_raises(text: bytes) -> None:
    """Whatever arrives, the feed goes on, and every reason is one of the list."""
    for parsed in (parse_spot_message(text, KRAKEN_SPOT), parse_futures_message(text, KRAKEN_FUTURES)):
        assert {reject.reason for reject in parsed.rejects} <= set(REASONS)
        msgspec.json.encode(parsed)
