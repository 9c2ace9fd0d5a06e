"""The API of a running worker agrees with the oracle in every number."""

import csv
import io
import json
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from agents.rules.book import known_rules
from tests.faults.processes import Process
from tests.oracle import AMOUNTS, Oracle, OracleTrade, in_usd
from tests.view import HOST, ask

WINDOWS = (60, 300, 900, 3600)


def test_every_window_of_every_market_is_the_oracles(worker: Process, oracle: Oracle) -> None:
    """`GET /api/windows` is a plain list with one row a market and window, each figure the oracle's to the last bit."""
    rows = ask(worker.port, "/api/windows").json
    found = {(row["venue"], row["symbol"], row["window_seconds"]): row for row in rows}
    assert len(found) == len(rows) == len(oracle.markets()) * len(WINDOWS)
    for venue, symbol in oracle.markets():
        end = oracle.watermark(venue, symbol)
        for seconds in WINDOWS:
            row = found[venue, symbol, seconds]
            figures = oracle.window(venue, symbol, end, seconds)
            assert figures is not None
            wanted = in_usd(figures)
            assert {name: row[name] for name in wanted} == wanted
            assert (row["window_start"], row["window_end"]) == (end + 1 - seconds, end + 1)
            assert row["owner"] == f"http://{HOST}:{worker.port}"
            assert row["source"] == "memory"
            assert row["age_seconds"] >= 0


def test_amounts_have_six_decimals(worker: Process) -> None:
    """An amount is whole micro-USD: written out, it has six decimals at most."""
    rows = json.loads(ask(worker.port, "/api/windows").body, parse_float=str)
    assert all(len(str(row[name]).partition(".")[2]) <= 6 for row in rows for name in AMOUNTS)


def test_windows_can_be_filtered(worker: Process) -> None:
    """Venue, symbol and length narrow the list."""
    rows = ask(worker.port, "/api/windows", {"symbol": "BTC/USD", "window_seconds": 300}).json
    assert [(row["symbol"], row["window_seconds"]) for row in rows] == [("BTC/USD", 300)]
    assert ask(worker.port, "/api/windows", {"venue": "elsewhere"}).json == []


def test_a_window_that_nobody_has_is_refused_with_those_that_there_are(worker: Process) -> None:
    """An empty list would look as if nothing had traded."""
    answer = ask(worker.port, "/api/windows", {"window_seconds": 7})
    assert (answer.status, answer.json) == (400, {"error": "window_seconds: must be one of 60, 300, 900, 3600"})


def test_rows_say_since_when_their_market_was_counted(worker: Process, recording: list[OracleTrade]) -> None:
    """A window that starts before that is not whole."""
    first: dict[str, int] = {}
    for trade in recording:
        first.setdefault(trade.symbol, trade.time_us // 1_000_000)
    rows = ask(worker.port, "/api/windows").json
    assert {row["symbol"]: row["covered_since"] for row in rows} == first


def test_windows_say_how_many_trades_they_lack(worker: Process, recording: list[OracleTrade]) -> None:
    """Kraken numbers the trades of a spot pair: what is between two numbers and did not come is missing."""
    counted: dict[str, dict[int, int]] = {}
    for trade in recording:
        if trade.venue == "kraken_spot":
            counted.setdefault(trade.symbol, {})[int(trade.id)] = trade.time_us // 1_000_000
    lacking = 0
    for row in ask(worker.port, "/api/windows").json:
        seconds_of = counted.get(row["symbol"])
        if seconds_of is None:
            assert row["missing_trades"] is None
            continue
        newest = max(seconds_of.values())
        missing = 0
        for number in set(range(min(seconds_of), max(seconds_of))) - set(seconds_of):
            before = max(one for one in seconds_of if one < number)
            behind = min(one for one in seconds_of if one > number)
            latest = max(seconds_of[before], seconds_of[behind])
            missing += newest - row["window_seconds"] < latest <= newest - 5
        assert row["missing_trades"] == missing
        lacking += missing
    assert lacking


def test_alerts_are_found_by_parts_of_a_markets_name(worker: Process, oracle: Oracle) -> None:
    """`market` is what a person types; `symbol` is the symbol itself."""
    wanted = [alert for alert in oracle.alerts() if "XBT" in alert["symbol"] or "BTC" in alert["symbol"]]
    assert len(ask(worker.port, "/api/alerts", {"market": "btc"}).json) == len(wanted) > 0
    assert ask(worker.port, "/api/alerts", {"symbol": "btc"}).json == []


def test_panes_are_the_oracles(worker: Process, oracle: Oracle) -> None:
    """`GET /api/panes` has every pane kept with its figures, and every id it has counted."""
    for venue, symbol in oracle.markets():
        answer = ask(worker.port, "/api/panes", {"venue": venue, "symbol": symbol, "from": 0}).json
        panes = oracle.panes(venue, symbol)
        assert [row["pane"] for row in answer["rows"]] == list(panes)
        for row in answer["rows"]:
            wanted = panes[row["pane"]]
            assert numbers(row["ids"]) == wanted["ids"]
            assert row["id_count"] == len(wanted["ids"])
            assert row["count"] == wanted["count"]
            if wanted["count"]:
                amounts = in_usd(wanted)
                assert {name: row[name] for name in amounts if name in row} == {
                    name: value for name, value in amounts.items() if name in row
                }
        assert answer["newest_pane"] == oracle.watermark(venue, symbol)


def numbers(ids: list[Any]) -> list[int]:
    """Return the ids of a pane one by one, ascending."""
    return [
        number for one in ids for number in ([UUID(one).int] if isinstance(one, str) else range(one[0], one[1] + 1))
    ]


def test_missing_ids_are_gaps(worker: Process, recording: list[OracleTrade]) -> None:
    """The ids that never came are named, before the pane in which the sequence goes on."""
    ids = sorted(trade.id for trade in recording if trade.symbol == "ETH/USD" and isinstance(trade.id, int))
    missing = sorted(set(range(ids[0], ids[-1] + 1)) - set(ids))
    assert missing, "the recording must lack some"
    answer = ask(worker.port, "/api/panes", {"venue": "kraken_spot", "symbol": "ETH/USD", "from": 0}).json
    assert [number for row in answer["rows"] for number in numbers(row["gaps"])] == missing
    assert answer["missing_ids"] == len(missing)
    (row,) = [row for row in answer["rows"] if row["gaps"]]
    assert missing[-1] + 1 in numbers(row["ids"])


def test_panes_of_a_span(worker: Process, oracle: Oracle) -> None:
    """`from` is inclusive and `to` exclusive; without them it is the rules' window."""
    venue, symbol = "kraken_spot", "BTC/USD"
    panes = list(oracle.panes(venue, symbol))
    query = {"venue": venue, "symbol": symbol, "from": panes[3], "to": panes[9]}
    assert [row["pane"] for row in ask(worker.port, "/api/panes", query).json["rows"]] == panes[3:9]
    newest = oracle.watermark(venue, symbol)
    answer = ask(worker.port, "/api/panes", {"venue": venue, "symbol": symbol}).json
    assert [row["pane"] for row in answer["rows"]] == [pane for pane in panes if pane > newest - 300]


def test_panes_as_csv(worker: Process, oracle: Oracle) -> None:
    """The same panes are a download for a spreadsheet."""
    venue, symbol = "kraken_spot", "BTC/USD"
    query = {"venue": venue, "symbol": symbol, "from": 0}
    answer = ask(worker.port, "/api/panes", query | {"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="panes-BTC-USD.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    wanted = ask(worker.port, "/api/panes", query).json["rows"]
    assert [int(row["pane"]) for row in rows] == list(oracle.panes(venue, symbol))
    assert [float(row["total_volume_usd"]) for row in rows] == [row["total_volume_usd"] for row in wanted]


def test_alerts_are_the_oracles(worker: Process, oracle: Oracle) -> None:
    """`GET /api/alerts` is the history with each window as it was, newest first, and the state of its delivery."""
    rows = ask(worker.port, "/api/alerts").json
    assert [row["pane"] for row in rows] == sorted((row["pane"] for row in rows), reverse=True)
    found = {(row["rule"], row["venue"], row["symbol"], row["pane"]): row for row in rows}
    alerts = oracle.alerts()
    assert alerts
    assert len(alerts) == len(found) == len(rows)
    for alert in alerts:
        row = found[alert["rule"], alert["venue"], alert["symbol"], alert["pane"]]
        wanted = in_usd(alert) | {name: alert[name] for name in ("window_start", "window_end", "episode")}
        assert {name: row[name] for name in wanted} == wanted
        assert row["alert_severity"] == alert["severity"]
        assert row["delivery"] == "disabled"


def test_alerts_can_be_filtered(worker: Process, oracle: Oracle) -> None:
    """Market, rule, severities and time narrow the history; the limit takes the newest."""
    alerts = oracle.alerts()

    def panes(**query: Any) -> list[int]:
        return sorted(row["pane"] for row in ask(worker.port, "/api/alerts", query).json)

    def wanted(**fields: Any) -> list[int]:
        return sorted(alert["pane"] for alert in alerts if all(alert[name] in fields[name] for name in fields))

    assert panes(symbol="PF_XBTUSD", venue="kraken_futures") == wanted(symbol=["PF_XBTUSD"]) != []
    assert panes(rule="volume") == wanted(rule=["volume"]) != []
    assert panes(severity="HIGH,CRITICAL") == wanted(severity=["HIGH", "CRITICAL"]) != []
    times = sorted({alert["pane"] for alert in alerts})
    middle = times[len(times) // 2]
    assert panes(**{"from": middle}) == sorted(alert["pane"] for alert in alerts if alert["pane"] >= middle)
    assert panes(to=middle) == sorted(alert["pane"] for alert in alerts if alert["pane"] < middle)
    assert panes(limit=1) == [times[-1]]


def test_alerts_as_csv(worker: Process, oracle: Oracle) -> None:
    """The history is a download too."""
    answer = ask(worker.port, "/api/alerts", {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert answer.headers["content-disposition"] == 'attachment; filename="alerts.csv"'
    assert {(row["symbol"], int(row["pane"])) for row in rows} == {(a["symbol"], a["pane"]) for a in oracle.alerts()}


def test_workers_tell_what_they_serve(worker: Process, oracle: Oracle) -> None:
    """`GET /api/workers` says partitions, offsets, sizes, versions and the formats it reads of each worker."""
    answer = ask(worker.port, "/api/workers").json
    (row,) = answer["rows"]
    assert row["url"] == answer["here"] == f"http://{HOST}:{worker.port}"
    assert row["ready"] is True
    assert row["markets"] == len(oracle.markets())
    assert row["panes"] == sum(len(oracle.panes(*market)) for market in oracle.markets())
    assert [one["partition"] for one in row["partitions"]] == [0, 1, 2, 3]
    assert row["table_store"] == "rocksdb"
    assert {"python", "faust-streaming", "liquidation-monitor"} <= row["versions"].keys()
    assert row["formats"] == {"frames": 1, "state": 1}


def test_the_stream_begins_with_everything(worker: Process, oracle: Oracle) -> None:
    """`GET /api/stream` says hello, then sends every market's windows in the columns it named, and the alerts."""
    windows: dict[str, dict[int, list[float]]] = {}
    hello: dict[str, Any] = {}
    seen_alerts: set[tuple[str, int]] = set()
    alerts = {(alert["symbol"], alert["pane"]) for alert in oracle.alerts()}
    for name, data in events(worker):
        if name == "hello":
            hello = data
        elif name == "rows":
            windows |= {row["symbol"]: dict(zip(row["window_seconds"], row["windows"], strict=True)) for row in data}
        elif name == "alerts":
            seen_alerts |= {(alert["symbol"], alert["pane"]) for alert in data}
        if len(windows) == len(oracle.markets()) and seen_alerts == alerts:
            break
    for venue, symbol in oracle.markets():
        assert [*windows[symbol]] == hello["windows"]
        for seconds, values in windows[symbol].items():
            figures = oracle.window(venue, symbol, oracle.watermark(venue, symbol), seconds)
            assert figures is not None
            assert dict(zip(hello["columns"], values, strict=True)) == in_usd(figures)


def events(worker: Process) -> Iterator[tuple[str, Any]]:
    """Yield the server-sent events of a worker."""
    with urllib.request.urlopen(f"http://{HOST}:{worker.port}/api/stream", timeout=10) as stream:
        name = ""
        for line in stream:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/windows", {}),
        ("/api/panes", {"venue": "kraken_spot", "symbol": "ETH/USD", "from": 0}),
        ("/api/panes", {"venue": "kraken_futures", "symbol": "PI_XBTUSD", "from": 0}),
        ("/api/alerts", {}),
        ("/api/workers", {}),
    ],
)
def test_answers_are_what_the_document_says(worker: Process, path: str, query: dict[str, Any]) -> None:
    """Each answer fits its schema in `/api/openapi.json`."""
    document = ask(worker.port, "/api/openapi.json").json
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(ask(worker.port, path, query).json)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/windows?window=300", 400),
        ("/api/windows?window_seconds=x", 400),
        ("/api/windows?window_seconds=7", 400),
        ("/api/windows?window_seconds=7&scope=local", 400),
        ("/api/windows?window_seconds=300&window_seconds=60", 400),
        ("/api/windows?scope=world", 400),
        ("/api/windows?symbol=", 400),
        ("/api/windows?symbol=%00", 400),
        ("/api/windows?symbol=%ED%A0%80%0A", 400),
        ("/api/panes", 400),
        ("/api/panes?venue=kraken_spot", 400),
        ("/api/panes?venue=kraken_spot&symbol=NO/SUCH", 404),
        ("/api/panes?venue=kraken_spot&symbol=BTC/USD&from=9&to=3", 200),
        ("/api/panes?venue=kraken_spot&symbol=BTC/USD&from=-1", 400),
        ("/api/panes?venue=kraken_spot&symbol=BTC/USD&from=%D9%A3", 400),
        ("/api/panes?venue=kraken_spot&symbol=BTC/USD&format=xml", 400),
        ("/api/alerts?severity=WORSE", 400),
        ("/api/alerts?rule=", 400),
        ("/api/alerts?rule=price_move", 200),
        ("/api/alerts?rule=price_mov", 400),
        ("/api/alerts?rule=volume,price_mov", 400),
        ("/api/alerts?limit=0", 400),
        ("/api/alerts?limit=99999999999999999999", 400),
        ("/api/alerts?symbol='%20OR%20'1'='1", 200),
        ("/api/nothing", 404),
        ("/table/", 404),
        ("/router/", 404),
        ("/stats/", 404),
        ("/static/../__init__.py", 404),
        ("/static/%2e%2e/%2e%2e/web/access.py", 404),
        ("/static/", 404),
        ("/%00", 404),
    ],
)
def test_odd_requests_are_refused(worker: Process, path: str, status: int) -> None:
    """What makes no sense gets a 4xx that says why, never a 500 and never a trace."""
    answer = ask(worker.port, path)
    assert answer.status == status
    assert b"Traceback" not in answer.body
    if path.startswith("/api/") and status >= 400:
        assert answer.json["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_the_view_is_read_only(worker: Process, method: str) -> None:
    """No method but GET and HEAD does anything."""
    assert ask(worker.port, "/api/windows", method=method, data=b"{}").status == 405


@pytest.mark.parametrize("path", ["/", "/api/windows", "/api/alerts", "/api/workers", "/static/app.css", "/healthz"])
def test_head_is_get_without_a_body(worker: Process, path: str) -> None:
    """Whoever only asks whether something is there is told so."""
    answer = ask(worker.port, path, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_a_stream_has_no_head(worker: Process) -> None:
    """It would never end."""
    assert ask(worker.port, "/api/stream", method="HEAD").status == 405


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /api/windows?symbol=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /api/alerts?from=\xd9\xa3 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused(worker: Process, request_: bytes) -> None:
    """Too long, or not HTTP at all: 400 and no trace."""
    with socket.create_connection((HOST, worker.port), timeout=10) as connection:
        connection.sendall(request_)
        answer = connection.recv(65_536)
    assert answer.split(b" ")[1] == b"400"
    assert b"Traceback" not in answer


def test_a_body_is_refused(worker: Process) -> None:
    """A GET that carries a body is refused without reading it."""
    assert ask(worker.port, "/api/windows", method="GET", data=b"x" * 100).status == 400


@pytest.mark.parametrize("path", ["/", "/market", "/alerts", "/workers", "/api/windows", "/nothing", "/static/app.css"])
def test_every_answer_has_the_security_headers(worker: Process, path: str) -> None:
    """Whatever is answered forbids other origins, frames, inline scripts and sniffing, and names no versions."""
    headers = ask(worker.port, path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["server"] == "liqmon"
    assert "access-control-allow-origin" not in headers


def test_pages_refer_to_nothing_outside(worker: Process) -> None:
    """No page, script or style names another host."""
    pending, seen = ["/", "/market", "/alerts", "/workers", "/login"], set()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = ask(worker.port, path)
        assert answer.status == 200, path
        text = answer.body.decode()
        for mark in ('src="', 'href="', 'from "'):
            for part in text.split(mark)[1:]:
                target = part.split('"')[0]
                assert "//" not in target, (path, target)
                assert not target.startswith("/"), "a proxy may serve it below another path"
                address = urljoin(path, target)
                if address.startswith("/static/"):
                    pending.append(address)
    assert len(seen) > 15


def test_files_are_not_sent_twice(worker: Process) -> None:
    """A file that the browser has is answered with 304."""
    tag = ask(worker.port, "/static/app.css").headers["etag"]
    assert ask(worker.port, "/static/app.css", headers={"If-None-Match": tag}).status == 304


def test_another_sites_name_is_not_served(worker: Process) -> None:
    """Without a token, a foreign name that resolves to this machine (DNS rebinding) reads nothing."""
    assert ask(worker.port, "/api/windows", headers={"Host": "evil.example"}).status == 421
    assert ask(worker.port, "/metrics", headers={"Host": "evil.example"}).status == 200
    assert ask(worker.port, "/api/windows", headers={"Host": f"localhost:{worker.port}"}).status == 200


def test_a_rule_that_does_not_exist_is_answered_with_those_that_do(worker: Process) -> None:
    """All of the program, also one that the settings leave off: its rows stay."""
    answer = ask(worker.port, "/api/alerts?rule=price_mov").json
    assert answer == {"error": f"rule: must be one or more of {', '.join(known_rules())}, comma separated"}


def test_windows_say_how_far_each_rule_has_come(worker: Process) -> None:
    """In the row of the rules' window: name, unit, threshold, steps, what is measured, and the latest alert."""
    rows = ask(worker.port, "/api/windows").json
    for row in rows:
        judged = row["window_seconds"] == 300
        assert len(row["judgements"]) == judged
        for one in row["judgements"]:
            figure = {"volume": "total_volume_usd", "liquidation": "liquidation_volume_usd"}[one["rule"]]
            assert (one["unit"], one["measured"], one["threshold"]) == ("usd", row[figure], one["steps"][0])
            assert len(one["steps"]) == 4
    assert any(one["alert"] for row in rows for one in row["judgements"])


def test_the_document_lists_every_rule(worker: Process) -> None:
    """One that the settings leave off may have rows of before."""
    parameters = ask(worker.port, "/api/openapi.json").json["paths"]["/api/alerts"]["get"]["parameters"]
    (rule,) = (parameter for parameter in parameters if parameter["name"] == "rule")
    assert rule["schema"]["items"]["enum"] == [*known_rules()]
