"""The command line: help that helps, exit codes, and one line for what went wrong."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import cli
from streams.data_directory import lock_directory
from streams.errors import Fatal
from streams.local.embedded.broker import EmbeddedBroker
from streams.settings import Settings

COMMANDS = ("run", "produce", "worker", "simulate", "topic")
MANY = 5000


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Give a port that something else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def exit_of(*arguments: str) -> int | str | None:
    """Run the command line as the shell would; return its exit code."""
    try:
        return cli.main(arguments)
    except SystemExit as ended:
        return ended.code


def test_help_names_every_command_and_where_settings_are(capsys: pytest.CaptureFixture[str]) -> None:
    """With examples to copy."""
    assert exit_of("--help") == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in text
        assert f"liqmon {command}" in text or command == "simulate"
    assert ".env.example" in text


def test_without_a_command_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever types the bare name wants to know what there is."""
    assert exit_of() == 0
    bare = capsys.readouterr().out
    assert exit_of("--help") == 0
    assert bare == capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And every option of it says what it does."""
    assert exit_of(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"usage: liqmon {command}" in text
    described = [line.strip() for line in text.split("options:")[1].splitlines() if line.strip()]
    assert described[-1].count("  ") or len(described) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["run", "--duration", "abc"], "argument --duration: must be seconds above 0, such as 60 or 10m, not 'abc'"),
        (["run", "--duration", "0"], "must be seconds above 0"),
        (["run", "--duration", "-1"], "must be seconds above 0"),
        (["run", "--duration", "inf"], "must be seconds above 0"),
        (["run", "--rate", "nan"], "must be a number above 0"),
        (["run", "--feed", "binance"], "invalid choice: 'binance'"),
        (["run", "--seed", "x"], "argument --seed: invalid int value"),
        (["simulate", "--port", "99999"], "must be a port from 0 to 65535, not '99999'"),
        (["topic"], "required"),
        (["topic", "secrets"], "invalid choice: 'secrets'"),
        (["topic", "trades", "--limit", "-1"], "argument --limit: must be a whole number above 0"),
        (["worker", "--file", "x"], "unrecognized arguments"),
        (["worker", "--processes", "0"], "argument --processes: must be a whole number from 1 to 256, not '0'"),
    ],
)
def test_wrong_arguments_end_with_two(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And say which one and what it must be, in the words of the one who typed it."""
    assert exit_of(*arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert "_positive" not in text


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("1.5", 1.5), ("10m", 600), ("1_000", 1000)])
def test_a_duration_is_written_as_in_settings(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    """Seconds, or with a unit."""
    monkeypatch.setattr(cli, "_run", lambda options: options.duration != seconds)
    assert exit_of("run", "--duration", text) == 0


@pytest.mark.parametrize("command", ["worker", "produce", "simulate", "topic trades"])
def test_a_wrong_setting_is_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the variable's name, no traceback."""
    monkeypatch.setenv("WINDOW_SECONDS", "soon")
    assert exit_of(*command.split()) == 1
    text = capsys.readouterr().err
    assert text.startswith("liqmon: wrong setting: WINDOW_SECONDS: ")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["produce", "--file", "missing.csv"], {"FEED": "recording"}, "recording missing.csv cannot be read"),
        (["produce"], {"FEED": "recording"}, "FEED=recording needs a recording"),
        (["produce"], {"FEED": "simulator"}, "FEED=simulator is the market that `liqmon run` starts"),
        (["topic", "trades"], {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "Kafka at 127.0.0.1:1 does not answer"),
        (["topic", "trades"], {"KAFKA_BOOTSTRAP_SERVERS": "broker:x"}, "KAFKA_BOOTSTRAP_SERVERS: must be brokers as"),
        (["worker"], {"KAFKA_BOOTSTRAP_SERVERS": " , "}, "KAFKA_BOOTSTRAP_SERVERS: must name at least one broker"),
        (["worker"], {"DATA_DIR": "/dev/null/tables"}, "DATA_DIR /dev/null/tables cannot be written: not a directory"),
        (["worker"], {"WEB_HOST": "203.0.113.1"}, "WEB_PORT 6066 on 203.0.113.1 cannot be used"),
    ],
)
def test_what_cannot_start_says_why(
    arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    """As the shell shows it: one line, exit code 1, no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=os.environ | {"DATA_DIR": str(tmp_path)} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert message in ended.stderr
    assert ended.stderr.startswith("liqmon: ")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_taken_port_is_named(
    taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker's web view and the simulator, before anything is consumed."""
    monkeypatch.setenv("WEB_PORT", str(taken_port))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert exit_of("worker") == 1
    assert f"WEB_PORT {taken_port} on 127.0.0.1 cannot be used (address already in use)" in capsys.readouterr().err
    assert exit_of("simulate", "--port", str(taken_port)) == 1
    assert f"cannot listen on 127.0.0.1:{taken_port}" in capsys.readouterr().err.splitlines()[-1]


def test_a_settings_file_that_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another encoding is said, not shown as a traceback."""
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    (tmp_path / ".env").write_bytes(b"POSTGRES_PASSWORD=caf\xe9\n")
    assert exit_of("worker") == 1
    text = capsys.readouterr().err
    assert "the file .env cannot be read" in text
    assert "caf" not in text


@pytest.mark.parametrize("command", ["worker", "produce", "simulate", "topic trades"])
def test_a_misspelt_line_of_dotenv_stops_every_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it does anything, in one line that names what is meant."""
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    (tmp_path / ".env").write_text("LIQUIDATION_TRESHOLD_USD=5\n")
    assert exit_of(*command.split()) == 1
    text = capsys.readouterr().err
    assert text.startswith("liqmon: .env, line 1: LIQUIDATION_TRESHOLD_USD is no setting (is LIQUIDATION_THRESHOLD_USD")
    assert text.count("\n") == 1


def test_a_worker_names_all_that_others_have(
    taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its port and its directory at once, before it joins the group."""
    monkeypatch.setenv("WEB_PORT", str(taken_port))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with lock_directory(tmp_path, "worker"):
        assert exit_of("worker") == 1
    text = capsys.readouterr().err
    assert f"WEB_PORT {taken_port} on 127.0.0.1 cannot be used" in text
    assert f"; DATA_DIR {tmp_path} is in use by another worker (process {os.getpid()}): stop it, or set" in text
    assert text.count("\n") == 1


def test_the_worker_has_an_example_for_several_cores(capsys: pytest.CaptureFixture[str]) -> None:
    """To copy, with the ports and directories that it means."""
    assert exit_of("worker", "--help") == 0
    text = capsys.readouterr().out
    assert "\n  liqmon worker --processes 4 " in text
    assert "6066, 6076, 6086 and 6096" in text
    assert "DATA_DIR/worker-1 to worker-4" in text


@pytest.mark.parametrize(
    ("error", "code", "text"), [(Fatal("no broker; start one"), 1, "liqmon: no broker; start one\n"),
                                (KeyboardInterrupt(), 130, "")],
)  # fmt: skip
def test_how_a_command_ends(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reason is one line on standard error; Ctrl-C needs no explanation."""

    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_worker", fail)
    assert exit_of("worker") == code
    assert capsys.readouterr().err == text


def test_a_listing_that_nobody_reads_any_more_just_ends(fresh_broker: EmbeddedBroker) -> None:
    """``liqmon topic trades | head`` is no fault of the broker's."""
    program = (
        "import asyncio, sys\n"
        "from aiokafka import AIOKafkaProducer\n"
        "async def fill():\n"
        "    producer = AIOKafkaProducer(bootstrap_servers=sys.argv[1])\n"
        "    await producer.start()\n"
        f"    for number in range({MANY}):\n"
        "        await producer.send('trades', b'{\"trade_id\": %d}' % number, key=b'BTC/USD')\n"
        "    await producer.stop()\n"
        "asyncio.run(fill())\n"
    )
    subprocess.run([sys.executable, "-c", program, fresh_broker.address], check=True, timeout=60)
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": fresh_broker.address}
    with subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "topic", "trades"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as listing:  # fmt: skip
        assert listing.stdout is not None
        assert listing.stderr is not None
        assert listing.stdout.readline().startswith(b'{"partition":')
        listing.stdout.close()
        assert listing.stderr.read() == b""
        assert listing.wait(30) == 0


def test_a_market_that_cannot_be_is_not_reset(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, before any broker is asked."""
    assert cli.main(["markets", "reset", "kraken_spot", "BTC|USD"]) == 1
    assert capsys.readouterr().err == ("liqmon: venue and symbol must be 1 to 64 printable characters other than '|'\n")
