"""A service's coroutines in a simulated host: callbacks and timers, driven by hand in virtual time.

A callback takes a little while, then runs to its end; what it waits for can only be what this driver gives it (a call
of its own service). A fault may set the mood of a node's callbacks: then they refuse, raise, or hang until their
time-out, whatever their author has written. Each is reported once, as the real host does it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import msgspec

from primacy.errors import OperationFailed, Refused
from primacy.machines.call_wire import DONE, Call, Reply
from primacy.machines.description import Timer, coroutines
from primacy.machines.host_wire import Context, Note, Ran
from primacy.machines.ids import MS, SECOND

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
        drive(getattr(self._host.object, name)(context), lambda error: self._finished(id, error))

    def _finished(self, id: int, error: Exception | None) -> None:
        if error is None:
            self._ended(id, "done", "")
        elif isinstance(error, Refused):
            self._ended(id, "refused", str(error))
        else:
            self._ended(id, "failed", f"{type(error).__name__}: {error}")

    def _ended(self, id: int, outcome: str, reason: str) -> None:
        if self._running.pop(id, None) is not None:
            self._host.tell(Ran(id, outcome, reason))


class Awaited:
    """What a coroutine may wait for: `finish` it once."""

    def __init__(self) -> None:
        self._then: Callable[[], None] | None = None
        self.done = False
        self._value: Any = None
        self._error: Exception | None = None

    def __await__(self) -> Generator[Awaited, None, Any]:
        """Wait until it is finished; return its value, or raise its error."""
        if not self.done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value

    def finish(self, value: Any, error: Exception | None = None) -> None:
        """Let who waits go on."""
        self.done, self._value, self._error = True, value, error
        if self._then is not None:
            self._then()

    def wait(self, then: Callable[[], None]) -> None:
        """Call `then` when it is finished."""
        self._then = then


def drive(coroutine: Coroutine[Any, Any, Any], ended: Callable[[Exception | None], None]) -> None:
    """Let a coroutine go on until it waits or ends; `ended` is called once, with its error if it raised one."""
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        ended(None)
    except Exception as error:  # the author's code: its exception is the outcome
        ended(error)
    else:
        if isinstance(awaited, Awaited):
            awaited.wait(lambda: drive(coroutine, ended))
        else:
            coroutine.close()
            ended(RuntimeError(f"it waits for {type(awaited).__name__}, which virtual time has not"))


class OwnCall(Awaited):
    """A call of the service's own, in the place of a client's stream."""

    def answered(self, reply: Reply) -> None:
        """The reply may be told."""
        if reply.outcome == DONE:
            self.finish(_decode(reply.payload))
        else:
            self.finish(None, OperationFailed("outcome", str(reply.outcome)))


class TimerContext:
    """What a timer gets (`primacy.service.TimerContext`)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.term = host.term
        self.service_name = host.service
        self.nodes: list[str] = []

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation of this service: replicated like a client's."""
        own = OwnCall()
        host = self._host
        host.client_sent(own, Call(0, 0, 0, operation, _encode(arguments)), host.scheduler.now_ns)
        return await own

    def silent_sessions(self, seconds: float) -> list[int]:
        """Return the sessions without a sign of life for so long."""
        return self._host.silent(seconds)


class Timers:
    """The timers of a serving primary; a run that is still going is not started again."""

    def __init__(self, host: Host, timers: list[Timer], context: TimerContext) -> None:
        self._host, self._context = host, context
        self._ended = False
        for timer in timers:
            self._later(timer)

    def close(self) -> None:
        """The term has ended here."""
        self._ended = True

    def _later(self, timer: Timer) -> None:
        host = self._host
        host.timer(host.scheduler.now_ns + int(timer.seconds * SECOND), self._due, timer)

    def _due(self, timer: Timer) -> None:
        if self._ended:
            return

        def ended(error: Exception | None) -> None:
            if error is not None:
                self._host.tell(Note("timer failed", f"{timer.name}: {type(error).__name__}: {error}"))
            self._later(timer)

        drive(getattr(self._host.object, timer.name)(self._context), ended)
