"""What operators, clients and other agents may ask of this agent, and its answers.

Verbs of callers with a client's credential: subscribe, status, events, link, sequence, ping, failover (forcing.py),
maintenance (maintenance.py), config and configure (the table: applying.py), and the functions of the cluster
(requests.py). Verbs among agents: status, `local` (a node's own part of it), `system` (whether it can halt or reboot
its machine), witness and failover (forcing.py), table, place and renew (changing.py), and what is handed to the
master: config, configure and the functions.

Whatever a caller sends, each request has exactly one answer: arguments are checked here, before any machine sees
them, and a bug in an answer costs that answer alone: it is written to the log and told as `failed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from primacy.agent import event_pages, status, system_level
from primacy.agent.changing import Changing
from primacy.agent.failback import Returning
from primacy.agent.forcing import Forcing
from primacy.agent.node import Node
from primacy.agent.requests import TARGETS, Requests, shown
from primacy.agent.tasks import Tasks
from primacy.agent.what_if import what_if
from primacy.cgtp.stream import FRAME_BYTES_MAX, Stream
from primacy.errors import WireError
from primacy.machines import control_wire
from primacy.machines.control_wire import EventPushed, Request, Response, Topology
from primacy.machines.ids import Function
from primacy.machines.outline import outline

STATUS_S_MAX = 0.5
TABLE_S_MAX = 5.0
CALLERS_MAX = 1000
REQUESTS_MAX = 100  # of one caller, in progress
NAME_LENGTH_MAX = 64

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


@dataclass(slots=True, eq=False)
class _Caller:
    """One client or operator. `unfollow` ends the stream of events that it asked for."""

    stream: Stream
    requests: int = 0
    unfollow: Callable[[], None] | None = None


class Control:
    """Serves all callers of one agent."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._requests = Requests(node)
        self._subscribers: set[Stream] = set()
        self._callers = 0
        self._told: Topology | None = None
        self._tell_due = False
        self._tasks = Tasks(f"the agent of {node.me.node}, answering its callers")
        self._forcing = Forcing(node)
        self._returning = Returning(node, lambda arguments: self._do("switchover", arguments))
        self.changing = Changing(node, self._requests.carry_out, self._requests.submit)
        node.on_change = self._changed
        node.answer_peer = self._answer_peer
        self._verbs: dict[str, Callable[[dict[str, Any]], Awaitable[Outcome]]] = {
            "status": self._status,
            **{verb: partial(self._requests.carry_out, verb) for verb in TARGETS},
            "link": self._link,
            "sequence": self._sequence,
            "ping": self._ping,
            "what_if": lambda a: what_if(node, self._do, a),
            "failover": self._forcing.asked,
            "maintenance": self._maintenance,
            **{verb: partial(self._of_the_table, verb) for verb in ("config", "configure")},
        }

    def accept(self, stream: Stream) -> None:
        """A client or an operator has connected."""
        if self._callers >= CALLERS_MAX:
            stream.close()
            return
        self._callers += 1
        caller = _Caller(stream)
        stream.on_frames(lambda frames: self._read(caller, frames))
        stream.on_closed(lambda _: self._gone(caller))

    def close(self) -> None:
        """The agent ends: nothing is answered any more."""
        self._returning.close()
        self.changing.close()
        self._tasks.cancel()

    # ---- callers ----

    def _gone(self, caller: _Caller) -> None:
        self._callers -= 1
        self._subscribers.discard(caller.stream)
        if caller.unfollow is not None:
            caller.unfollow()

    def _read(self, caller: _Caller, frames: list[bytes]) -> None:
        for frame in frames:
            try:
                request = control_wire.decode_to_agent(frame)
            except WireError:
                self._node.garbage_frames += 1
                caller.stream.abort()
                return
            if request.verb == "subscribe":
                self._subscribers.add(caller.stream)
                _answer(caller.stream, request, ("done", None, []))
                _push(caller.stream, self.topology())
            elif request.verb == "events":
                _answer(caller.stream, request, self._events(caller, request.arguments))
            elif caller.requests >= REQUESTS_MAX:
                why = f"{REQUESTS_MAX} requests of this caller are in progress: wait for an answer"
                _answer(caller.stream, request, ("failed", None, [why]))
            else:
                self._serve(caller, request)

    def _serve(self, caller: _Caller, request: Request) -> None:
        def answer(outcome: Outcome) -> None:
            caller.requests -= 1
            _answer(caller.stream, request, outcome)

        async def work() -> None:
            answer(await self._do(request.verb, signed(caller.stream.peer.name, request.arguments)))

        caller.requests += 1
        self._tasks.start(work(), lambda error: answer(self._broken(request.verb, error)))

    def _broken(self, verb: str, error: BaseException) -> Outcome:
        what = f"{shown(verb)}: an error of the agent itself ({type(error).__name__})"
        return "failed", None, [f"{what}; the log of {self._node.me.node} has its traceback"]

    async def _do(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        serve = self._verbs.get(verb)
        if serve is None:
            known = ", ".join(["subscribe", "events", *self._verbs])
            return "failed", None, [f"unknown verb {shown(verb)}; this agent knows {known}"]
        return await serve(arguments)

    def _events(self, caller: _Caller, arguments: dict[str, Any]) -> Outcome:
        page, wrong = event_pages.page(self._node.events, arguments)
        if page is None:
            return "refused", None, wrong
        if arguments.get("follow") and caller.unfollow is None:
            caller.unfollow = self._node.events.follow(lambda event: _push(caller.stream, EventPushed(event)))
        return "done", page, []

    # ---- verbs ----

    async def _answer_peer(self, node: str, verb: str, arguments: dict[str, Any]) -> Outcome:
        if verb == "witness":
            return self._forcing.witness()
        if verb == "failover":
            return await self._forcing.here(arguments)
        if verb == "local":
            return "done", status.local(self._node), []
        if verb in ("table", "place", "renew"):
            return await self.changing.answer(verb, arguments)
        if verb == system_level.VERB:
            return system_level.answer(self._node.boot, arguments)
        if verb in ("status", "what_if", "config", "configure") or verb in TARGETS:
            if self._node.monitor.role != "master":
                return "unavailable", None, [f"{self._node.me.node} is not master"]
            return await (self._requests.handed_over if verb in TARGETS else self._do)(verb, arguments)
        return "failed", None, [f"unknown verb {verb!r}"]

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
        return "done", status.whole(node, locals_) | {"change": self.changing.applier.progress()}, []

    async def _ask_local(self, node: str) -> dict[str, Any] | None:
        try:
            told = await self._node.peers.ask(node, "local", {}, STATUS_S_MAX)
        except TimeoutError:
            return None
        return told.result if told.kind == "done" else None

    async def _maintenance(self, arguments: dict[str, Any]) -> Outcome:
        node, facts = self._node, self._node.facts()
        master = facts.master if facts.master in facts.members else ""  # a lost one may be put in maintenance
        return await node.maintenance.asked(arguments, node.table.nodes, master)

    async def _link(self, arguments: dict[str, Any]) -> Outcome:
        link, up = arguments.get("link"), arguments.get("up")
        links = self._node.table.nodes[self._node.me.node].links
        if not isinstance(link, int) or isinstance(link, bool) or not 0 <= link < len(links):
            return "refused", None, [f"no such link: {self._node.me.node} has links 0 to {len(links) - 1}"]
        if not isinstance(up, bool):
            return "refused", None, [f"up: want true or false, got {shown(up)}"]
        self._node.set_link(link, up)
        return "done", {"link": link, "address": links[link], "up": up}, []

    async def _sequence(self, arguments: dict[str, Any]) -> Outcome:
        function = arguments.get("function")
        if not isinstance(function, str) or function not in list(Function):
            return "refused", None, [f"no function {shown(function)}; there are {', '.join(Function)}"]
        servers = self._node.coordinator.servers
        found = outline(
            Function(function), servers.callbacks(servers.centralized), servers.callbacks(servers.local)
        )
        return "done", {"node": self._node.me.node, **found}, []

    async def _ping(self, arguments: dict[str, Any]) -> Outcome:
        me = self._node.me
        return "done", {"node": me.node, "incarnation": me.incarnation}, []

    async def _of_the_table(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """The master answers, who knows which nodes run."""
        facts = self._node.facts()
        if facts.role == "master":
            return await self.changing.applier.serve(verb, arguments)
        try:
            told = await self._node.peers.ask(facts.master, verb, arguments, TABLE_S_MAX)
        except TimeoutError as error:
            return "unavailable", None, [f"the master {facts.master or '(none)'} does not answer: {error}"]
        return told.kind, told.result, told.reasons

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
                    node.eligible(n),
                    table.agent_addresses(n),
                    {s: table.service_addresses(n, s) for s in table.centralized()}
                    if node.eligible(n)
                    else {},
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
                _push(stream, topology)


def signed(credential: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Say in whose name it is asked: by the credential, and by the name that the caller gives itself, if any."""
    name = arguments.get("by")
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        return arguments | {"by": credential}
    return arguments | {"by": f"{name[:NAME_LENGTH_MAX]} (credential {credential})"}


def _answer(stream: Stream, request: Request, outcome: Outcome) -> None:
    kind, result, reasons = outcome
    frame = control_wire.encode(Response(request.id, kind, result, reasons))
    if len(frame) > FRAME_BYTES_MAX:
        why = f"{shown(request.verb)}: the answer has {len(frame)} bytes, a frame holds {FRAME_BYTES_MAX}"
        frame = control_wire.encode(Response(request.id, "failed", None, [why]))
    if stream.closed is None:
        stream.send(frame)


def _push(stream: Stream, message: Topology | EventPushed) -> None:
    """Tell news that nobody waits for; a caller that does not read misses some, and never blocks."""
    if stream.closed is None and not stream.congested:
        frame = control_wire.encode(message)
        if len(frame) <= FRAME_BYTES_MAX:
            stream.send(frame)
