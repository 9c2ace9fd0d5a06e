"""Processes under test are started, killed, frozen and ended as asked, and never outlive the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.processes import Process, Processes, http_get, sum_of_samples, wait_until

# Stands for a program: says that it is up, says when it is told to end, and counts in a file while it runs.
PROGRAM = """
import os, pathlib, signal, sys, time
def end(*_):
    print("ending", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print("up", os.environ.get("COLOUR"), os.environ.get("LIQUIDATION_THRESHOLD_USD"), flush=True)
number = 0
while True:
    number += 1
    pathlib.Path("count").write_text(str(number))
    time.sleep(0.005)
"""

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'liqmon_trades_total{venue="a"} 2.0\\nliqmon_trades_total{venue="b"} 3.0\\n'
        self.send_response(200 if self.path != "/missing" else 404)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Give an empty run."""
    with Processes(tmp_path, {"COLOUR": "red"}) as run:
        yield run


@pytest.fixture
def process(processes: Processes) -> Process:
    """Give a program that is up."""
    started = processes.add("program", [sys.executable, "-c", PROGRAM]).start()
    started.wait_for_log("up")
    return started


def count(process: Process) -> int:
    """How far the program has counted."""
    file = process.directory / "count"
    return int((file.read_text() if file.exists() else "") or 0)


def alive(pid: int) -> bool:
    """Whether a process of this id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_gets_the_environment_of_the_run_and_no_setting_of_the_developer(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A threshold exported in someone's shell must not decide a test."""
    monkeypatch.setenv("LIQUIDATION_THRESHOLD_USD", "1")
    processes.add("program", [sys.executable, "-c", PROGRAM]).start().wait_for_log("up red None")


def test_a_kill_gives_no_chance_to_clean_up(process: Process) -> None:
    """SIGKILL: the program's own end is not reached."""
    process.kill()
    assert process.exit_code == -signal.SIGKILL
    assert "ending" not in process.log_text()


def test_a_stop_lets_it_end_by_itself(process: Process) -> None:
    """SIGTERM, and its own exit code."""
    assert process.stop() == 3
    assert process.log_text().endswith("ending\n")


def test_a_frozen_process_does_nothing_until_resumed(process: Process) -> None:
    """Its count stands still, then goes on."""
    wait_until(lambda: count(process) > 0, 5, "the first count")
    process.freeze()
    wait_until(lambda: "State:\tT" in Path(f"/proc/{process.pid}/status").read_text(), 5, "the freeze")
    before = count(process)
    assert process.running
    assert count(process) == before
    process.resume()
    wait_until(lambda: count(process) > before, 5, "it to go on")


def test_a_frozen_process_can_be_stopped(process: Process) -> None:
    """It is resumed first, so that it ends by itself."""
    process.freeze()
    assert process.stop() == 3


def test_it_can_be_started_again_with_the_same_log(process: Process) -> None:
    """As an operator's restart does."""
    process.kill()
    process.start()
    wait_until(lambda: process.log_text().count("up red") == 2, 5, "the second start")
    assert process.starts == 2
    with pytest.raises(RuntimeError, match="already running"):
        process.start()


def test_waiting_for_what_never_comes_says_what_was_waited_for(processes: Processes) -> None:
    """With the last lines of the log when the process ended."""
    failing = processes.add("failing", [sys.executable, "-c", "print('no such broker'); raise SystemExit(4)"]).start()
    with pytest.raises(TimeoutError, match=r"failing ended with code 4 .*\n(.*\n)*.*no such broker"):
        failing.wait_for_log("ready")
    assert failing.wait(5) == 4


def test_nothing_outlives_the_run(tmp_path: Path) -> None:
    """Neither running nor frozen processes, nor their children."""
    nested = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '100']); print('child', p.pid, flush=True); p.wait()"
    )
    with Processes(tmp_path) as processes:
        running = processes.add("running", [sys.executable, "-c", nested]).start()
        frozen = processes.add("frozen", [sys.executable, "-c", PROGRAM]).start()
        running.wait_for_log("child ")
        frozen.freeze()
        child = int(running.log_text().split()[1])
    assert not alive(running.pid)
    assert not alive(frozen.pid)
    wait_until(lambda: not alive(child) or _is_zombie(child), 5, "the child to end")


def _is_zombie(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        # It ended before it was opened, or while it was read.
        return True


def test_it_dies_with_the_test_process(tmp_path: Path) -> None:
    """Even when the tests themselves are killed."""
    script = f"""
import os, pathlib, signal, sys
from tests.faults.processes import Process
process = Process("orphan", [sys.executable, "-c", {PROGRAM!r}], pathlib.Path({str(tmp_path)!r}), environment={{}})
process.start().wait_for_log("up")
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    orphan = int(done.stdout)
    wait_until(lambda: not alive(orphan) or _is_zombie(orphan), 5, "the orphan to end")


def test_metrics_and_readiness_are_read_from_its_port(processes: Processes) -> None:
    """Samples are summed over the labels that were not asked for."""
    worker = processes.worker("worker")
    server = processes.add("server", [sys.executable, "-c", SERVER, str(worker.port)], port=worker.port).start()
    server.wait_ready(10)
    assert server.metric("liqmon_trades_total") == 5
    assert server.metric("liqmon_trades_total", venue="b") == 3
    assert server.metric("liqmon_trades_total", venue="c") == 0
    assert http_get(server.port, "/missing")[0] == 404
    server.kill()
    assert not server.ready()


def test_sums_take_only_samples_of_the_name() -> None:
    """A counter's creation time is another sample."""
    text = '# TYPE a counter\na_total{x="1"} 2.0\na_created{x="1"} 1e9\n'
    assert sum_of_samples(text, "a_total", {}) == 2
