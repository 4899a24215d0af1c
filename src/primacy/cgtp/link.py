"""One link of a stream: a connection that has shaken hands, its place among the batches, and what is counted.

Each link takes the batches in order, at its own pace, from the one outbox that all links of a stream share.
Invariant: a batch is taken only when the kernel has taken everything before it, so what a slow link has not
sent costs no memory of its own, and is known (`backlog_bytes`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from primacy.cgtp.connection import Connection
from primacy.cgtp.framing import Reader
from primacy.cgtp.outbox import OVERRUN_BYTES, Outbox

LAG_BYTES_MAX = 1 << 20
LAG_S = 0.5
"""A link that has so much more unsent than the best one, for so long, is closed and rejoins."""


class LinkStatistics(msgspec.Struct):
    """One link of one stream."""

    joins: int = 0
    """How often a connection of this link has become part of the stream."""
    closed_slow: int = 0
    """How often it was closed because it was too far behind the best link."""
    last_error: str = ""
    """Why the last connection, or the last attempt to make one, ended."""


class StreamStatistics(msgspec.Struct):
    """What one end of a stream has done so far."""

    frames_sent: int = 0
    frames_delivered: int = 0
    batches_sent: int = 0
    batches_delivered: int = 0
    batches_duplicate: int = 0
    """Received again on another link, and dropped."""
    bytes_retained: int = 0
    """Sent and not yet acknowledged."""
    garbage: int = 0
    """Connections closed because of bytes that no honest peer sends."""
    links: dict[int, LinkStatistics] = {}


class Link:
    """One connection that is part of a stream."""

    __slots__ = (
        "_outbox",
        "_slow_since_s",
        "backlog_bytes",
        "connection",
        "index",
        "on_gone",
        "reader",
        "taken",
    )

    def __init__(
        self,
        index: int,
        connection: Connection,
        reader: Reader,
        outbox: Outbox,
        taken: int,
        on_gone: Callable[[str], None],
    ) -> None:
        self.index, self.connection, self.reader = index, connection, reader
        self._outbox = outbox
        self.taken = taken
        """The last batch that this link has taken."""
        self.backlog_bytes = 0
        """Sealed, and not taken by this link; what the peer has acknowledged meanwhile counts until it catches up."""
        self.on_gone = on_gone
        self._slow_since_s: float | None = None

    def offer(self, record: bytes) -> None:
        """A batch was sealed: take it, and whatever this link still lacks, as far as the kernel does."""
        last = self._outbox.last
        if self.taken == last - 1 and not self.connection.blocked:
            self.taken = last
            self.connection.write(record)
        else:
            self.backlog_bytes += len(record)
            self.pump()

    def pump(self) -> None:
        """Take the batches that this link lacks, until its connection is blocked."""
        outbox, connection = self._outbox, self.connection
        if self.taken < outbox.acknowledged and not connection.blocked:
            # the peer has the rest
            self.taken, self.backlog_bytes = outbox.acknowledged, outbox.bytes_retained
        while self.taken < outbox.last and not connection.blocked and connection.is_open:
            data, self.taken = outbox.take(self.taken)
            self.backlog_bytes -= len(data)
            if data:
                connection.write(data)
        if self.taken >= outbox.last:
            self.backlog_bytes = 0

    def too_slow(self, best_bytes: int, now_s: float) -> bool:
        """Say whether this link is `LAG_BYTES_MAX` behind the best one, and has been for `LAG_S`."""
        if self.backlog_bytes - max(best_bytes, 0) <= LAG_BYTES_MAX:
            self._slow_since_s = None
        elif self._slow_since_s is None:
            self._slow_since_s = now_s
        else:
            return now_s - self._slow_since_s >= LAG_S
        return False

    def finish(self, farewell: bytes) -> None:
        """Write all that this link lacks and the farewell, then end the connection once the kernel has it."""
        rest, self.taken = self._outbox.take(self.taken, OVERRUN_BYTES)
        self.connection.write(rest + farewell)
        self.connection.close_when_sent()
