"""An event loop in virtual time: what the coroutines of a user's service wait for, on the clock of their host.

It is no loop that runs: the simulated process turns it when something is due. So a frozen host's coroutines stand
still, a dead one's never go on, and the same run wakes them in the same order. Tasks, futures, time-outs and sleeps
work as they do in production; sockets, threads and processes are not there, and asking for one is an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from primacy.machines.ids import SECOND
from primacy.sim.process import Process
from primacy.sim.scheduler import Clock


class VirtualLoop:
    """The loop of one simulated process."""

    def __init__(self, process: Process, clock: Clock) -> None:
        self._process, self._clock = process, clock
        self._loop: Any = self  # what tasks ask for of a loop is here; the rest of that interface is not
        self._ready: deque[asyncio.Handle] = deque()
        self._due = False
        self._error: BaseException | None = None  # of our own code: it ends the process

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let a coroutine go on until it waits or ends."""
        task = self.create_task(coroutine)
        self._turn()
        return task

    # ---- what tasks and futures ask for ----

    def time(self) -> float:
        """Seconds of the host's clock."""
        return self._clock.now_ns / SECOND

    def call_soon(
        self, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call it in the next turn, which is at this very instant."""
        handle = asyncio.Handle(callback, arguments, self._loop, context)
        self._ready.append(handle)
        if not self._due:
            self._due = True
            self._process.timer(self._process.scheduler.now_ns, self._turn)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it after so many seconds."""
        return self.call_at(self.time() + delay, callback, *arguments, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it when the host's clock shows this."""
        handle = asyncio.TimerHandle(when, callback, arguments, self._loop, context)
        self._process.timer(self._clock.true_ns(int(when * SECOND) + 1), self._fired, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self._loop)

    def create_task(self, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Begin a coroutine; it goes on in the next turn."""
        return asyncio.Task(coroutine, loop=self._loop, **options)

    def get_debug(self) -> bool:
        """Nothing is checked beside."""
        return False

    def is_running(self) -> bool:
        """As long as its process lives."""
        return self._process.alive

    def is_closed(self) -> bool:
        """Never: its process simply ends."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error that nobody waits for: one of our own ends the process, one of the author's is nobody's."""
        if "handle" in context:
            self._error = self._error or context.get("exception")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is not called when its time has come."""

    # ---- turns ----

    def _fired(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)
            self._turn()

    def _turn(self) -> None:
        """Call what is ready, and what becomes ready by that."""
        self._due = True  # nothing of this turn needs another one
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        try:
            while self._ready and self._process.runs():
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(outer)
            self._due = False
        error, self._error = self._error, None
        if error is not None:
            raise error
