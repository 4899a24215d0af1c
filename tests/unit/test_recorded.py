"""The form of a record: every input and effect goes in and comes out, and damage is told from an end that was torn."""

from __future__ import annotations

import pytest

from primacy.errors import WireError
from primacy.machines import coordination as c
from primacy.machines import membership as m
from primacy.machines import recorded
from primacy.machines.recorded import Kind
from tests.unit.samples import sample
from tests.unit.trace_tools import beginning, head

INPUTS = [(Kind.MONITOR, k) for k in m.Input.__subclasses__()] + [
    (Kind.COORDINATOR, k) for k in c.Input.__subclasses__()
]
EFFECTS = [(Kind.MONITOR, k) for k in m.Order.__subclasses__()] + [
    (Kind.COORDINATOR, k) for k in c.Order.__subclasses__()
]


def _sample(kind: type) -> object:
    if kind is m.Retimed:
        return m.Retimed(now_ns=7, timing=beginning().timing, availability=True)
    return c.Feed(m.Tick(now_ns=7)) if kind is c.Feed else sample(kind)


@pytest.mark.parametrize(("kind", "of"), INPUTS)
def test_every_input_comes_out_as_it_went_in(kind: Kind, of: type) -> None:
    given = _sample(of)
    entry = recorded.decode_entry(recorded.encode((3, kind, given, [])))
    assert (entry.number, entry.kind, recorded.decode_input(entry)) == (3, kind, given)
    assert recorded.shown(entry.input).startswith(f"{of.__name__}(now_ns=7")


@pytest.mark.parametrize(("kind", "of"), EFFECTS)
def test_every_effect_comes_out_as_it_went_in(kind: Kind, of: type) -> None:
    effect = _sample(of)
    entry = recorded.decode_entry(recorded.encode((3, kind, m.Tick(now_ns=7), [effect])))
    wanted = None if of is c.Feed else effect
    assert recorded.decode_effect(kind, entry.effects[0]) == wanted
    assert recorded.shown(entry.effects[0]).startswith(of.__name__)


def test_equal_sets_are_the_same_bytes() -> None:
    names = [f"n{i}" for i in range(50)]
    one, other = (m.Maintenance(now_ns=1, nodes=frozenset(order)) for order in (names, reversed(names)))
    assert recorded.encode(one) == recorded.encode(other)


def test_what_machines_begin_with_comes_out_as_it_went_in() -> None:
    given = beginning(failures={"stock": (1, 2)})
    assert recorded.decode_beginning(head(given).beginning) == given
    assert given.monitor().me == given.coordinator().me == given.me


def _file() -> bytes:
    blocks = [
        recorded.block(recorded.joined([recorded.encode((n, 0, m.Tick(now_ns=n), []))])) for n in range(9)
    ]
    return recorded.MAGIC + recorded.block(recorded.encode(head(beginning()))) + b"".join(blocks)


def test_a_file_that_was_cut_anywhere_is_read_up_to_there() -> None:
    data, start = _file(), len(recorded.MAGIC) + len(recorded.block(recorded.encode(head(beginning()))))
    seen = set()
    for length in range(start, len(data)):
        found = recorded.contents(data[:length])
        assert not found.trouble or found.torn
        seen.add(len(found.entries))
    assert seen == set(range(9))
    assert recorded.contents(data).trouble == ""
    assert not recorded.headless(data[:start])
    for length in range(start):
        assert recorded.headless(data[:length])
        with pytest.raises(WireError):
            recorded.contents(data[:length])


def test_a_byte_that_was_changed_in_the_middle_is_no_torn_end() -> None:
    data = bytearray(_file())
    data[-60] ^= 1
    found = recorded.contents(bytes(data))
    assert "is not what was written" in found.trouble or found.torn
    assert len(found.entries) < 9


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02", b"\x94\x01\x09\x90\x90"])
def test_what_is_no_entry_or_input_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        recorded.decode_input(recorded.decode_entry(data))
