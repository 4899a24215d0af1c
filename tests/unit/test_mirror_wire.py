"""The mirror's frames: each is read back as it was sent; others are refused."""

from __future__ import annotations

import pytest

from primacy.errors import WireError
from primacy.machines import call_wire, mirror_wire
from primacy.machines.ids import Member
from primacy.machines.mirror_wire import (
    Acknowledged,
    Append,
    Digest,
    Follow,
    JoinMirror,
    Message,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotTaken,
)  # fmt: skip

MESSAGES: list[Message] = [
    JoinMirror(2, 7, Member("a", "00"), [(1, 1, 9)], 3),
    Acknowledged(2, 7, 9),
    SnapshotTaken(2, 7, 100),
    Follow(2, 7, 9),
    Append(2, 7, 1, 10, 12, b"payload"),
    SnapshotBegin(2, 7, 9, [(1, 1, 9)], 100),
    SnapshotChunk(2, 7, b"data"),
    Digest(2, 9, b"digest"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_comes_back(message: Message) -> None:
    assert mirror_wire.decode(mirror_wire.encode(message)) == message


@pytest.mark.parametrize("frame", [b"", b"\xc1", call_wire.encode(call_wire.KeepAlive(1)), b"\x91" * 5_000])
def test_other_bytes_are_refused(frame: bytes) -> None:
    with pytest.raises(WireError):
        mirror_wire.decode(frame)
