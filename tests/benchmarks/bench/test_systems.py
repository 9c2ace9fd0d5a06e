"""What systems say is read and checked, and options name what there is."""

import pytest

from tests.benchmarks.bench.__main__ import parsed
from tests.benchmarks.bench.systems import SYSTEMS, JavaPeer, PeerLog, WrongTotals, check, read_log
from tests.benchmarks.peers import build

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
    assert (options.only, options.systems, options.json.name) == (["frames-20", "rows-10"], ["liqmon"], "results.json")


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
