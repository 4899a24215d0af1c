"""What a stream has sent and its peer has not yet acknowledged. Pure.

Frames are sealed into numbered batches; each link takes the batches in order from its own place; an
acknowledged batch is forgotten, and a link whose place was forgotten goes on at the first one that is kept:
the peer has the others. So one copy serves all links, and a rejoining link resumes from the last
acknowledgement.

Never in here: waiting. Who puts in more than `RETAINED_BYTES` is told by `bytes_retained`.
"""

from __future__ import annotations

from primacy.cgtp import framing
from primacy.errors import WireError

RETAINED_BYTES = 8 << 20
"""A writer waits while more than this is unacknowledged."""
OVERRUN_BYTES = 4 * RETAINED_BYTES
"""A stream whose writer never waits ends here: its memory must not grow without bound."""
TAKE_BYTES = 128 << 10
"""A link that is behind takes the batches up to about this size at a time."""


class Outbox:
    """The batches of one direction of one stream."""

    __slots__ = ("_batches", "acknowledged", "bytes_retained", "last")

    def __init__(self) -> None:
        self._batches: dict[int, bytes] = {}
        self.last = 0
        """Number of the last batch sealed; the first is 1."""
        self.acknowledged = 0
        """Every batch up to this number has been delivered by the peer."""
        self.bytes_retained = 0

    def seal(self, frames: list[bytes], delivered: int) -> list[bytes]:
        """Make batches of these frames, retain them, and return them; `delivered` is acknowledged with them."""
        if len(frames) <= framing.BATCH_FRAMES_MAX and sum(map(len, frames)) <= framing.BATCH_BYTES:
            return [self._seal(frames, delivered)]
        sealed, group, size = [], list[bytes](), 0
        for frame in frames:
            if group and (size + len(frame) > framing.BATCH_BYTES or len(group) == framing.BATCH_FRAMES_MAX):
                sealed.append(self._seal(group, delivered))
                group, size = [], 0
            group.append(frame)
            size += len(frame)
        sealed.append(self._seal(group, delivered))
        return sealed

    def _seal(self, frames: list[bytes], delivered: int) -> bytes:
        self.last = sequence = self.last + 1
        record = framing.encode_batch(sequence, delivered, frames)
        self._batches[sequence] = record
        self.bytes_retained += len(record)
        return record

    def acknowledge(self, sequence: int) -> None:
        """Forget every batch up to this number; `WireError` if there is no such batch yet."""
        if sequence > self.last:
            raise WireError(f"batch {sequence} is acknowledged, the last one sent is {self.last}")
        pop = self._batches.pop
        for number in range(self.acknowledged + 1, sequence + 1):
            self.bytes_retained -= len(pop(number))
        self.acknowledged = max(self.acknowledged, sequence)

    def take(self, after: int, size_max: int = TAKE_BYTES) -> tuple[bytes, int]:
        """Return the batches after number `after` that are kept, up to about `size_max`, and the last one's number."""
        sequence = max(after, self.acknowledged) + 1
        if sequence >= self.last:
            return self._batches.get(sequence, b""), self.last
        records, size = [], 0
        while sequence <= self.last and size < size_max:
            record = self._batches[sequence]
            records.append(record)
            size += len(record)
            sequence += 1
        return b"".join(records), sequence - 1

    def clear(self) -> None:
        """Forget everything: the stream has ended."""
        self._batches.clear()
        self.acknowledged = self.last
        self.bytes_retained = 0
