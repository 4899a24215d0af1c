"""What the entries of a service's log say, and how a batch of them is written down.

One turn of the primary's loop makes one batch: it is encoded once, and the same bytes are journaled and
shipped. All entries of a batch carry the same time: `time_ns`, the wall clock of the primary, never going
backwards, which operations see; and `uptime_ns`, for how long the service has had a primary, by which
sessions end (it counts on over a failover and stands still without a primary, so no clock that is set wrong
can end a session).

An entry has no number of its own in the bytes: the batch begins with entry `first`, the others follow.
"""

from __future__ import annotations

import msgspec

from primacy.errors import JournalError
from primacy.machines.call_wire import Call


class SessionBegun(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="b"):
    """A session begins. id: 0 in entries of the first release, where it was the entry's sequence.

    An id must never be given twice, not even when entries were lost by force and their sequences come again.
    """

    id: int = 0


class SessionsTouched(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="t"):
    """Signs of life of sessions that make no calls, many in one entry."""

    sessions: list[int]


class SessionEnded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="e"):
    """The client closed its session in order."""

    session: int


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="p"):
    """Each replica takes a snapshot and a digest of its state here; the digests are compared. Alone in its
    batch.
    """


Entry = Call | SessionBegun | SessionsTouched | SessionEnded | Checkpoint
"""A `Call` of session 0 is the service's own (of a timer): it is executed always and has no kept reply."""


class Entries(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The content of a batch."""

    time_ns: int
    uptime_ns: int
    entries: list[Entry]


encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(Entries)


def decode(payload: bytes) -> Entries:
    """Return the content of a batch; JournalError when `payload` is none (it was checked when it was
    written).
    """
    try:
        return _entries.decode(payload)
    except (ValueError, RecursionError) as error:
        raise JournalError(f"a batch of the log cannot be read: {error}") from error
