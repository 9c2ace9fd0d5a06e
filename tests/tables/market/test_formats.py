"""Reading ahead: what a later release added is kept, what it changed is told, and nothing is lost on the way."""

import sys
from typing import Any

import msgspec
import pytest

from streams.errors import Fatal
from tables.market.chunk import CHUNK_PANES
from tables.market.chunks import CorruptState, Head, decode_chunk, decode_head, encode, shifted
from tables.market.episodes import Mark
from tables.market.formats import FORMAT, NO_TAIL, NewerState, Tail
from tables.market.panes import Pane
from tables.market.span import Span
from tables.market.state import Market

SPAN = Span(window=5, retention=200, slack=100)
PANES: list[Any] = [None] * CHUNK_PANES
LONG_PANE: list[Any] = [*msgspec.structs.astuple(Pane([1, 1])), 0]
ADDED: list[list[Any]] = [
    [FORMAT, {"shape": "spot"}],
    [FORMAT, {"shape": ["spot", {"wide": True}], "other": 2.5}],
    [FORMAT, {"shape": "spot"}, None],
    [FORMAT, {}, 7, {"a": b"\xff"}, [1, [2]]],
]

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def a_head(*added: Any, offset: int = 9) -> bytes:
    """Return a head as some release wrote it."""
    return pack([offset, 64, {"volume": [[60, 2, 60]]}, [2], *added])


def a_chunk(*added: Any, offset: int = 9, number: int = 2) -> bytes:
    """Return a chunk with one pane as some release wrote it."""
    return pack([offset, number, [Pane([1, 1], 1, last_price=1.0), *PANES[1:]], *added])


def test_without_additions_nothing_follows_the_fields() -> None:
    """The bytes are those of every earlier release, and the tail costs no memory."""
    head, chunk = decode_head(b"k", a_head()), decode_chunk(b"k", a_chunk())
    assert (encode(head), encode(chunk)) == (a_head(), a_chunk())
    assert (len(unpack(encode(head))), len(unpack(encode(chunk)))) == (4, 3)
    assert head.tail is NO_TAIL
    assert chunk.tail is NO_TAIL


def test_a_format_that_says_nothing_more_is_left_out() -> None:
    """Whoever wrote it."""
    endings: list[list[Any]] = [[1], [1, {}], [1, None]]
    for added in endings:
        assert encode(decode_head(b"k", a_head(*added))) == a_head()
        assert encode(decode_chunk(b"k", a_chunk(*added))) == a_chunk()


@pytest.mark.parametrize("added", ADDED, ids=repr)
def test_additions_are_written_back_as_they_came(added: list[Any]) -> None:
    """By name, or as fields behind those that this release knows; where no list of them is, an empty map stands."""
    assert encode(decode_head(b"k", a_head(*added))) == a_head(*added)
    assert encode(decode_chunk(b"k", a_chunk(*added))) == a_chunk(*added)


def test_what_this_release_adds_is_read_again() -> None:
    """By the name it gave."""
    head = Head(1, 2, {}, [], Tail({"shape": msgspec.Raw(pack("spot"))}))
    again = decode_head(b"k", encode(head))
    assert unpack(again.tail.more["shape"]) == "spot"
    assert again == head


@pytest.mark.parametrize("added", ADDED, ids=repr)
def test_additions_outlive_the_market_in_memory(added: list[Any]) -> None:
    """The next flush, of this worker or another, writes them with what has changed; the marks of unknown rules too."""
    market = Market("v", "S", SPAN)
    head = pack([9, 64, {"volume": [[60, 2, 60]], "price_move": [[61, 1, 61]]}, [2], *added])
    market.restore(decode_head(b"k", head), [decode_chunk(b"k", a_chunk(*added))])
    pane = market.open_pane(65)
    assert pane is not None
    market.offset = 11
    written_head, (written_chunk,) = market.take_dirty()
    fields = unpack(encode(written_head))
    assert fields == [11, 65, {"volume": [[60, 2, 60]], "price_move": [[61, 1, 61]]}, [2], *added]
    assert unpack(encode(written_chunk))[3:] == added
    assert written_chunk.offset == 11


def test_a_new_chunk_in_the_same_slot_takes_no_additions_over() -> None:
    """They were said of other seconds."""
    market = Market("v", "S", SPAN)
    market.restore(decode_head(b"k", a_head()), [decode_chunk(b"k", a_chunk(*ADDED[0]))])
    market.open_pane(64 + CHUNK_PANES)
    _, (chunk,) = market.take_dirty()
    assert (chunk.number, chunk.tail) == (3, NO_TAIL)


@pytest.mark.parametrize("added", [[], *ADDED, [7, "anything"], [{"no": "format"}]], ids=repr)
def test_a_value_that_is_carried_over_keeps_all_but_its_offset(added: list[Any]) -> None:
    """To a broker that took another's place, whatever release wrote it."""
    assert shifted(a_head(*added), -5) == a_head(*added, offset=4)
    assert shifted(a_chunk(*added), -5) == a_chunk(*added, offset=4)
    assert shifted(pack([9, *added]), -5) == pack([4, *added])


@pytest.mark.parametrize("added", [[2], [2, {}], [2, {"shape": 1}, 5], [99, "no map"], [2, [1], None]], ids=repr)
@pytest.mark.parametrize("shape", ["as known", "changed"])
def test_a_newer_format_ends_the_worker_with_a_line(added: list[Any], shape: str) -> None:
    """Before anything else of it is looked at: the fields before may be others too."""
    chunk, head = a_chunk(*added), a_head(*added)
    if shape == "changed":
        chunk, head = pack([9, "two", {}, *added]), pack([9, None, [], 3, *added])
    for decode, key, value in ((decode_chunk, b"v|S|7", chunk), (decode_head, b"v|S|head", head)):
        with pytest.raises(NewerState) as raised:
            decode(key, value)
        assert isinstance(raised.value, Fatal)
        assert str(raised.value) == (
            f"a newer release wrote the state under {key!r}: its format is {added[0]}, this release reads up to 1; "
            "start that release again, this one has changed nothing there"
        )


def test_the_line_names_the_release_where_the_value_does() -> None:
    """So that nobody has to guess which to start."""
    with pytest.raises(NewerState, match=r"^a newer release \(3\.1\.4\) wrote the state under"):
        decode_head(b"k", a_head(2, {"release": "3.1.4"}))
    with pytest.raises(NewerState, match=r"^a newer release wrote the state under"):
        decode_head(b"k", a_head(2, {"release": 3}))


def test_panes_and_marks_with_more_fields_end_the_worker_too() -> None:
    """They would be dropped without a word, and the shorter ones written back."""
    with pytest.raises(NewerState, match="its panes have 20 fields, this release knows 19"):
        decode_chunk(b"k", pack([9, 2, [None, LONG_PANE, *PANES[2:]]]))
    with pytest.raises(NewerState, match="its marks have 4 fields, this release knows 3"):
        decode_head(b"k", pack([9, 64, {"volume": [], "price_move": [[1, 1, 1], [60, 2, 60, "retracted"]]}, []]))


def test_older_values_with_fewer_fields_are_read() -> None:
    """As far as there ever were some."""
    assert decode_head(b"k", pack([9, 64, {}])) == Head(9, 64, {}, [])
    empty = [None] * (CHUNK_PANES - 1)
    assert decode_chunk(b"k", pack([9, 2, [[[1, 2], 2, 5], *empty]])).panes == [Pane([1, 2], 2, 5), *empty]


@pytest.mark.parametrize("added", [[0], [-1], ["1"], [1, []], [1, "map"], [1, {5: 1}], [None]], ids=repr)
def test_a_broken_tail_is_no_newer_release(added: list[Any]) -> None:
    """It is said as what it is: the state must be rebuilt."""
    with pytest.raises(CorruptState):
        decode_chunk(b"k", a_chunk(*added))
    with pytest.raises(CorruptState):
        decode_head(b"k", a_head(*added))


def test_additions_do_not_keep_the_rest_of_the_value_in_memory() -> None:
    """A view of a chunk with many identities, for one word behind it."""
    for value, decode in ((a_chunk(*ADDED[-1]), decode_chunk), (a_head(*ADDED[-1]), decode_head)):
        references = sys.getrefcount(value)
        kept = decode(b"k", value)
        assert sys.getrefcount(value) == references
        assert kept.tail.rest


def test_marks_and_panes_know_their_own_fields_only() -> None:
    """Whoever adds one raises the format, or says in decision 0023 why not."""
    assert len(Pane.__struct_fields__) == 19
    assert len(Mark.__struct_fields__) == 3


@pytest.mark.parametrize(
    ("name", "items"),
    [("kind", ["spot", False, 8, "more"]), ("closing", [True, 1, 0, "more"])],
    ids=["kind", "closing"],
)
def test_an_addition_with_more_items_than_this_release_knows_ends_the_worker(name: str, items: list[Any]) -> None:
    """Written back, it would lack them."""
    head = pack([9, 64, {}, [], 1, {name: items}])
    with pytest.raises(NewerState, match=f"its {name} has 4 items, this release knows 3"):
        decode_head(b"k", head)


@pytest.mark.parametrize(("name", "value"), [("kind", ["spot"]), ("closing", [1, 2]), ("closing", "x"), ("kind", 7)])
def test_an_addition_that_cannot_be_read_is_corrupt_state(name: str, value: object) -> None:
    """The line names the key."""
    with pytest.raises(CorruptState, match="'k'"):
        decode_head(b"k", pack([9, 64, {}, [], 1, {name: value}]))
