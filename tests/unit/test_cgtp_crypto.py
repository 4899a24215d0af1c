"""Seals: what opens them, and that nothing else does."""

from __future__ import annotations

import os

import pytest

from primacy.cgtp.crypto import (
    DATAGRAM_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    ClusterKey,
    PairKey,
    new_secret,
    parse_sealed,
)

A, B, C = (bytes([digit]) * 16 for digit in (0xA1, 0xB1, 0xC1))
SECRET = bytes(range(32))


def test_only_the_pairs_key_opens_what_was_sealed() -> None:
    datagram = PairKey(SECRET, A, B).seal(7, b"beat")
    header = parse_sealed(datagram)
    assert (header.receiver, header.counter) == (B, 7)
    key = PairKey(SECRET, A, B)
    assert header.key_id == key.id
    assert key.open(datagram, 7) == b"beat"
    assert key.open(datagram, 8) is None
    for other in (
        PairKey(new_secret(), A, B),
        PairKey(SECRET, B, A),
        PairKey(SECRET, A, C),
        PairKey(SECRET, C, B),
    ):
        assert other.id != key.id
        assert other.open(datagram, 7) is None


def test_every_bit_is_authenticated() -> None:
    key = PairKey(SECRET, A, B)
    datagram = key.seal(7, b"beat")
    for position in range(len(datagram)):
        changed = bytearray(datagram)
        changed[position] ^= 1
        assert key.open(bytes(changed), 7) is None
    assert key.open(datagram[:-1], 7) is None
    assert key.open(datagram + b"\0", 7) is None


def test_the_largest_payload_fits_the_largest_datagram() -> None:
    assert len(PairKey(SECRET, A, B).seal(1, bytes(PAYLOAD_BYTES_MAX))) == DATAGRAM_BYTES_MAX <= 1500 - 48


def test_hello_is_opened_by_the_clusters_key_alone() -> None:
    key = ClusterKey(SECRET)
    first, second = key.seal(b"hello"), key.seal(b"hello")
    assert first != second
    assert key.open(first) == key.open(second) == b"hello"
    assert ClusterKey(os.urandom(32)).open(first) is None
    for position in range(len(first)):
        changed = bytearray(first)
        changed[position] ^= 1
        assert key.open(bytes(changed)) is None


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_our_own_bug(length: int) -> None:
    with pytest.raises(AssertionError):
        ClusterKey(bytes(length))
    with pytest.raises(AssertionError):
        PairKey(bytes(length), A, B)
