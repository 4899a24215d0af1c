"""Records: what is written is read, in whatever pieces; everything else is an error of the wire and nothing more."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.cgtp.framing import (
    BATCH,
    FRAME_BYTES_MAX,
    RECORD_BYTES_MAX,
    Close,
    Control,
    Hello,
    Reader,
    Refusal,
    Welcome,
    encode_acknowledge,
    encode_batch,
    encode_control,
)
from primacy.errors import WireError

HELLO = Hello(wire_min=1, wire_max=1, stream=bytes(16), link=1, fresh=True, instance=b"", received=0)
WELCOME = Welcome(wire=1, instance=bytes(16), received=3)
BATCHES = [[b"one"], [b"", b"two", b"three" * 100], [bytes(70_000)], [b"last"]]


def wire(first: int = 1) -> bytes:
    return b"".join(encode_batch(first + place, 40 + place, frames) for place, frames in enumerate(BATCHES))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 1 << 20), max_size=12), st.integers(0, 4))
def test_any_pieces_give_the_same_frames(cuts: list[int], delivered: int) -> None:
    """Batches up to `delivered` came by another link already: they are dropped, the others are delivered once."""
    reader, frames = Reader(), list[bytes]()
    for piece in pieces(wire() + encode_acknowledge(50) + encode_control(Close("bye")), cuts):
        frames += reader.feed(piece, delivered)
        delivered = reader.delivered
    assert delivered == 4
    assert reader.acknowledged == 50
    assert reader.close == Close("bye")
    dropped = len(BATCHES) - len([batch for batch in BATCHES if set(batch) <= set(frames)])
    assert reader.duplicates == dropped
    assert frames == [frame for batch in BATCHES[dropped:] for frame in batch]


def test_a_batch_that_another_link_delivers_meanwhile_is_dropped() -> None:
    reader, data = Reader(), encode_batch(1, 0, [bytes(1000)])
    assert reader.feed(data[:500], 0) == []
    assert reader.feed(data[500:], 1) == []
    assert (reader.duplicates, reader.delivered) == (1, 1)
    assert reader.feed(encode_batch(2, 0, [b"next"]), 1) == [b"next"]


@pytest.mark.parametrize("control", [HELLO, WELCOME, Refusal("no", final=True)])
def test_the_first_record_leaves_what_follows(control: Control) -> None:
    data = encode_control(control) + wire()
    for size in (1, 7, len(data)):
        reader, opening, frames = Reader(), None, list[bytes]()
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if opening is None:
                opening = reader.opening(piece)
                if opening is not None:
                    frames += reader.feed(b"", 0)
            else:
                frames += reader.feed(piece, reader.delivered)
        assert opening == control
        assert frames == [frame for batch in BATCHES for frame in batch]


def test_fields_of_a_later_version_are_ignored() -> None:
    later = encode_control(HELLO).replace(b"\x88", b"\x89", 1) + b"\xa3new\x01"
    size = int.from_bytes(later[:4], "little") + 5
    assert Reader().opening(size.to_bytes(4, "little") + later[4:]) == HELLO


def _batch_record(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + bytes((BATCH,)) + (1).to_bytes(8, "little") + bytes(8) + body


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode_batch(2, 0, [b"gap"]), "follows"),
        (encode_control(HELLO), "middle of a stream"),
        (encode_control(Refusal("no", final=False)), "middle of a stream"),
        (bytes(100), "kind 0"),
        (b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n", "a record of"),
        ((RECORD_BYTES_MAX + 1).to_bytes(4, "little") + bytes((BATCH,)) + bytes(16), "at most"),
        (_batch_record(b"\1"), "without a count"),
        (_batch_record(b"\xff\xff\xff\xff"), "frames in"),
        (_batch_record(b"\1\0\0\0\2\0\0\0x"), "add up"),
        (_batch_record(b"\1\0\0\0\0\0\0\0x"), "add up"),
        (encode_control(Close("x"))[:-1] + b"\xc1", "no handshake|kind 6"),
    ],
)
def test_what_no_honest_peer_sends(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        Reader().feed(data, 0)


@pytest.mark.parametrize("data", [encode_batch(1, 0, [b"x"]), bytes(21), b"\xff" * 30, encode_acknowledge(1)])
def test_a_connection_begins_with_a_handshake(data: bytes) -> None:
    with pytest.raises(WireError):
        Reader().opening(data)


def test_deep_nesting_is_an_error_of_the_wire() -> None:
    body = b"\x81\xa4type" + b"\x91" * 100_000
    with pytest.raises(WireError):
        Reader().opening(len(body).to_bytes(4, "little") + b"\1" + bytes(16) + body)


def test_the_largest_frame_fits() -> None:
    frame = bytes(FRAME_BYTES_MAX)
    assert Reader().feed(encode_batch(1, 0, [frame]), 0) == [frame]


def test_a_hundred_thousand_bad_pieces_raise_nothing_else(random_source: random.Random) -> None:
    good = encode_batch(1, 0, [b"a", b"bc" * 30]) + encode_acknowledge(9) + encode_control(Close("x"))
    opening = encode_control(HELLO)
    refused = 0
    for _ in range(100_000):
        data = bytearray(random_source.choice((good, opening)))
        for _ in range(random_source.randrange(1, 4)):
            data[random_source.randrange(len(data))] = random_source.randrange(256)
        if random_source.random() < 0.3:
            del data[random_source.randrange(len(data)) :]
        if random_source.random() < 0.1:
            data = bytearray(random_source.randbytes(random_source.randrange(1, 80)))
        reader = Reader()
        try:
            reader.opening(bytes(data)) if data[:1] == opening[:1] else reader.feed(bytes(data), 0)
        except WireError:
            refused += 1
    assert refused > 10_000
