"""The driver of one service's `ServiceSession`: streams to its hosts, futures for its calls, one timer.

Arrivals are decoded and obeyed in one go; a call costs one future and no task; time-outs are found by one
timer that is set for the earliest deadline, not by one for each call.

Never in here: a rule about where a call goes or what it ends in; those are the machine's.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from primacy.cgtp.stream import Address, Identity, Stream
from primacy.client.kept import Kept
from primacy.client.subscription import Subscription
from primacy.errors import CallError, StreamClosed, WireError
from primacy.machines.call_wire import DONE, Answer, Reply, decode_to_client, encode
from primacy.machines.client_calls import (
    ARGUMENTS_BYTES_MAX,
    WATCHES_MAX,
    Pending,
    failure_of,
    too_large,
    too_many,
)
from primacy.machines.client_session import Effect, Failed, Finished, Send, ServiceSession, Watching
from primacy.machines.ids import FOREVER_NS, SECOND

TIMER_SLACK_S = 0.001

encode_value = msgspec.msgpack.Encoder().encode
decode_value = msgspec.msgpack.Decoder().decode
_now_ns = time.monotonic_ns


class CallRecord(msgspec.Struct, frozen=True):
    """One call or query from the client's side, for histories (linearizability) and for measurements.

    outcome: `done` (value = the result), else the name of the error (value = its text).  maybe_applied:
    whether it was executed is open.  Times are of this process's monotonic clock.
    """

    service: str
    operation: str
    arguments: dict[str, Any]
    query: bool
    invoked_ns: int
    sent_ns: int  # the first sending; 0 = never
    completed_ns: int
    sends: int
    term: int  # the term that answered; 0 = none did
    outcome: str
    value: Any
    maybe_applied: bool


class Conversation:
    """One service, as one client of one cluster talks with it."""

    def __init__(
        self, service: str, tls: ssl.SSLContext, on_call: Callable[[CallRecord], None] | None = None
    ) -> None:
        self.service = service
        self.machine = ServiceSession(service)
        self.on_call = on_call
        """Called with the record of each call when it has ended; None costs nothing."""
        self.garbage = 0
        """Streams that were ended because a host sent what no decoder takes."""
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._hosts: dict[str, Kept] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = FOREVER_NS
        self._closed: str | None = None

    # ---- calls ----

    async def call(self, operation: str, arguments: dict[str, Any], deadline_s: float) -> Any:
        """Have an operation executed exactly once; return its result, or raise what the call ended in."""
        pending = self._pending(operation, arguments, deadline_s)
        self._obey(self.machine.call(pending, pending.invoked_ns))
        if self.on_call is not None:
            return await self._recorded(pending, arguments, query=False)
        return await self._result(pending)

    async def query(
        self, operation: str, arguments: dict[str, Any], deadline_s: float, *, confirm: bool = False
    ) -> Any:
        """Return the answer to a linearizable read; `confirm`: one that trusts no clock."""
        pending = self._pending(operation, arguments, deadline_s)
        pending.confirm = confirm
        self._obey(self.machine.query(pending, pending.invoked_ns))
        if self.on_call is not None:
            return await self._recorded(pending, arguments, query=True)
        return await self._result(pending)

    def watch(self, topic: str, position: int) -> Subscription:
        """Begin a watch on the topics that begin with `topic`, after `position` (0 = from now on)."""
        self._check_open()
        if len(self.machine.watches()) >= WATCHES_MAX:
            raise too_many(self.service, "watches", WATCHES_MAX)
        subscription = Subscription(on_end=lambda _: self._unwatch(watching))
        watching = Watching(subscription, topic, position)
        self._obey(self.machine.watch(watching))
        return subscription

    def _unwatch(self, watching: Watching) -> None:
        if self._closed is None:
            self._obey(self.machine.unwatch(watching))

    def _check_open(self) -> None:
        if self._closed is not None:
            raise StreamClosed(f"{self.service}: {self._closed}")

    def _pending(self, operation: str, arguments: dict[str, Any], deadline_s: float) -> Pending:
        self._check_open()
        encoded = encode_value(arguments)
        if len(encoded) > ARGUMENTS_BYTES_MAX:
            raise too_large(f"{self.service}.{operation}", len(encoded))
        now_ns = _now_ns()
        future = self._loop.create_future()
        return Pending(future, operation, encoded, now_ns, now_ns + int(deadline_s * SECOND))

    async def _result(self, pending: Pending) -> Any:
        """Wait for the end of a call: its result, or its error."""
        if self.machine.wake_ns < self._timer_ns:
            self._arm()
        try:
            reply: Reply | Answer = await pending.token
        except asyncio.CancelledError:
            self.machine.abandon(pending)
            self._arm()
            raise
        if reply.outcome == DONE:
            return decode_value(reply.payload)
        raise failure_of(f"{self.service}.{pending.operation}", reply)

    async def _recorded(self, pending: Pending, arguments: dict[str, Any], *, query: bool) -> Any:
        """Wait like `_result`, and tell `on_call` how it ended."""
        value: Any = None
        outcome, maybe_applied = "CancelledError", pending.sends > 0 and not query
        try:
            value = await self._result(pending)
            outcome, maybe_applied = "done", False
            return value
        except CallError as error:
            outcome, value = type(error).__name__, str(error)
            maybe_applied = getattr(error, "maybe_applied", False)
            raise
        finally:
            record = CallRecord(
                service=self.service,
                operation=pending.operation,
                arguments=arguments,
                query=query,
                invoked_ns=pending.invoked_ns,
                sent_ns=pending.sent_ns,
                completed_ns=_now_ns(),
                sends=pending.sends,
                term=pending.term,
                outcome=outcome,
                value=value,
                maybe_applied=maybe_applied,
            )
            if self.on_call is not None:
                self.on_call(record)

    # ---- the hosts ----

    def set_hosts(self, hosts: Mapping[str, Sequence[Address]]) -> None:
        """Keep a stream to the host on each of these nodes, and to no other."""
        wanted = {node: [(host, port) for host, port in where] for node, where in hosts.items() if where}
        for node in [node for node, kept in self._hosts.items() if kept.addresses != wanted.get(node)]:
            self._hosts.pop(node).close("the service is not there any more")
            self._gone(node, "removed")
        for node in [node for node in wanted if node not in self._hosts]:
            self._hosts[node] = kept = Kept(wanted[node], self._tls, Identity("node", node))
            kept.begin(_nothing, partial(self._arrived, node), partial(self._gone, node))

    def statistics(self) -> dict[str, Any]:
        """Return what an operator or a test may want to see."""
        calls, queries, watches = self.machine.outstanding()
        return {
            "target": self.machine.target,
            "term": self.machine.term,
            "session": self.machine.session(),
            "calls": calls,
            "queries": queries,
            "watches": watches,
            "resent": self.machine.resent,
            "garbage": self.garbage,
            "hosts": {node: kept.up for node, kept in self._hosts.items()},
        }

    def close(self, reason: str) -> list[Stream]:
        """End calls, session and streams in order; return the streams, so that their end may be awaited."""
        if self._closed is not None:
            return []
        self._obey(self.machine.close(reason))
        self._closed = reason
        if self._timer:
            self._timer.cancel()
        for watching in self.machine.watches():
            watching.token.end(reason, broken=True)
        streams = [kept.close(reason) for kept in self._hosts.values()]
        self._hosts.clear()
        return [stream for stream in streams if stream is not None]

    # ---- the driver ----

    def _arrived(self, node: str, frames: list[bytes]) -> None:
        try:
            messages = [decode_to_client(frame) for frame in frames]
        except WireError as error:
            self.garbage += 1
            self._hosts[node].abort(str(error))  # dialed anew, and told again
            return
        self._obey(self.machine.receive(node, messages, _now_ns()))
        self._arm()

    def _gone(self, node: str, reason: str) -> None:
        self._obey(self.machine.gone(node, _now_ns()))

    def _obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                if kept := self._hosts.get(effect.node):
                    kept.send(encode(effect.message))
            elif isinstance(effect, Finished):
                if not effect.pending.token.done():
                    effect.pending.token.set_result(effect.reply)
            elif isinstance(effect, Failed):
                if not effect.pending.token.done():
                    effect.pending.token.set_exception(effect.error)
            else:
                effect.watching.token.pushed(effect.items, effect.lost)

    def _arm(self) -> None:
        """Set the timer for the machine's `wake_ns`, unless it is set for an earlier time already."""
        wake_ns = self.machine.wake_ns
        if wake_ns >= self._timer_ns or self._closed is not None:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_ns = wake_ns
        delay_s = max(0, wake_ns - _now_ns()) / SECOND + TIMER_SLACK_S
        self._timer = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_ns = None, FOREVER_NS
        self._obey(self.machine.tick(_now_ns()))
        self._arm()


def _nothing() -> None:
    return
