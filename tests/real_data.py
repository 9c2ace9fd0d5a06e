"""The recorded Kraken files as trades for the oracle, read independently of the program's readers."""

import csv
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import OracleTrade

SPOT_CSV = "kraken_spot_btcusd_2019-07-01T0000_40min.csv"
REST_JSON = "kraken_rest_trades_xbtusdt_2025-11-10.json"
FUTURES_JSONL = "kraken_futures_ws_2021-07-22.jsonl"


def real_file(name: str) -> Path:
    """Return the path of a recorded file; the test is skipped, and says so, where the data are not at hand."""
    folder = Path(os.environ.get("LIQMON_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")
    path = folder / name
    if not path.exists():
        pytest.skip(f"no recorded data: {name} is neither in ../shared/data nor in LIQMON_DATA")
    return path.resolve()


def _micros(seconds: str) -> int:
    return int(Decimal(seconds) * 1_000_000)


def spot_csv(path: Path, venue: str = "recording") -> list[OracleTrade]:
    """Read the CSV of ``time_ms,side,price,qty``; it has no ids, so rows are numbered from 1 in file order."""
    with path.open(newline="") as lines:
        return [
            OracleTrade(
                venue=venue,
                symbol="BTC/USD",
                id=number,
                side=row["side"],
                kind="fill",
                price=Decimal(row["price"]),
                qty=Decimal(row["qty"]),
                time_us=int(row["time_ms"]) * 1000,
            )
            for number, row in enumerate(csv.DictReader(lines), start=1)
        ]


def rest_json(path: Path, venue: str = "recording", symbol: str = "BTC/USDT") -> list[OracleTrade]:
    """Read a page of the REST call ``Trades``."""
    # parse_float keeps the digits of the times.
    result = json.loads(path.read_text(), parse_float=str)["result"]
    rows = next(rows for name, rows in result.items() if name != "last")
    return [
        OracleTrade(
            venue=venue,
            symbol=symbol,
            id=row[6],
            side={"b": "buy", "s": "sell"}[row[3]],
            kind="fill",
            price=Decimal(row[0]),
            qty=Decimal(row[1]),
            time_us=_micros(str(row[2])),
        )
        for row in rows
    ]


def _futures_trade(row: dict[str, Any], venue: str, *, is_snapshot: bool) -> OracleTrade:
    return OracleTrade(
        venue=venue,
        symbol=row["product_id"],
        id=row["uid"],
        side=row["side"],
        kind=row["type"],
        price=Decimal(str(row["price"])),
        qty=Decimal(str(row["qty"])),
        time_us=row["time"] * 1000,
        is_snapshot=is_snapshot,
    )


def futures_jsonl(path: Path, venue: str = "recording") -> list[OracleTrade]:
    """Read a recorded futures session; the rows of a snapshot, newest first in the file, come oldest first."""
    trades = []
    for line in path.read_text().splitlines():
        frame = json.loads(line, parse_float=str)["frame"]
        if frame.get("feed") == "trade_snapshot":
            rows = [{"product_id": frame["product_id"], **row} for row in reversed(frame["trades"])]
            trades += [_futures_trade(row, venue, is_snapshot=True) for row in rows]
        elif frame.get("feed") == "trade" and "uid" in frame:
            trades.append(_futures_trade(frame, venue, is_snapshot=False))
    return trades
