"""A service's coroutines in a simulated host: callbacks and timers, in virtual time.

A callback takes a little while at first, then runs to its end or its time-out. A fault may set the mood of a node's
callbacks: then they refuse, raise, hang until their time-out or are late, whatever their author has written. Each is
reported once, as the real host does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from primacy.errors import Busy, OperationFailed, Refused
from primacy.machines.call_wire import DONE, RAISED, Call, Reply
from primacy.machines.description import Timer, coroutines
from primacy.machines.host_wire import Context, Note, Ran
from primacy.machines.ids import MS, SECOND
from primacy.sim.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from primacy.sim.host import Host
    from primacy.sim.host_process import HostProcess

TAKES_NS = (0, 8 * MS)
MOODS = ("refuse", "raise", "hang", "late")
LATE_NS = 400 * MS
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Callbacks:
    """The callbacks of one host that are running."""

    def __init__(self, host: HostProcess) -> None:
        self._host = host
        self._names = coroutines(host.row.make)
        self._running: dict[int, tuple[str, Context]] = {}
        self._tasks: dict[int, asyncio.Task[Any]] = {}

    def run(self, id: int, name: str, context: Context) -> None:
        """Begin a callback; its `Ran` follows."""
        host = self._host
        self._running[id] = (name, context)
        mood = host.around.mood(host.service)
        now_ns, end_ns = host.scheduler.now_ns, int(context.deadline_s * SECOND)
        takes_ns = int(host.random.uniform(*TAKES_NS))
        match mood:
            case "refuse":
                host.timer(now_ns + takes_ns, self._ended, id, "refused", "a fault wants it so")
            case "raise":
                host.timer(now_ns + takes_ns, self._ended, id, "failed", "RuntimeError: a fault wants it so")
            case "hang":
                late = f"{name} took longer than {context.deadline_s:g} s"
                host.timer(now_ns + end_ns, self._ended, id, "timeout", late)
            case _:
                more_ns = LATE_NS if mood == "late" else 0
                host.timer(now_ns + takes_ns + more_ns, self._go, id)

    def cancel(self, id: int) -> None:
        """Cancel a running callback; its `Ran` says so."""
        if id in self._running:
            self._ended(id, "cancelled", f"{self._running[id][0]} was cancelled")

    def close(self) -> None:
        """Cancel all."""
        for id in list(self._running):
            self.cancel(id)

    def _go(self, id: int) -> None:
        if id not in self._running:
            return
        name, context = self._running[id]
        if name not in self._names:
            self._ended(id, "failed", f"there is no callback {name!r}")
            return
        host, end_ns = self._host, int(context.deadline_s * SECOND)
        coroutine = getattr(host.object, name)(context)
        self._tasks[id] = drive(host.loop, coroutine, lambda error: self._finished(id, error))
        if id in self._running:
            host.timer(host.scheduler.now_ns + end_ns, self._late, id)

    def _late(self, id: int) -> None:
        if id in self._running:
            name, context = self._running[id]
            self._ended(id, "timeout", f"{name} took longer than {context.deadline_s:g} s")

    def _finished(self, id: int, error: BaseException | None) -> None:
        if error is None:
            self._ended(id, "done", "")
        elif isinstance(error, Refused):
            self._ended(id, "refused", str(error))
        else:
            self._ended(id, "failed", f"{type(error).__name__}: {error}")

    def _ended(self, id: int, outcome: str, reason: str) -> None:
        task = self._tasks.pop(id, None)
        if task is not None:
            task.cancel()
        if self._running.pop(id, None) is not None:
            self._host.tell(Ran(id, outcome, reason))


def drive(
    loop: VirtualLoop, coroutine: Coroutine[Any, Any, Any], ended: Callable[[BaseException | None], None]
) -> asyncio.Task[Any]:
    """Let a coroutine go on until it waits or ends; `ended` is called once, with its error if it raised one."""
    task = loop.start(coroutine)
    if task.done():
        _tell_end(task, ended)
    else:
        task.add_done_callback(lambda task: _tell_end(task, ended))
    return task


def _tell_end(task: asyncio.Task[Any], ended: Callable[[BaseException | None], None]) -> None:
    ended(asyncio.CancelledError() if task.cancelled() else task.exception())


class OwnCall:
    """A call of the service's own, in the place of a client's stream."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def answered(self, reply: Reply) -> None:
        """The reply may be told."""
        if self._future.done():
            return
        if reply.outcome == DONE:
            self._future.set_result(_decode(reply.payload))
        elif reply.outcome == RAISED:
            self._future.set_exception(OperationFailed(*_decode(reply.payload)))
        else:
            self._future.set_exception(Busy("the service has too many calls waiting"))


class TimerContext:
    """What a timer gets (`primacy.service.TimerContext`)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.term = host.term
        self.service_name = host.service
        self.nodes: list[str] = []

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation of this service: replicated like a client's."""
        host = self._host
        future = host.loop.create_future()
        own = OwnCall(future)
        host.client_sent(own, Call(0, 0, 0, operation, _encode(arguments)), host.scheduler.now_ns)
        return await future

    def silent_sessions(self, seconds: float) -> list[int]:
        """Return the sessions without a sign of life for so long."""
        return self._host.silent(seconds)


class Timers:
    """The timers of a serving primary; a run that is still going is not started again."""

    def __init__(self, host: Host, timers: list[Timer], context: TimerContext) -> None:
        self._host, self._context = host, context
        self._ended = False
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        for timer in timers:
            self._later(timer)

    def close(self) -> None:
        """The term has ended here: what they wait for is cancelled."""
        self._ended = True
        for task in self._tasks.values():
            task.cancel()

    def _later(self, timer: Timer) -> None:
        host = self._host
        host.timer(host.scheduler.now_ns + int(timer.seconds * SECOND), self._due, timer)

    def _due(self, timer: Timer) -> None:
        if self._ended:
            return

        def ended(error: BaseException | None) -> None:
            if error is not None:
                self._host.tell(Note("timer failed", f"{timer.name}: {type(error).__name__}: {error}"))
            self._later(timer)

        self._tasks[timer.name] = drive(
            self._host.loop, getattr(self._host.object, timer.name)(self._context), ended
        )
