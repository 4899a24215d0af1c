"""The ledger's records: readable JSON, refused when damaged or newer, short enough for a datagram."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.errors import ConfigError
from primacy.machines.ids import Member
from primacy.machines.messages import Announce
from primacy.machines.messages import encode as encode_message
from primacy.machines.records import (
    CAUSE_BYTES_MAX,
    FORMAT,
    Mastership,
    NodeRecord,
    Vice,
    brief,
    decode_mastership,
    decode_node,
    encode,
)

N1, N2 = Member("n1", "1" * 32), Member("n2", "2" * 32)
WORD = st.text(st.characters(codec="utf-8"), max_size=40)
MEMBERS = st.builds(Member, WORD, WORD)
NUMBER = st.integers(0, 2**63 - 1)
RECORDS = st.builds(
    Mastership,
    NUMBER,
    MEMBERS,
    st.none() | st.builds(Vice, WORD, WORD, st.booleans()),
    NUMBER,
    WORD,
    MEMBERS,
    st.none() | st.dictionaries(WORD, st.tuples(NUMBER, NUMBER), max_size=3),
)


@given(RECORDS)
def test_a_record_reads_as_it_was_written(record: Mastership) -> None:
    assert decode_mastership(encode(record)) == record
    assert json.loads(encode(record))["term"] == record.term


@pytest.mark.parametrize("record", [NodeRecord(), NodeRecord(eligible=False), NodeRecord(available=False)])
def test_a_nodes_record_reads_as_it_was_written(record: NodeRecord) -> None:
    assert decode_node(encode(record), "n1") == record


@pytest.mark.parametrize(
    ("vice", "is_vice", "ready"),
    [(None, False, None), (Vice("n2", "2" * 32, False), True, None), (Vice("n2", "2" * 32, True), True, N2)],
)
def test_a_record_names_lives_not_nodes(vice: Vice | None, is_vice: bool, ready: Member | None) -> None:
    record = Mastership(1, N1, vice, 1, "test", N1)
    assert (record.is_vice(N2), record.ready_vice) == (is_vice, ready)
    assert record.is_master(N1)
    assert not record.is_master(Member("n1", "9" * 32))
    assert not record.is_vice(Member("n2", "9" * 32))


def test_fields_of_a_later_version_of_this_format_are_ignored() -> None:
    plain = json.loads(encode(Mastership(1, N1, None, 1, "test", N1))) | {"later": [1]}
    assert decode_mastership(json.dumps(plain).encode()).term == 1


def test_a_newer_format_is_refused_and_says_what_to_do() -> None:
    record = encode(Mastership(1, N1, None, 1, "test", N1, format=FORMAT + 1))
    with pytest.raises(ConfigError, match="mastership: got format 2; at most 1: upgrade this node first"):
        decode_mastership(record)
    node = encode(NodeRecord(format=FORMAT + 1))
    with pytest.raises(ConfigError, match="nodes/n1: got format 2; at most 1: upgrade this node first"):
        decode_node(node, "n1")


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"term":1}', b"\xff", b"null", b"[]"]))
def test_damaged_bytes_are_named_and_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(ConfigError, match="ledger key mastership"):
        decode_mastership(data)
    with suppress(ConfigError):  # `{}` is a node's record
        decode_node(data, "n1")


@given(st.text(max_size=2000))
def test_a_cause_is_one_line_that_fits(text: str) -> None:
    cause = brief(text)
    assert len(cause.encode()) <= CAUSE_BYTES_MAX
    assert len(cause.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no beat for the grace", "no beat for the grace"),
        ("", ""),
        ("stock.py cannot be imported:\n  File x\nNameError: y", "stock.py cannot be imported: NameError: y"),
        ("Traceback (most recent call last):\n  File x\nNameError: y\n", "NameError: y"),
        ("broken \ud800", "broken ?"),
    ],
)
def test_a_cause_tells_what_matters(text: str, line: str) -> None:
    assert brief(text) == line


def test_a_record_with_the_longest_cause_fits_into_a_datagram() -> None:
    cause = brief("é" * 5_000)
    assert len(cause.encode()) <= CAUSE_BYTES_MAX
    assert cause.endswith("...")
    vice = Vice("n2", N2.incarnation, True)
    record = Mastership(1 << 40, N1, vice, 1 << 40, cause, N1, {"s" * 32: (1 << 40, 1 << 40)})
    assert len(encode_message(Announce(1 << 40, record, True, 1 << 40))) < 1_000
    deep = "\n".join(traceback.format_list([("a.py", 1, "f", "x")] * 200))
    assert len(brief(deep).encode()) <= CAUSE_BYTES_MAX
