"""Sending a joiner what it lacks: log in chunks, or a snapshot in pieces, beside the running service.

The mirror's machine says what to send next (`SendLog`, `SendSnapshot`); one chunk of log is sent at a time
and the next one when it was acknowledged, so a joiner that loads slowly costs no memory here. A snapshot is
read from its file piece by piece, with a few pieces under way.

Invariant: `machine.sent` is called from the loop, never from within the obeying of an effect, and only while
the stream that the joiner came on is still the follower's. The last piece of a snapshot whose file is damaged
never leaves: a new one takes its place, here and there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from primacy.errors import JournalError, StreamClosed
from primacy.host.journal import Journal, SnapshotEntry
from primacy.host.snapshots import Content, Snapshots
from primacy.machines import mirror_wire
from primacy.machines.history import Batch
from primacy.machines.mirror_effects import SendLog, SendSnapshot
from primacy.machines.mirror_wire import Append, Follow, SnapshotBegin, SnapshotChunk

PIECE_BYTES = 256 << 10
PIECES_UNDER_WAY = 4

SendFrame = Callable[[bytes], None]


class CatchUp:
    """Brings one joiner to where live shipping begins."""

    def __init__(
        self,
        journal: Journal,
        snapshots: Snapshots,
        send: SendFrame,
        sent: Callable[[int, int], None],
        note: Callable[[str, str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """`send` takes a frame for the joiner, `sent(appointment, upto)` is the machine's."""
        self._spawn = spawn
        self._journal = journal
        self._snapshots = snapshots
        self._send = send
        self._sent = sent
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._taken_bytes = 0
        self._more = asyncio.Event()
        self._closed = False

    def close(self) -> None:
        """The joiner is gone, or another one is expected."""
        self._closed = True
        if self._task:
            self._task.cancel()

    def send_log(self, effect: SendLog, last: int) -> None:
        """Obey `SendLog`; `last` is the last entry that there is."""
        if effect.opening:
            self._send(mirror_wire.encode(Follow(effect.term, effect.appointment, effect.after)))
        after = effect.after
        while after < last:
            for batch in self._journal.read(after):
                self._send(encode_append(effect.term, effect.appointment, batch))
                after = batch.last
            if not effect.whole:
                break
        if not effect.whole:
            self._loop.call_soon(self._tell, effect.appointment, after)

    def send_snapshot(self, effect: SendSnapshot, damaged: SnapshotEntry | None = None) -> None:
        """Obey `SendSnapshot`. damaged: the snapshot that cannot be sent."""
        if self._journal.snapshots and self._journal.snapshots[-1] != damaged:
            self._begin(effect, self._journal.snapshots[-1])
            return

        def taken(entry: SnapshotEntry, digest: bytes) -> None:
            self._journal.add_snapshot(entry)
            if damaged is not None and damaged.sequence != entry.sequence:  # else it is replaced
                self._journal.drop_snapshot(damaged)
            if not self._closed:
                self._begin(effect, entry)

        if not self._snapshots.take(self._journal.runs, taken):
            self._loop.call_later(0.01, self._again, effect, damaged)

    def taken(self, size: int) -> None:
        """The joiner has so many bytes of the snapshot."""
        self._taken_bytes = size
        self._more.set()

    def _again(self, effect: SendSnapshot, damaged: SnapshotEntry | None) -> None:
        if not self._closed:
            self.send_snapshot(effect, damaged)

    def _tell(self, appointment: int, upto: int) -> None:
        if not self._closed:
            self._sent(appointment, upto)

    def _begin(self, effect: SendSnapshot, entry: SnapshotEntry) -> None:
        if self._task:
            self._task.cancel()
        try:
            descriptor = os.open(self._journal.directory / entry.file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"snapshot {entry.file}: {error.strerror}; it should be there") from error
        self._task = self._spawn(self._transfer(effect, entry, descriptor))

    async def _transfer(self, effect: SendSnapshot, entry: SnapshotEntry, descriptor: int) -> None:
        term, appointment = effect.term, effect.appointment
        size = os.fstat(descriptor).st_size
        self._taken_bytes = 0
        content = Content()
        with os.fdopen(descriptor, "rb") as file:
            try:
                begin = SnapshotBegin(term, appointment, entry.sequence, entry.runs, size)
                self._send(mirror_wire.encode(begin))
                while (piece := file.read(PIECE_BYTES)) or not size:
                    content.add(piece)
                    if file.tell() >= size and not content.whole:
                        self._note(
                            "snapshot damaged", f"{entry.file} is not whole; the joiner gets a new one"
                        )
                        self._loop.call_soon(self._again, effect, entry)
                        return
                    self._send(mirror_wire.encode(SnapshotChunk(term, appointment, piece)))
                    while file.tell() - self._taken_bytes > PIECES_UNDER_WAY * PIECE_BYTES:
                        self._more.clear()
                        await self._more.wait()
            except StreamClosed:
                return
        self._note("snapshot sent", f"{size} bytes, the state after entry {entry.sequence}")
        self._tell(appointment, entry.sequence)


def encode_append(term: int, appointment: int, batch: Batch) -> bytes:
    """Return the frame that ships a batch."""
    payload: Any = batch.payload
    append = Append(term, appointment, batch.term, batch.first, batch.last, payload)
    return mirror_wire.encode(append)
