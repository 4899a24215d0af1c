"""Virtual time: one heap of events for the whole cluster, and clocks that run at rates of their own.

Everything that happens in a simulated cluster is an event of this heap, in the order of (instant, order of
coming); nothing waits, nothing runs in parallel, no real clock is read. Two runs that schedule the same
events are the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

MILLION = 1_000_000
EPOCH_NS = 1_700_000_000 * 1_000_000_000
"""What wall clocks that are right show at the beginning."""


class Scheduler:
    """The events that are to come. `now_ns`: true virtual time, which no node of the cluster can see."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.count = 0  # events that have happened
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def at(self, instant_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action` at this instant (now, if it has passed), after everything scheduled for it before."""
        self._number += 1
        heapq.heappush(self._heap, (max(instant_ns, self.now_ns), self._number, action, arguments))

    def after(self, delay_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action` when this much time has passed."""
        self.at(self.now_ns + delay_ns, action, *arguments)

    def run(self, until_ns: int, each: Callable[[], bool]) -> None:
        """Let events happen up to `until_ns`, included; call `each` after every one of them, and stop if it says so."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_ns:
            self.now_ns, _, action, arguments = pop(heap)
            action(*arguments)
            self.count += 1
            if each():
                return
        self.now_ns = max(self.now_ns, until_ns)


class Clock:
    """A node's boot-time clock: local = offset + rate * true. rate_ppm: a million is true time; it never stands.

    Beside it, the node's wall clock.
    """

    def __init__(self, scheduler: Scheduler, rate_ppm: int, offset_ns: int) -> None:
        assert rate_ppm > 0, rate_ppm
        self._scheduler, self._rate_ppm, self._offset_ns = scheduler, rate_ppm, offset_ns
        self.wall_offset_ns = 0  # by how much this node's wall clock is set wrong

    @property
    def now_ns(self) -> int:
        """The reading of this clock now."""
        return self._offset_ns + self._scheduler.now_ns * self._rate_ppm // MILLION

    @property
    def wall_ns(self) -> int:
        """The reading of this node's wall clock: it may be set to anything at any time."""
        return EPOCH_NS + self._scheduler.now_ns + self.wall_offset_ns

    def true_ns(self, local_ns: int) -> int:
        """Return the first true instant at which this clock shows `local_ns` (or more)."""
        return -((self._offset_ns - local_ns) * MILLION // self._rate_ppm)
