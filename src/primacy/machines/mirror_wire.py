"""What the two hosts of a mirror tell each other over their CGTP stream.

The secondary dials the primary and shows its log (`JoinMirror`); the primary answers with what it lacks. The
stream is kept when a switchover exchanges the roles: the new secondary shows its log on the same stream.
Every message names the term and the appointment that it belongs to; one of any other is ignored.
"""

from __future__ import annotations

import msgspec

from primacy.errors import WireError
from primacy.machines.history import Run
from primacy.machines.ids import Member


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: an array whose first element is the class's tag."""


# ---- secondary to primary ----


class JoinMirror(Wire, frozen=True, tag="MJ"):
    """I am the vice of this appointment; these entries are in my log; below `kept` I cannot cut it."""

    term: int
    appointment: int
    member: Member
    runs: list[Run]
    kept: int


class Acknowledged(Wire, frozen=True, gc=False, tag="MA"):
    """Everything up to `upto` is kept here, as the service's durability asks."""

    term: int
    appointment: int
    upto: int


class SnapshotTaken(Wire, frozen=True, gc=False, tag="MT"):
    """So many bytes of the snapshot have arrived: send on."""

    term: int
    appointment: int
    size: int


# ---- primary to secondary ----


class Follow(Wire, frozen=True, gc=False, tag="MF"):
    """Our logs agree up to `after`: cut yours there; my log goes on behind it."""

    term: int
    appointment: int
    after: int


class Append(Wire, frozen=True, gc=False, tag="MB"):
    """One batch of the log (its own term may be older than the primary's while catching up)."""

    term: int
    appointment: int
    batch_term: int
    first: int
    last: int
    payload: bytes


class SnapshotBegin(Wire, frozen=True, tag="MS"):
    """A snapshot at `sequence` of `size` bytes follows in chunks; it replaces everything you have."""

    term: int
    appointment: int
    sequence: int
    runs: list[Run]
    size: int


class SnapshotChunk(Wire, frozen=True, gc=False, tag="MC"):
    """A piece of the snapshot, in order."""

    term: int
    appointment: int
    data: bytes


class Digest(Wire, frozen=True, gc=False, tag="MD"):
    """The digest of the primary's state right after the checkpoint entry `sequence`."""

    term: int
    sequence: int
    digest: bytes


ToPrimary = JoinMirror | Acknowledged | SnapshotTaken
ToSecondary = Follow | Append | SnapshotBegin | SnapshotChunk | Digest
Message = ToPrimary | ToSecondary

encode = msgspec.msgpack.Encoder().encode
_message: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def decode(frame: bytes) -> Message:
    """Return the message of the other host; WireError when no message is in `frame`."""
    try:
        return _message.decode(frame)
    except (ValueError, RecursionError) as error:
        raise WireError(f"frame from the mirror's other side cannot be read: {error}") from error
