"""The replicated state around a service: sessions, published events, time; and how an entry changes it.

Every replica applies the same entries in the same order and comes to the same state, replies included:
nothing in here may depend on anything but the entries. The service itself is a `Model`; it is asked to
`prepare` a call (decode and check its arguments: the primary does that before it logs the call) and to
`execute` what it prepared.

The primary applies one entry at a time, as it numbers it (`turn`, then `execute` or `note`); a secondary
applies whole batches (`apply`). A snapshot holds everything; `digest` is the same on all replicas that
applied the same entries, whatever the order in which their dicts and sets were filled.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any, Protocol

import msgspec

from primacy.errors import JournalError
from primacy.machines import entries
from primacy.machines.call_wire import BUSY, EXPIRED, Call
from primacy.machines.entries import Checkpoint, Entry, SessionBegun, SessionEnded, SessionsTouched
from primacy.machines.session import Reply, Session, Sessions, Verdict

EVENTS_KEPT = 10_000
EVENTS_BYTES_KEPT = 16 << 20
EVENT_BYTES_MAX = 256 << 10

SNAPSHOT_FORMAT = 1


class Published(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event that a service published: `position` counts them, `sequence` is the entry that published it."""

    position: int
    sequence: int
    topic: str
    payload: bytes


class Model(Protocol):
    """A service as its replica sees it."""

    def prepare(self, operation: str, arguments: bytes) -> Any:
        """Return what `execute` takes, or a str: why such a call is invalid."""

    def execute(self, prepared: Any, replica: Replica, session: int) -> Reply:
        """Change the state; return (outcome, payload). Called with the replica's numbers of this entry."""

    def snapshot(self) -> bytes:
        """Return the state, whole; `restore` takes it."""

    def digest(self) -> bytes:
        """Return bytes that are the same for the same state."""

    def restore(self, snapshot: bytes) -> None:
        """Replace the state."""


class Image(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of a replica after entry `sequence` (the last entry's term is `term`)."""

    format: int
    service: str
    term: int
    sequence: int
    time_ns: int
    uptime_ns: int
    event_position: int
    events: list[Published]
    sessions: dict[int, Session]
    swept_ns: int
    state: bytes


_encode = msgspec.msgpack.Encoder().encode
_image = msgspec.msgpack.Decoder(Image)
_SEQUENCE_BITS = 40
_EXPIRED: Reply = (EXPIRED, b"")
_FULL: Reply = (BUSY, b"")


class Replica:
    """The state of one service after entry `sequence`; `term`, `time_ns` and `uptime_ns` are of the last
    batch.
    """

    def __init__(self, service: str, model: Model) -> None:
        self.service = service
        self.model = model
        self.term = 0
        self.sequence = 0
        self.time_ns = 0
        self.uptime_ns = 0
        self.sessions = Sessions()
        self.events: deque[Published] = deque()
        self.event_position = 0
        self._event_bytes = 0

    # ---- the primary: entry by entry ----

    def turn(self, term: int, time_ns: int, uptime_ns: int) -> None:
        """Begin a batch: its entries carry these times (never earlier than those of the batch before)."""
        self.term = term
        self.time_ns = max(self.time_ns, time_ns)
        self.uptime_ns = max(self.uptime_ns, uptime_ns)

    def execute(self, call: Call, prepared: Any) -> Reply | None:
        """Apply a call as the next entry; None: a late duplicate, to be answered by nothing."""
        self.sequence += 1
        id = call.session
        if not id:
            return self.model.execute(prepared, self, 0)
        sessions, number = self.sessions, call.number
        verdict = sessions.begin(id, number, call.acknowledged, self.uptime_ns)
        if verdict is Verdict.EXECUTE:
            outcome, payload = self.model.execute(prepared, self, id)
            sessions.store(id, number, outcome, payload)
            return outcome, payload
        if verdict is Verdict.CACHED:
            return sessions.reply(id, number)
        if verdict is Verdict.STALE:
            return None
        return _EXPIRED if verdict is Verdict.EXPIRED else _FULL

    def next_session(self) -> SessionBegun:
        """Return the entry that begins a session, as the next entry of this turn: no other term gives its id."""
        return SessionBegun(self.term << _SEQUENCE_BITS | self.sequence + 1)

    def note(self, entry: SessionBegun | SessionsTouched | SessionEnded | Checkpoint) -> bool:
        """Apply another entry as the next one; False: there are too many sessions."""
        self.sequence += 1
        if isinstance(entry, SessionBegun):
            return self.sessions.open(entry.id or self.sequence, self.uptime_ns)
        if isinstance(entry, SessionsTouched):
            self.sessions.touch(entry.sessions, self.uptime_ns)
        elif isinstance(entry, SessionEnded):
            self.sessions.end(entry.session)
        return True

    def publish(self, topic: str, payload: bytes) -> None:
        """Keep an event that the entry being applied publishes; the oldest go when there are too many."""
        self.event_position += 1
        self.events.append(Published(self.event_position, self.sequence, topic, payload))
        self._event_bytes += len(payload)
        while len(self.events) > EVENTS_KEPT or self._event_bytes > EVENTS_BYTES_KEPT:
            self._event_bytes -= len(self.events.popleft().payload)

    # ---- a secondary, and recovery: batch by batch ----

    def apply(self, term: int, first: int, last: int, payload: bytes) -> bool:
        """Apply a batch of the log; True: it ends with a checkpoint."""
        assert first == self.sequence + 1, (first, self.sequence)
        batch = entries.decode(payload)
        self.turn(term, batch.time_ns, batch.uptime_ns)
        entry: Entry | None = None
        for entry in batch.entries:
            if isinstance(entry, Call):
                self.execute(entry, self.model.prepare(entry.operation, entry.arguments))
            else:
                self.note(entry)
        if self.sequence != last:
            raise JournalError(f"batch {first}..{last} of {self.service} holds {len(batch.entries)} entries")
        return isinstance(entry, Checkpoint)

    # ---- whole states ----

    def image(self) -> Image:
        """Return the snapshot (it shares the replica's objects: encode it before anything else happens)."""
        return Image(
            SNAPSHOT_FORMAT,
            self.service,
            self.term,
            self.sequence,
            self.time_ns,
            self.uptime_ns,
            self.event_position,
            list(self.events),
            self.sessions.sessions,
            self.sessions.swept_ns,
            self.model.snapshot(),
        )

    def snapshot(self) -> bytes:
        """Return the whole replicated state as bytes."""
        return _encode(self.image())

    def digest(self) -> bytes:
        """Return 16 bytes that tell this state from another.

        What was replied and published is counted, not compared: a value may be written as 1 here and as 1.0 on a
        replica that was restored from a snapshot, where the author's annotation says `float`.
        """
        sessions = [
            (
                id,
                each.heard_ns,
                each.acknowledged,
                sorted((number, reply[0]) for number, reply in each.replies.items()),
            )
            for id, each in sorted(self.sessions.sessions.items())
        ]
        events = [(event.position, event.sequence, event.topic) for event in self.events]
        times = (self.term, self.sequence, self.time_ns, self.uptime_ns, self.sessions.swept_ns)
        content = (self.service, times, self.event_position, events, sessions, self.model.digest())
        return hashlib.blake2b(_encode(content), digest_size=16).digest()

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole replicated state; JournalError when `snapshot` is not one of this service."""
        try:
            image = _image.decode(snapshot)
        except (ValueError, RecursionError) as error:
            raise JournalError(f"a snapshot of {self.service} cannot be read: {error}") from error
        if image.format != SNAPSHOT_FORMAT or image.service != self.service:
            raise JournalError(
                f"a snapshot of service {image.service}, format {image.format}; this is {self.service}, "
                f"format {SNAPSHOT_FORMAT}: upgrade this node, or give the service an empty directory"
            )
        self.model.restore(image.state)
        self.term, self.sequence = image.term, image.sequence
        self.time_ns, self.uptime_ns = image.time_ns, image.uptime_ns
        self.event_position = image.event_position
        self.events = deque(image.events)
        self._event_bytes = sum(len(event.payload) for event in self.events)
        self.sessions = Sessions(image.sessions, image.swept_ns)
