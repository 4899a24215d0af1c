"""A service's timers: coroutines that run on the serving primary only, and may call its operations.

A timer whose last run is still going is not started again; one that raises is noted and goes on with its next
turn. All end when the term ends here: an operation that they wait for then raises `CancelledError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from primacy.errors import Busy, CallError, ConfigError, OperationFailed, SessionExpired
from primacy.machines.call_wire import BUSY, DONE, INVALID, RAISED, Call, Reply
from primacy.machines.description import Timer

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_reply = msgspec.msgpack.Decoder(Reply)


class OwnCall:
    """Where the reply of a service's own call goes: a future."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def send(self, frame: bytes) -> None:
        """Take the reply."""
        if self._future.done():
            return
        reply = _reply.decode(frame)
        if reply.outcome == DONE:
            self._future.set_result(_decode(reply.payload))
        else:
            self._future.set_exception(_error(reply))

    def flush(self) -> None:
        """Nothing waits here."""


def _error(reply: Reply) -> CallError | ConfigError:
    if reply.outcome == RAISED:
        return OperationFailed(*_decode(reply.payload))
    if reply.outcome == INVALID:
        return ConfigError(
            "ctx.call", _decode(reply.payload), "an operation of this service, with its arguments"
        )
    if reply.outcome == BUSY:
        return Busy("the service has too many calls waiting")
    return SessionExpired("the session has ended")


class Context:
    """What a timer gets (`primacy.service.TimerContext`)."""

    def __init__(
        self,
        term: int,
        service_name: str,
        nodes: list[str],
        submit: Callable[[OwnCall, Call], None],
        silent: Callable[[float], list[int]],
    ) -> None:
        self.term = term
        self.service_name = service_name
        self.nodes = nodes
        self._submit = submit
        self._silent = silent

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation of this service: replicated like a client's."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._submit(OwnCall(future), Call(0, 0, 0, operation, _encode(arguments)))
        return await future

    def silent_sessions(self, seconds: float) -> list[int]:
        """Return the sessions without a sign of life for so long."""
        return self._silent(seconds)


class Timers:
    """The running timers of a serving primary."""

    def __init__(
        self, service: Any, timers: list[Timer], context: Context, note: Callable[[str, str], None]
    ) -> None:
        self._note = note
        self._context = context
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(getattr(service, each.name), each)) for each in timers]

    def set_nodes(self, nodes: list[str]) -> None:
        """The members are others now."""
        self._context.nodes = nodes

    def close(self) -> None:
        """The term has ended here, or the primary hands over."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, timer: Callable[[Context], Any], what: Timer) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + what.seconds
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + what.seconds, loop.time())
            try:
                await timer(self._context)
            except Exception as error:  # the author's code: it is told, and the timer goes on
                self._note("timer failed", f"{what.name}: {type(error).__name__}: {error}")
