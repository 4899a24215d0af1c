"""The outbox: batches are kept until they are acknowledged, and every link can go on from its own place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.cgtp.framing import BATCH_BYTES, BATCH_FRAMES_MAX, RECORD_BYTES_MAX, Reader
from primacy.cgtp.outbox import Outbox
from primacy.errors import WireError


def read(data: bytes, delivered: int = 0) -> list[bytes]:
    return Reader().feed(data, delivered)


def test_batches_are_numbered_kept_and_forgotten() -> None:
    outbox = Outbox()
    records = outbox.seal([b"a", b"b"], 0) + outbox.seal([b"c"], 7)
    assert (outbox.last, outbox.bytes_retained) == (2, sum(map(len, records)))
    assert outbox.take(0) == (b"".join(records), 2)
    assert outbox.take(1) == (records[1], 2)
    assert outbox.take(2) == (b"", 2)
    outbox.acknowledge(1)
    assert outbox.take(0) == (records[1], 2)
    outbox.acknowledge(1)
    outbox.acknowledge(2)
    assert (outbox.bytes_retained, outbox.acknowledged) == (0, 2)
    assert outbox.take(0) == (b"", 2)


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    outbox = Outbox()
    outbox.seal([b"a"], 0)
    with pytest.raises(WireError, match="last one sent is 1"):
        outbox.acknowledge(2)
    assert outbox.bytes_retained


def test_many_or_large_frames_are_divided() -> None:
    outbox = Outbox()
    frames = [bytes([number % 256]) * 100_000 for number in range(12)]
    records = outbox.seal(frames, 0)
    assert len(records) == outbox.last == 6
    assert all(len(record) <= BATCH_BYTES + 100 for record in records)
    assert read(b"".join(records)) == frames
    tiny = [b"x"] * (2 * BATCH_FRAMES_MAX + 1)
    assert len(outbox.seal(tiny, 0)) == 3
    (large,) = outbox.seal([bytes(1 << 20)], 0)
    assert len(large) < RECORD_BYTES_MAX


def test_a_link_far_behind_takes_some_at_a_time() -> None:
    outbox = Outbox()
    for number in range(100):
        outbox.seal([number.to_bytes(2, "big") + bytes(5000)], 0)
    taken, got, rounds = 0, b"", 0
    while taken < outbox.last:
        data, taken = outbox.take(taken, 20_000)
        got += data
        rounds += 1
    assert rounds == 25
    assert [int.from_bytes(frame[:2], "big") for frame in read(got)] == list(range(100))


@given(st.lists(st.one_of(st.integers(1, 5), st.tuples(st.integers(0, 1), st.integers(0, 20))), max_size=60))
def test_two_links_and_acknowledgements_in_any_order(steps: list[int | tuple[int, int]]) -> None:
    """A number: so many frames are sealed. A pair: that link takes, and then the peer's word reaches us so late."""
    outbox, taken, reader = Outbox(), [0, 0], [Reader(), Reader()]
    delivered, sent, received = 0, list[bytes](), list[bytes]()
    for step in [*steps, (0, 0), (1, 0)]:
        if isinstance(step, int):
            frames = [len(sent + [b""] * place).to_bytes(4, "big") for place in range(step)]
            sent += frames
            outbox.seal(frames, 0)
            continue
        link, late = step
        data, taken[link] = outbox.take(taken[link], 1 << 20)
        received += reader[link].feed(data, delivered)
        delivered = reader[link].delivered
        outbox.acknowledge(max(0, delivered - late))
    assert received == sent
