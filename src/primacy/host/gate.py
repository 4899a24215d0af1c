"""The gate that replies leave through: committed, and allowed by the lease page at this very moment.

Everything that tells a client something of the state (a reply, a read, an event) is put here with the
position that it depends on. It leaves when the mirror has committed that position, and when the lease page,
read *after* the result was made and right before the sending, says that this server still answers for its
term. While the page says no, it waits and looks again every few milliseconds: the lease may come back, or the
term may end here, and then all that waits is dropped (the client repeats it where the next primary is).

Invariant: positions that were put in later are not lower, except for a confirmed read's, which may only wait
longer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from primacy.lease_page import LeasePage, now_ns
from primacy.machines.watching import Sink as Sink

BURST = 256
"""So many leave on one look at the page."""
LOOK_AGAIN_S = 0.002


class Gate:
    """What waits to leave, in order."""

    def __init__(self, page: LeasePage, on_released: Callable[[], None]) -> None:
        """`on_released` is called whenever something has left, or `committed` has grown."""
        self._page = page
        self._on_released = on_released
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, Sink, bytes]] = deque()
        self._look_again: asyncio.TimerHandle | None = None
        self.committed = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, position: int, sink: Sink, frame: bytes) -> None:
        """Let `frame` leave once `position` is committed and the page allows it."""
        self._waiting.append((position, sink, frame))

    def allowed(self) -> bool:
        """Say whether the page allows an answer at this moment."""
        return now_ns() < self._page.valid_until_ns

    def release(self, upto: int) -> None:
        """The mirror has committed up to here (it may be less than before: a joiner is waited for now)."""
        self.committed = upto
        self.open()

    def open(self) -> None:
        """Let out what may leave now."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= self.committed and not self._closed:
            if not self.allowed():
                self.look_again()
                return
            sinks: set[Sink] = set()
            for _ in range(min(BURST, len(waiting))):
                if waiting[0][0] > self.committed:
                    break
                _, sink, frame = waiting.popleft()
                sink.send(frame)
                sinks.add(sink)
            for sink in sinks:
                sink.flush()
        if not self._closed:
            self._on_released()

    def look_again(self) -> None:
        """Open again in a moment: the page does not allow anything now."""
        if self._look_again is None:
            self._look_again = self._loop.call_later(LOOK_AGAIN_S, self._looked)

    def close(self) -> None:
        """The term has ended here: drop everything."""
        self._closed = True
        self._waiting.clear()
        if self._look_again:
            self._look_again.cancel()

    def _looked(self) -> None:
        self._look_again = None
        self.open()
