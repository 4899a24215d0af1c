"""What operators, clients and other agents may ask of this agent, and its answers.

Verbs of callers with a client's credential: subscribe, status, events, switchover, shutdown, link, sequence, ping.
Verbs among agents: those, passed on to the master, and `local`, a node's own part of `status`. A function of the
cluster is carried out by the master's coordinator; every other agent passes it on, so a caller may ask any node.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from primacy.agent import status
from primacy.agent.node import Node
from primacy.cgtp.stream import Stream
from primacy.errors import StreamClosed, WireError
from primacy.lease_page import now_ns
from primacy.machines import control_wire, coordination
from primacy.machines.control_wire import EventPushed, Request, Response, Topology
from primacy.machines.ids import Function
from primacy.machines.sequence import plan

FUNCTION_S_MAX = 120.0
STATUS_S_MAX = 0.5
EVENTS_MAX = 1000
CALLERS_MAX = 1000

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


class Control:
    """Serves all callers of one agent."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[coordination.Answer]] = {}
        self._subscribers: set[Stream] = set()
        self._callers = 0
        self._told: Topology | None = None
        self._tell_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        node.on_answer = self._answered
        node.on_change = self._changed
        node.answer_peer = self._answer_peer
        self._verbs: dict[str, Callable[[dict[str, Any]], Awaitable[Outcome]]] = {
            "status": self._status,
            "switchover": lambda a: self._function("switchover", a),
            "shutdown": lambda a: self._function("shutdown", a),
            "link": self._link,
            "sequence": self._sequence,
            "ping": self._ping,
        }

    def accept(self, stream: Stream) -> None:
        """A client or an operator has connected."""
        if self._callers >= CALLERS_MAX:
            stream.close()
            return
        self._callers += 1
        ends: list[Callable[[], object]] = []
        stream.on_frames(lambda frames: self._read(stream, frames, ends))
        stream.on_closed(lambda _: self._gone(stream, ends))

    # ---- callers ----

    def _gone(self, stream: Stream, ends: list[Callable[[], object]]) -> None:
        self._callers -= 1
        self._subscribers.discard(stream)
        for end in ends:
            end()

    def _read(self, stream: Stream, frames: list[bytes], ends: list[Callable[[], object]]) -> None:
        for frame in frames:
            try:
                request = control_wire.decode_to_agent(frame)
            except WireError:
                stream.abort()
                return
            if request.verb == "subscribe":
                self._subscribers.add(stream)
                _send(stream, Response(request.id, "done"))
                _send(stream, self.topology())
            elif request.verb == "events":
                self._events(stream, request, ends)
            else:
                task = asyncio.get_running_loop().create_task(self._serve(stream, request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, stream: Stream, request: Request) -> None:
        kind, result, reasons = await self._do(request.verb, request.arguments)
        _send(stream, Response(request.id, kind, result, reasons))

    async def _do(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        serve = self._verbs.get(verb)
        if serve is None:
            known = ", ".join(["subscribe", "events", *self._verbs])
            return "failed", None, [f"unknown verb {verb!r}; this agent knows {known}"]
        return await serve(arguments)

    def _events(self, stream: Stream, request: Request, ends: list[Callable[[], object]]) -> None:
        after = int(request.arguments.get("after") or 0)
        limit = min(int(request.arguments.get("limit") or EVENTS_MAX), EVENTS_MAX)
        # a frame holds about this many; older ones are asked for with `after`
        _send(stream, Response(request.id, "done", self._node.events.since(after, limit)))
        if request.arguments.get("follow"):
            ends.append(self._node.events.follow(lambda event: _send(stream, EventPushed(event))))

    # ---- verbs ----

    async def _answer_peer(self, node: str, verb: str, arguments: dict[str, Any]) -> Outcome:
        if verb == "local":
            return "done", status.local(self._node), []
        if verb in ("status", "switchover", "shutdown"):
            if self._node.monitor.role != "master":
                return "unavailable", None, [f"{self._node.me.node} is not master"]
            return await self._do(verb, arguments)
        return "failed", None, [f"unknown verb {verb!r}"]

    async def _function(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """A function of the cluster: carried out here if this node is master, else passed on."""
        node = self._node
        for name in ("to", "node"):
            if arguments.get(name) in ("master", "vice"):
                arguments = arguments | {name: getattr(node.facts(), arguments[name])}
        if node.monitor.role != "master":
            return await self._pass_on(verb, arguments)
        number = next(self._ids)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        node.post(
            coordination.Asked(now_ns=now_ns(), id=number, verb=verb, arguments=arguments, facts=node.facts())
        )
        try:
            async with asyncio.timeout(FUNCTION_S_MAX):
                answer = await future
        except TimeoutError:
            return "failed", None, [f"{verb} has not ended within {FUNCTION_S_MAX:g} s; see `primacy status`"]
        finally:
            self._asked.pop(number, None)
        return answer.kind, answer.result, list(answer.reasons)

    async def _pass_on(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        master = self._node.facts().master
        if not master or master == self._node.me.node:
            return "unavailable", None, ["there is no master now"]
        try:
            told = await self._node.peers.ask(master, verb, arguments, FUNCTION_S_MAX)
        except TimeoutError as error:
            return "unavailable", None, [f"the master {master} does not answer: {error}"]
        return told.kind, told.result, told.reasons

    def _answered(self, answer: coordination.Answer) -> None:
        future = self._asked.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer)

    async def _status(self, arguments: dict[str, Any]) -> Outcome:
        node = self._node
        facts = node.facts()
        if node.monitor.role != "master" and facts.master in facts.members and not arguments.get("local"):
            try:
                told = await node.peers.ask(facts.master, "status", {"local": True}, 2 * STATUS_S_MAX)
                if told.kind == "done":
                    return "done", told.result, []
            except TimeoutError:
                pass
        others = [n for n in facts.members if n != node.me.node]
        answers = await asyncio.gather(*(self._ask_local(n) for n in others))
        locals_ = {node.me.node: status.local(node)}
        locals_ |= {n: a for n, a in zip(others, answers, strict=True) if a is not None}
        return "done", status.whole(node, locals_), []

    async def _ask_local(self, node: str) -> dict[str, Any] | None:
        try:
            told = await self._node.peers.ask(node, "local", {}, STATUS_S_MAX)
        except TimeoutError:
            return None
        return told.result if told.kind == "done" else None

    async def _link(self, arguments: dict[str, Any]) -> Outcome:
        link, up = arguments.get("link"), bool(arguments.get("up"))
        links = self._node.table.nodes[self._node.me.node].links
        if not isinstance(link, int) or not 0 <= link < len(links):
            return "refused", None, [f"no such link: {self._node.me.node} has {len(links)} links"]
        self._node.set_link(link, up)
        return "done", {"link": link, "address": links[link], "up": up}, []

    async def _sequence(self, arguments: dict[str, Any]) -> Outcome:
        function = str(arguments.get("function"))
        if function not in list(Function):
            return "refused", None, [f"no function {function!r}; there are {', '.join(Function)}"]
        servers = self._node.coordinator.servers
        steps = plan(function, servers.callbacks(list(servers.by_service.values())))
        rows = [
            {
                "level": s.callback.level,
                "service": s.service,
                "callback": s.callback.name,
                "timeout_s": s.callback.timeout_s,
                "on_failure": s.callback.on_failure,
            }
            for s in steps
        ]
        return "done", {"function": function, "node": self._node.me.node, "steps": rows}, []

    async def _ping(self, arguments: dict[str, Any]) -> Outcome:
        me = self._node.me
        return "done", {"node": me.node, "incarnation": me.incarnation}, []

    # ---- topology ----

    def topology(self) -> Topology:
        """What clients need to know now."""
        node = self._node
        facts, table = node.facts(), node.table
        return Topology(
            cluster=node.cluster,
            term=facts.term,
            master=facts.master,
            vice=facts.vice,
            serving=status.in_service(node),
            nodes=[
                control_wire.NodeEntry(
                    n,
                    e.eligible,
                    table.agent_addresses(n),
                    {s: table.service_addresses(n, s) for s in table.centralized()} if e.eligible else {},
                )
                for n, e in table.nodes.items()
            ],
        )

    def _changed(self) -> None:
        if self._subscribers and not self._tell_due:
            self._tell_due = True
            asyncio.get_running_loop().call_soon(self._tell_topology)

    def _tell_topology(self) -> None:
        self._tell_due = False
        topology = self.topology()
        if topology != self._told:
            self._told = topology
            for stream in list(self._subscribers):
                _send(stream, topology)


def _send(stream: Stream, message: Response | Topology | EventPushed) -> None:
    if (
        stream.closed is None and not stream.congested
    ):  # a caller that does not read misses events, never blocks
        try:
            stream.send(control_wire.encode(message))
        except (StreamClosed, WireError):
            return
