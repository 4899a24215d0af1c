"""A simulated process: it may be frozen and thawed at any instant, and killed at any instant.

What reaches a frozen process waits in its inbox, as in the buffers of a kernel; timers that came due
meanwhile fire when it thaws. A *stop* is armed by a fault: the process is stopped (frozen, killed) right
before its next effect of a given kind, between two instructions as it were; what it had still to do is done
after the thaw, or never.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from primacy.errors import JournalError
from primacy.machines.ids import MS
from primacy.sim.scheduler import Scheduler

if TYPE_CHECKING:
    from primacy.sim.network import Stream

INBOX_MAX = 512


class Process:
    """Base of agents, hosts and clients."""

    def __init__(self, name: str, scheduler: Scheduler) -> None:
        self.name = name
        self.scheduler = scheduler
        self.alive = True
        self.frozen = False
        self.streams: list[Stream] = []
        self._freezes = 0
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._datagrams = 0
        self.stops: dict[str, Callable[[], None]] = {}

    def deliver(self, action: Callable[..., None], *arguments: Any) -> None:
        """Something reaches the process: it handles it now, or when it thaws, or never."""
        if not self.alive:
            return
        if self.frozen:
            self._inbox.append((action, arguments))
        else:
            self._act(action, arguments)

    def _act(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Handle one thing. A bug of its own ends the process, as it does in production."""
        try:
            action(*arguments)
        except (AssertionError, JournalError) as error:
            self.broken(error)

    def deliver_datagram(self, action: Callable[..., None], *arguments: Any) -> None:
        """As `deliver`, but a full buffer keeps the oldest and drops this one."""
        if self.frozen:
            if self._datagrams >= INBOX_MAX:
                return
            self._datagrams += 1
        self.deliver(action, *arguments)

    def timer(self, at_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action` in this process at this true instant, or when it thaws after it."""
        self.scheduler.at(at_ns, self.deliver, action, *arguments)

    def runs(self) -> bool:
        """Whether the process lives and is scheduled."""
        return self.alive and not self.frozen

    def freeze(self) -> None:
        """The process is not scheduled from now on, until it was thawed as often as it was frozen."""
        self._freezes += 1
        self.frozen = True

    def thaw(self) -> None:
        """It is scheduled again: it finishes what it was doing, then takes what has come meanwhile, in order."""
        self._freezes -= 1
        if self._freezes or not self.alive:
            return
        self.frozen = False
        self._datagrams = 0
        self._act(self.resumed, ())
        while self._inbox and self.runs():
            self._act(*self._inbox.popleft())
        if self.runs():
            self._act(self.drained, ())

    def resumed(self) -> None:
        """Called first at a thaw: finish the step that the freeze has interrupted."""

    def drained(self) -> None:
        """Called last at a thaw, when the inbox is empty."""

    def broken(self, error: Exception) -> None:
        """Called when a bug was found in this process's code."""
        raise error

    def kill(self, *, abruptly: bool = False) -> None:
        """The process is gone, with what it had in memory and its streams. abruptly: its machine has lost its power."""
        self.alive = False
        self._inbox.clear()
        for stream in list(self.streams):
            stream.close(abruptly=abruptly)

    # ---- stops ----

    def arm(self, kind: str, action: Callable[[], None]) -> None:
        """Call `action` (a freeze, a kill) right before the next effect of this kind."""
        self.stops[kind] = action

    def disarm(self, kind: str) -> None:
        """Forget a stop that has not come."""
        self.stops.pop(kind, None)

    def stopped_before(self, kind: str) -> bool:
        """Tell that an effect of this kind is next; True when an armed stop has stopped the process before it."""
        if kind in self.stops:
            self.stops.pop(kind)()
        return not self.runs()


class Pipe:
    """An in-order way between two processes of one node: what is put in comes out a little later."""

    def __init__(
        self, receiver: Process, source: random.Random, delay_ns: tuple[int, int] = (0, 3 * MS)
    ) -> None:
        self._receiver, self._random, self._delay_ns = receiver, source, delay_ns
        self._last_ns = 0

    def put(self, action: Callable[..., None], *arguments: Any) -> None:
        """Let the receiver call `action`."""
        scheduler = self._receiver.scheduler
        delay_ns = int(self._random.uniform(*self._delay_ns))
        self._last_ns = max(self._last_ns, scheduler.now_ns + delay_ns)
        scheduler.at(self._last_ns, self._receiver.deliver, action, *arguments)
