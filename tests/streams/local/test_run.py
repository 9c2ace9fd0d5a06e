"""``liqmon run`` as people meet it: real processes, real signals, one line when something is wrong."""

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import pytest

from streams.data_directory import lock_directory
from streams.local.log_files import MAX_BYTES
from streams.settings import Settings
from tests.oracle import Oracle, Terms
from tests.real_data import spot_csv
from tests.recordings import Tape

START_SECONDS = 60
END_SECONDS = 60

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")


class Run:
    """A ``liqmon run`` on a data directory of its own, with what it prints."""

    def __init__(self, data: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        names = {name.upper() for name in Settings.model_fields} | {"FILE"}
        clean = {name: value for name, value in os.environ.items() if name not in names}
        own = {"DATA_DIR": str(data), "WEB_PORT": "0", "PRODUCER_METRICS_PORT": "0"}
        self.data = data
        self.lines: list[str] = []
        self._queue: SimpleQueue[str] = SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "run", *arguments],
            env=clean | own | dict(environment or {}),
            # Away from the developer's .env.
            cwd=data.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))

    def until(self, pattern: str, seconds: float = START_SECONDS) -> str:
        """Return the first line from here on that matches."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"no line like {pattern!r} in time, but {self.lines}") from None
            self.lines.append(line)
            if re.search(pattern, line):
                return line

    def end(self, seconds: float = END_SECONDS) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(timeout=seconds)
        self._reader.join(timeout=10)
        while not self._queue.empty():
            self.lines.append(self._queue.get())
        return code

    @property
    def output(self) -> str:
        """What was printed, as one text."""
        return "\n".join(self.lines)

    def processes(self) -> dict[int, str]:
        """Every process below this run, and every one that names its data directory."""
        found: dict[int, str] = {}
        table = dict(process_table())
        for pid, (_, command) in table.items():
            ancestor = pid
            while ancestor in table and ancestor != self.process.pid:
                ancestor = table[ancestor][0]
            if pid != self.process.pid and (ancestor == self.process.pid or str(self.data) in command):
                found[pid] = command
        return found

    def kill(self) -> None:
        """End it by force."""
        self.process.kill()
        self.process.wait(timeout=10)


def process_table() -> Iterator[tuple[int, tuple[int, str]]]:
    """Yield every living process with its parent and its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if state != "Z":
                    yield int(entry.name), (int(parent), command)


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for the condition, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def workers(run: Run) -> list[int]:
    """Return the run's worker, once it is there."""
    return [pid for pid, command in run.processes().items() if command.rstrip().endswith("streams.cli worker")]


def assert_gone(pids: Mapping[int, str], run: Run) -> None:
    """Nothing of the run is left, whatever it was called."""
    wait_for(lambda: not (pids.keys() & dict(process_table()).keys()))
    wait_for(lambda: not run.processes())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs that are ended with the test."""
    runs: list[Run] = []

    def begin(*arguments: str, **environment: str) -> Run:
        runs.append(Run(tmp_path / "data", *arguments, environment=environment))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()


def test_simulated_market_until_ctrl_c(start: Callable[..., Run], tmp_path: Path) -> None:
    """Everything starts, an alert fires, Ctrl-C ends it with a summary and a report, and nothing is left."""
    report = tmp_path / "report.json"
    run = start("--report", str(report), "--seed", "1", LIQUIDATION_THRESHOLD_USD="1000")
    assert "http://127.0.0.1:" in run.until("^ready: web view at ")
    assert "sim_spot" in run.until(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (LOW|MEDIUM|HIGH|CRITICAL) +sim_spot \S+/USD  \S+")

    second = Run(run.data)
    assert second.end() == 1
    assert re.fullmatch(
        rf"liqmon: DATA_DIR \S+ is in use by another run \(process {run.process.pid}\): .*", second.output
    )

    below = run.processes()
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 0, run.output
    assert_gone(below, run)
    assert re.search(r"\d trades in .* \(\S+ trades/s, .* windows of ", run.output)
    written = json.loads(report.read_text())
    assert written["trades"] > 0
    assert written["dead_letters"] == 0
    assert written["alerts"][0].keys() >= {
        "timestamp", "total_volume_usd", "vwap", "price_change_pct", "alert_severity", "largest_trade_usd",
        "pane", "venue", "symbol", "rule", "count", "delivery",
    }  # fmt: skip
    assert not list(run.data.glob("run-*")), "the worker's tables of this run are removed"
    private = [run.data, run.data / "logs", run.data / "postgres"]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o700] * len(private)


def test_recording_ends_by_itself(start: Callable[..., Run], tmp_path: Path) -> None:
    """A recording ends when it is processed, and every one of its alerts is in the report."""
    file = tmp_path / "trades.csv"
    file.write_text("".join(f"{1_700_000_000 + i},40000.0,1.0\n" for i in range(100)) + "not,a,trade\n")
    report = tmp_path / "report.json"
    log = tmp_path / "data" / "logs" / "worker.log"
    log.parent.mkdir(parents=True)
    log.write_text("what an earlier run logged\n")
    long = log.with_name("simulator.log")
    long.touch()
    os.truncate(long, MAX_BYTES + 1)
    run = start("--report", str(report), FEED="recording", FILE=str(file), SYMBOL="BTC/USD", FRAME_MAX_TRADES="7")
    assert run.end() == 0, run.output
    assert re.match("what an earlier run logged\n.+", log.read_text(), re.DOTALL)
    assert (long.stat().st_size, long.with_name("simulator.log.1").stat().st_size) == (0, MAX_BYTES + 1)
    written = json.loads(report.read_text())
    assert (written["trades"], written["duplicates"], written["late"], written["dead_letters"]) == (100, 0, 0, 1)
    assert written["frames"] == 15
    # 25 trades of 40 000 USD make a million; 50 and so on escalate.
    rows = [(row["pane"], row["alert_severity"], row["count"]) for row in written["alerts"]]
    assert rows == [(1_700_000_024, "LOW", 25), (1_700_000_049, "MEDIUM", 50)]
    assert {row["delivery"] for row in written["alerts"]} == {"disabled"}
    words = "refused 1 (bad_time 1; the first: recording:trades, line 101: 'not' is no time in seconds: 'not,a,trade')"
    assert words in run.output


def test_a_recording_without_a_row_that_can_be_used_ends_in_failure(start: Callable[..., Run], tmp_path: Path) -> None:
    """Beside another whose trades are played; the line says why, with the first bad line."""
    good, bad = tmp_path / "XBTUSD.csv.gz", tmp_path / "session.jsonl"
    good.write_bytes(gzip.compress(b"1700000000,40000.0,30\n"))
    bad.write_text('{"channel":"heartbeat"}\n' * 3000 + '{"channel":"trade","data":[{"symbol":"ETH/USD"}]}\n')
    run = start("--file", str(bad), "--file", str(good))
    assert run.end() == 1, run.output
    words = r"session\.jsonl has no row that can be used, of 1 read \(missing_field 1; the first: .*, line 3001: .*ETH"
    assert re.search(rf"liqmon: the producer ended with code 1: .*{words}", run.lines[-1])
    assert "Traceback" not in run.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"BZh91AY&SY", r"XBTUSD\.csv is bzip2: give what is in it, as text, \.gz or \.zip"),
        (b"1,2,3\n", r"XBTUSD\.csv has no row that can be used, of 1 read \(bad_time 1; .* line 1: .*'1,2,3'\)"),
        (b"4000000000,2,3\n", r"XBTUSD\.csv is of the future: its first trades are of the year 2096"),
    ],
)
def test_a_recording_that_cannot_be_played_starts_nothing(
    start: Callable[..., Run], tmp_path: Path, content: bytes, words: str
) -> None:
    """One line says what was found."""
    (tmp_path / "XBTUSD.csv").write_bytes(content)
    run = start(FEED="recording", FILE=str(tmp_path / "XBTUSD.csv"))
    assert run.end(20) == 1
    assert re.fullmatch(f"liqmon: recording {words}", "".join(run.lines).strip())


def test_the_end_of_a_recording_closes_its_last_pane(start: Callable[..., Run], tmp_path: Path) -> None:
    """A price move is judged when its pane is over; nothing follows the last one but the recording's end."""
    tape = Tape(3).calm(60)
    tape.wait(2).trade(1000, drift=0.02)
    file, report = tmp_path / "XBTUSD.csv", tmp_path / "report.json"
    rows = [f"{t.time_us // 1000},{t.side},{t.price},{t.qty}" for t in tape.trades]
    file.write_text("\n".join(["time_ms,side,price,qty", *rows]) + "\n")
    arguments = ("--feed", "recording", "--file", str(file), "--report", str(report))
    run = start(*arguments, PRICE_MOVE_PCT="1")
    assert run.end() == 0, run.output
    terms = Terms(price_move_pct=Decimal(1), has_ended=True)
    (expected,) = Oracle(spot_csv(file, "recording:xbtusd"), terms).alerts()
    (row,) = json.loads(report.read_bytes())["alerts"]
    assert expected["pane"] == tape.trades[-1].time_us // 1_000_000
    same = ("rule", "venue", "symbol", "pane", "count", "price_change_pct", "unit", "retracted")
    assert {name: row[name] for name in same} == {name: expected[name] for name in same}
    assert round(row["measured"] * 10**9) == expected["measured"]
    assert "price moved +" in run.output
    assert "0 dead letters" in run.output


def test_duration_ends_it(start: Callable[..., Run]) -> None:
    """With a duration it ends by itself, with exit code 0."""
    run = start("--duration", "1")
    assert run.end() == 0, run.output
    assert re.search(r"\d trades in ", run.output)
    assert run.processes() == {}


def test_dead_child_ends_the_run(start: Callable[..., Run]) -> None:
    """A worker that dies ends the run with one line that names it, and leaves nothing."""
    run = start()
    wait_for(lambda: workers(run), START_SECONDS)
    below = run.processes()
    os.kill(workers(run)[0], signal.SIGKILL)
    assert run.end() == 1
    assert re.search(r"^liqmon: the worker ended by SIGKILL.*worker\.log\)$", run.lines[-1])
    assert "Traceback" not in run.output
    assert_gone(below, run)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal exists on Linux only")
def test_killed_run_leaves_nothing(start: Callable[..., Run]) -> None:
    """`kill -9` of the run takes every server and worker with it, and the next run starts."""
    run = start()
    wait_for(lambda: workers(run), START_SECONDS)
    below = run.processes()
    assert len(below) >= 4
    run.kill()
    assert_gone(below, run)


def test_sigterm_during_the_start(start: Callable[..., Run]) -> None:
    """Told to end before it is ready, it does so at once and leaves nothing."""
    run = start()
    wait_for(run.processes)
    below = run.processes()
    run.process.terminate()
    assert run.end(20) == 130
    assert "Traceback" not in run.output
    assert_gone(below, run)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--feed", "recording"], {}, "FEED=recording needs a file"),
        ([], {"FEED": "recording", "FILE": "missing.csv"}, r"FILE missing\.csv cannot be read: no such file"),
        (
            [],
            {"FEED": "recording", "FILE": "notes.csv", "SYMBOL": "BTC/USD"},
            r"recording \S*notes\.csv has no known",
        ),
        (
            [],
            {"FEED": "recording", "FILE": "trades.csv"},
            r"recording \S*: no market can be told",
        ),
        (
            ["--feed", "recording"],
            {"FILE": "trades.csv", "SYMBOL": "BTC/EUR"},
            r"recording \S* is of BTC/EUR, which",
        ),
        ([], {"WEB_PORT": "6066", "PRODUCER_METRICS_PORT": "6066"}, "WEB_PORT and PRODUCER_METRICS_PORT are both 6066"),
        ([], {"WINDOW_SECONDS": "soon"}, "wrong setting: WINDOW_SECONDS"),
        ([], {"WEB_HOST": "0.0.0.0"}, "WEB_TOKEN: must be set"),
        (
            [],
            {"KAFKA_BOOTSTRAP_SERVERS": "k:9", "KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "missing.pem"},
            r"KAFKA_SSL_CAFILE: missing\.pem cannot be read: no such file",
        ),
        (
            [],
            {"POSTGRES_HOST": "p", "POSTGRES_SSLMODE": "verify-full", "POSTGRES_SSL_CAFILE": "trades.csv"},
            r"POSTGRES_SSL_CAFILE: trades\.csv holds no certificate in PEM form",
        ),
        (["--speed", "2"], {}, "--speed is for FEED=recording, and this is FEED=simulator: leave it out"),
        (
            ["--rate", "5"],
            {"FILE": "trades.csv", "SYMBOL": "BTC/USD"},
            "--rate is for FEED=simulator, and this is FEED=recording: leave it out",
        ),
        (["--report", "missing/report.json"], {}, "--report missing/report.json cannot be written"),
        (
            ["--feed", "live"],
            {"SPOT_WS_URL": "wss://no-such-host.invalid/v2", "FUTURES_SYMBOLS": ""},
            "no network for FEED=live: no-such-host",
        ),
    ],
)
def test_wrong_start_is_one_line(
    start: Callable[..., Run], arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    """What cannot work ends with one clear line, exit code 1, and no process started."""
    (tmp_path / "trades.csv").write_text("1700000000,40000.0,1.0\n")
    (tmp_path / "notes.csv").write_text("these are no trades\n")
    run = start(*arguments, **environment)
    assert run.end(20) == 1
    assert len(run.lines) == 1, run.output
    assert re.match(f"liqmon: {message}", run.output)
    assert not run.data.exists()


def test_all_that_is_taken_is_named_at_once(start: Callable[..., Run], tmp_path: Path) -> None:
    """Both ports and the directory, each with its setting, in one line."""
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.create_server(("127.0.0.1", 0)) as producer,
        lock_directory(tmp_path / "data"),
    ):
        run = start(WEB_PORT=str(web.getsockname()[1]), PRODUCER_METRICS_PORT=str(producer.getsockname()[1]))
        assert run.end(20) == 1
    assert re.fullmatch(
        rf"liqmon: DATA_DIR \S+ is in use by another run \(process {os.getpid()}\): .*; "
        r"WEB_PORT \d+ on 127\.0\.0\.1 cannot be used .*; PRODUCER_METRICS_PORT \d+ on 127\.0\.0\.1 cannot be used .*",
        run.output,
    )


def test_data_directory_that_cannot_be_written(start: Callable[..., Run], tmp_path: Path) -> None:
    """A data directory that cannot be made is named."""
    (tmp_path / "file").write_text("")
    run = start(DATA_DIR=str(tmp_path / "file" / "data"))
    assert run.end(20) == 1
    assert re.fullmatch(r"liqmon: DATA_DIR \S+ cannot be written: .*", run.output)


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [("KAFKA_SECURITY_PROTOCOL", "SSL", "KAFKA_BOOTSTRAP_SERVERS"), ("POSTGRES_SSLMODE", "require", "POSTGRES_HOST")],
)
def test_tls_needs_servers_that_have_it(start: Callable[..., Run], name: str, value: str, needed: str) -> None:
    """Those that the command starts itself have none, and nobody should believe that they do."""
    run = start(**{name: value})
    assert run.end() == 1
    assert (
        run.output == f"liqmon: {name}={value} needs {needed}: the servers that this command starts itself speak no TLS"
    )
