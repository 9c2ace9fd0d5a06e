"""What systems say is read and checked, and options name what there is."""

import pytest

from tests.benchmarks.bench.__main__ import page, parsed
from tests.benchmarks.bench.facts import facts
from tests.benchmarks.bench.measured import Run
from tests.benchmarks.bench.peer import ROOT, JavaPeer, PeerLog, PythonPeer, read_log
from tests.benchmarks.bench.results import row_of
from tests.benchmarks.bench.system import WrongTotals, check
from tests.benchmarks.bench.systems import SYSTEMS, USUAL
from tests.benchmarks.peers import build
from tests.benchmarks.peers.python.work import WINDOW_SECONDS, Window
from tests.kafka import RealKafka

SAID = "state RUNNING\ncounted 10\ncounted 20\ntotal A/USD 15 1000\ntotal B/USD 5 -3\n"


def test_a_peers_lines_are_read() -> None:
    """The last count holds, and lines of its libraries are passed over."""
    totals = {"A/USD": (15, 1000), "B/USD": (5, -3)}
    assert read_log(SAID) == PeerLog(20, totals, is_done=False)
    assert read_log(f"{SAID}done\n").is_done


def test_a_line_that_is_being_written_is_not_read() -> None:
    """Half a number is no number."""
    assert read_log("counted 10\ncounted 2").counted == 10


def test_wrong_totals_are_refused_and_named() -> None:
    """A trade counted twice, or not at all, or in a market that nobody named."""
    right = {"A/USD": (15, 1000)}
    check("peer", right, dict(right))
    for wrong in ({"A/USD": (16, 1000)}, {"A/USD": (15, 999)}, {}, {**right, "B/USD": (1, 1)}):
        with pytest.raises(WrongTotals, match="peer has wrong totals of 1 markets"):
            check("peer", right, wrong)


def test_options_name_parts_and_systems_in_their_order() -> None:
    """As lists with commas."""
    options = parsed(["--only", "frames-20,rows-10", "--systems", "liqmon", "--json", "results.json"])
    assert [part.name for part in options.only] == ["frames-20", "rows-10"]
    assert (options.systems, options.json.name) == (["liqmon"], "results.json")


def test_one_name_stands_for_parts_that_begin_with_it() -> None:
    """Not for one that is a part itself: rows of 10 markets are not those of 1000."""
    assert [part.name for part in parsed(["--only", "latency,rows-10"]).only] == [
        "latency-1000",
        "latency-20000",
        "rows-10",
    ]


def test_unknown_parts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts, with the names that there are."""
    with pytest.raises(SystemExit):
        parsed(["--only", "rows-11"])
    assert "rows-11: must be of rows-10, rows-1000" in capsys.readouterr().err


@pytest.mark.parametrize(
    "peer", [one for one in SYSTEMS.values() if isinstance(one, JavaPeer)], ids=lambda one: one.name
)
def test_java_peers_have_their_sources(peer: JavaPeer) -> None:
    """Each is a class of a module that Maven builds."""
    assert (build.SOURCES / peer.module / "src/main/java" / f"{peer.main.replace('.', '/')}.java").is_file()
    assert f"<module>{peer.module}</module>" in (build.SOURCES / "pom.xml").read_text()


@pytest.mark.parametrize(
    "peer", [one for one in SYSTEMS.values() if isinstance(one, PythonPeer)], ids=lambda one: one.name
)
def test_python_peers_have_their_sources(peer: PythonPeer) -> None:
    """Each is a module, which may need packages that are not installed here."""
    assert (ROOT / f"{peer.module.replace('.', '/')}.py").is_file()


def test_the_usual_systems_exist_and_the_program_is_first() -> None:
    """Its figures are there when a run is ended early."""
    assert USUAL[0] == "liqmon"
    assert set(USUAL) <= set(SYSTEMS)


class Ring(dict[str, list[int]]):
    set = dict.__setitem__


def test_the_window_of_peers_in_python_is_the_sum_of_its_seconds() -> None:
    """Also after a silence longer than the window; duplicates are left out, and late trades are not."""
    window, panes, counted = Window(), Ring(), []
    for trade_id, second in enumerate((0, 0, 1, 250, 299, 300, 301, 250, 700, 701, 1001, 1500, 1499), 1):
        row = {"timestamp": f"1970-01-01T00:{second // 60:02}:{second % 60:02}Z", "price": 1.0, "qty": trade_id}
        for _ in range(2):
            window.count({**row, "trade_id": trade_id}, panes)
        counted.append((second, trade_id * 1_000_000))
        newest = max(at for at, _ in counted)
        inside = [amount for at, amount in counted if at > newest - WINDOW_SECONDS]
        assert window.notional == sum(inside)
    assert window.trades == len(counted)


def test_what_is_unequal_is_said_with_the_figures() -> None:
    """Peers that keep less, those that read fewer trades, and parts that are missing."""
    if (reason := RealKafka.available()) is not None:
        pytest.skip(f"not covered: facts of a bench ({reason})")
    said = "\n".join(facts(SYSTEMS.values()))
    assert "in the program's disfavour" in said
    assert "faust 5%" in said
    lacking = page([row_of("rows-10", "liqmon", [Run(1000, 0.004, 0.5, 100.4, 400)])], [], 1.0)
    (line,) = [line for line in lacking.splitlines() if "Not measured here" in line]
    assert "restore-1000" in line
    assert "rows-10," not in line
