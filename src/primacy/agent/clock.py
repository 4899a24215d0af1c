"""When the machines of a node want to be woken, and whether this agent was late itself.

One timer for each machine. The monitor's tells a scheduling gap, too: an agent that was not scheduled for a while
must hear what has waited in its sockets before it judges anybody by the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from primacy.lease_page import now_ns
from primacy.machines.ids import MS, SECOND

GAP_NS_MIN = 20 * MS  # a timer later than this (and than a beat) was a scheduling gap of this agent's own


class Clock:
    """on_monitor, on_coordinator: called when the timer of that machine is due."""

    def __init__(
        self, beat_ns: int, on_monitor: Callable[[], None], on_coordinator: Callable[[], None]
    ) -> None:
        self._gap_ns = max(GAP_NS_MIN, beat_ns)
        self._on_monitor, self._on_coordinator = on_monitor, on_coordinator
        self._loop = asyncio.get_running_loop()
        self._monitor: asyncio.TimerHandle | None = None
        self._monitor_ns = 0
        self._coordinator: asyncio.TimerHandle | None = None

    def retime(self, beat_ns: int) -> None:
        """The beats come in another rhythm."""
        self._gap_ns = max(GAP_NS_MIN, beat_ns)

    def wake_monitor(self, at_ns: int) -> None:
        """Call at this instant at the latest; one that is asked for already and comes sooner is kept."""
        if self._monitor is not None:
            if self._monitor_ns <= at_ns and self._monitor_ns > now_ns():
                return
            self._monitor.cancel()
        self._monitor_ns = at_ns
        self._monitor = self._loop.call_later(max(0, at_ns - now_ns()) / SECOND, self._fired)

    def wake_coordinator(self, at_ns: int) -> None:
        """Call at this instant instead of the one asked for before."""
        if self._coordinator is not None:
            self._coordinator.cancel()
        self._coordinator = self._loop.call_later(max(0, at_ns - now_ns()) / SECOND, self._on_coordinator)

    def gap_ns(self) -> int:
        """Return by how much this agent was late, once for each gap; 0: it was on time."""
        late_ns = now_ns() - self._monitor_ns
        if not self._monitor_ns or late_ns <= self._gap_ns:
            return 0
        self._monitor_ns = 0
        return late_ns

    def stop(self) -> None:
        """Call nobody any more."""
        for timer in (self._monitor, self._coordinator):
            if timer is not None:
                timer.cancel()

    def _fired(self) -> None:
        self._monitor = None
        self._on_monitor()
