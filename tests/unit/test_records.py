"""The records of the ledger: what is read back, what is refused, what fits."""

from __future__ import annotations

import traceback

import pytest

from primacy.errors import ConfigError
from primacy.machines.ids import Member
from primacy.machines.messages import Announce
from primacy.machines.messages import encode as encode_message
from primacy.machines.records import (
    CAUSE_BYTES_MAX,
    Mastership,
    NodeRecord,
    Vice,
    brief,
    decode_mastership,
    decode_node,
    encode,
)

N1, N2 = Member("n1", "1" * 32), Member("n2", "2" * 32)
RECORD = Mastership(3, N1, Vice("n2", N2.incarnation, True), 7, "a test", N1, {"naming": (3, 9)})


def test_records_are_read_back_as_they_were() -> None:
    assert decode_mastership(encode(RECORD)) == RECORD
    assert decode_node(encode(NodeRecord(eligible=False)), "n1") == NodeRecord(eligible=False)


def test_what_a_record_says_of_a_member() -> None:
    assert RECORD.is_master(N1)
    assert not RECORD.is_master(Member("n1", "3" * 32))
    assert RECORD.is_vice(N2)
    assert RECORD.ready_vice == N2
    assert Mastership(3, N1, Vice("n2", N2.incarnation, False), 7, "a test", N1).ready_vice is None


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"term": "one"}', encode(RECORD).replace(b'"format":1', b'"format":2')]
)
def test_a_damaged_or_newer_record_is_refused_by_its_key(data: bytes) -> None:
    with pytest.raises(ConfigError, match="ledger key mastership"):
        decode_mastership(data)


def test_a_damaged_or_newer_record_of_a_node_is_refused_by_its_key() -> None:
    for data in (b"nothing", encode(NodeRecord()).replace(b'"format":1', b'"format":2')):
        with pytest.raises(ConfigError, match="ledger key nodes/n1"):
            decode_node(data, "n1")


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
def test_a_cause_is_one_line(text: str, line: str) -> None:
    assert brief(text) == line


def test_a_record_with_the_longest_cause_fits_into_a_datagram() -> None:
    cause = brief("é" * 5_000)
    assert len(cause.encode()) <= CAUSE_BYTES_MAX
    assert cause.endswith("...")
    record = Mastership(1 << 40, N1, RECORD.vice, 1 << 40, cause, N1, {"s" * 32: (1 << 40, 1 << 40)})
    assert len(encode_message(Announce(1 << 40, record, True, 1 << 40))) < 1_000
    deep = "\n".join(traceback.format_list([("a.py", 1, "f", "x")] * 200))
    assert len(brief(deep).encode()) <= CAUSE_BYTES_MAX
