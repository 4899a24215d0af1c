"""The streams to the agents of a cluster: who is there, and the operator's functions.

A client begins with the addresses that it was given and goes on with those that the agents tell it: each
agent that it reaches pushes the topology on every change.  The newest counts: of the highest term, and in
one term the master's own.  A request goes to one agent; when that agent is gone, to another.

A function of the cluster has an id, so it is asked again under the same one when an agent is gone. Never in
here: another request twice that changes something: what was cut off in the middle is told as such (`Deadline`
with `maybe_applied`).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from primacy.cgtp.stream import Address, Identity, Stream
from primacy.client.kept import Kept
from primacy.errors import Deadline, NoPrimary, OperationFailed, Refused, StreamClosed, WireError
from primacy.machines.control_wire import EventPushed, Request, Response, Topology, decode_to_caller, encode

READING = frozenset({"ping", "status", "config", "subscribe", "events", "sequence"})
"""Verbs that change nothing and may be asked again."""
FUNCTIONS = frozenset(
    {"switchover", "qualify", "promote", "demote", "disqualify", "remove", "shutdown", "configure"}
)
"""Verbs that carry the id of their request: asked again they are the same request, and are told its outcome."""
RETRY_S = 0.1
SILENT_S = 1.0
"""An agent that has not answered for so long may be frozen: what may be asked again is asked of another, too."""
DOWN_S = 0.5
"""An agent without a link for so long is gone, for those who wait for its answer."""
EVENTS_MAX = 10_000


class _Asked:
    """A request that has no answer yet."""

    def __init__(self, link: _Link, future: asyncio.Future[Response | None]) -> None:
        self.link, self.future = link, future


class _Link:
    """The stream to one agent."""

    def __init__(self, kept: Kept, node: str, *, seed: bool) -> None:
        self.kept, self.node, self.seed = kept, node, seed
        self.events: list[asyncio.Queue[dict[str, Any] | None]] = []


class Agents:
    """All agents that this client knows."""

    def __init__(self, tls: ssl.SSLContext, on_topology: Callable[[Topology], None]) -> None:
        self.topology: Topology | None = None
        self._tls = tls
        self._on_topology = on_topology
        self._links: list[_Link] = []
        self._told_by = ""  # the node whose topology counts now
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._changed = asyncio.Event()

    def begin(self, endpoints: Sequence[Sequence[Address]]) -> None:
        """Dial the agents at these addresses."""
        for addresses in endpoints:
            self._dial(addresses, "")

    def last_errors(self) -> list[str]:
        """Return, for each agent that is not reachable, why."""
        return [_unreachable(link.kept) for link in self._links if not link.kept.up]

    async def wait_topology(self, timeout_s: float) -> Topology:
        """Wait until an agent has told the topology; `NoPrimary` if none does in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.topology is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            told = "; ".join(self.last_errors()) or "they answer, but tell no topology"
            raise NoPrimary(f"no agent of the cluster answered within {timeout_s:g} s: {told}") from None
        return self.topology

    # ---- requests ----

    async def request(self, verb: str, arguments: dict[str, Any], deadline_s: float) -> Any:
        """Return the result of an operator's function; any agent passes it on to the one that can do it."""
        if verb in FUNCTIONS:
            arguments = {"operation": os.urandom(8).hex()} | arguments
        changes = verb not in READING and not arguments.get("dry_run")
        repeatable = not changes or "operation" in arguments
        why, silent, lost = "no agent is reachable", False, False
        try:
            async with asyncio.timeout(deadline_s):
                while repeatable or not lost:
                    if link := self._best_link():
                        silent = True
                        ask = self._ask_around if repeatable else self._ask
                        response = await ask(link, verb, arguments)
                        silent, lost = False, lost or response is None
                        if response is not None and response.kind != "unavailable":
                            return _result(verb, response)
                        if response is not None:
                            why = "; ".join(response.reasons) or "there is no master"
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            pass  # what is known is told below
        if not silent and not (changes and lost):
            raise NoPrimary(f"{verb}: not done within {deadline_s:g} s ({why}); try again")
        told = "; it may have been carried out, see `primacy status`" if changes else ""
        raise Deadline(f"{verb}: the agent that was asked did not answer{told}", maybe_applied=changes)

    async def events(self, arguments: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of one node's agent, those to come included; `StreamClosed` when it is gone."""
        link = self._best_link()
        if link is None:
            raise NoPrimary("events: no agent is reachable")
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(EVENTS_MAX)
        link.events.append(queue)
        try:
            response = await self._ask(link, "events", {**arguments, "follow": True})
            if response is not None:
                for event in _result("events", response)["events"]:
                    yield event
                while (event := await queue.get()) is not None:
                    yield event
            raise StreamClosed(
                f"events: the agent of {link.node or 'the node'} is gone, or its events came too fast"
            )
        finally:
            link.events.remove(queue)

    def _best_link(self, but: Sequence[_Link] = ()) -> _Link | None:
        """Return an agent that is reachable, the master's if it is; none of those in `but`."""
        master = self.topology.master if self.topology else ""
        up = [link for link in self._links if link.kept.up and link not in but]
        return min(up, key=lambda link: link.node != master or not master, default=None)

    async def _ask_around(self, link: _Link, verb: str, arguments: dict[str, Any]) -> Response | None:
        """Return the first answer; an agent that is silent for long may be frozen, so another one is asked too."""
        asked = [link]
        asking = {asyncio.ensure_future(self._ask(link, verb, arguments))}
        last: Response | None = None
        try:
            while asking:
                done, asking = await asyncio.wait(
                    asking, timeout=SILENT_S, return_when=asyncio.FIRST_COMPLETED
                )
                for each in done:
                    last = each.result() or last
                    if last is not None and last.kind != "unavailable":
                        return last
                if (other := self._best_link(asked)) and not done:
                    asked.append(other)
                    asking.add(asyncio.ensure_future(self._ask(other, verb, arguments)))
            return last
        finally:
            for each in asking:
                each.cancel()

    async def _ask(self, link: _Link, verb: str, arguments: dict[str, Any]) -> Response | None:
        """Return the answer of one agent; None when its stream has ended before."""
        self._number += 1
        asked = _Asked(link, asyncio.get_running_loop().create_future())
        self._asked[self._number] = asked
        number = self._number
        try:
            link.kept.send(encode(Request(number, verb, arguments)))
            return await asked.future
        finally:
            del self._asked[number]

    # ---- the streams ----

    def _dial(self, addresses: Sequence[Address], node: str) -> None:
        expect = Identity("node", node) if node else None
        kept = Kept(addresses, self._tls, expect)
        link = _Link(kept, node, seed=not node)
        self._links.append(link)
        kept.begin(partial(self._dialed, link), partial(self._arrived, link), partial(self._lost, link))

    def _dialed(self, link: _Link) -> None:
        self._number += 1
        link.kept.send(encode(Request(self._number, "subscribe")))
        if link.kept.stream is not None:
            link.kept.stream.on_links(partial(self._links_changed, link))

    def _links_changed(self, link: _Link, up: int) -> None:
        if not up:
            asyncio.get_running_loop().call_later(DOWN_S, self._check_down, link)

    def _check_down(self, link: _Link) -> None:
        """Give up an agent that owes an answer and has no link; its stream ends, lest the request arrive later. The
        node may be elsewhere, and its former place silent for ever: what was told of it while it had a link counts."""
        if link.kept.up or link not in self._links:
            return
        if any(asked.link is link for asked in self._asked.values()):
            link.kept.abort("no link for too long")
        self._look_elsewhere()

    def _arrived(self, link: _Link, frames: list[bytes]) -> None:
        stream = link.kept.stream
        if stream is not None and stream.peer.kind == "node":
            link.node = stream.peer.name
        for frame in frames:
            try:
                message = decode_to_caller(frame)
            except WireError as error:
                link.kept.abort(str(error))
                return
            if isinstance(message, Response):
                asked = self._asked.get(message.id)
                if asked and asked.link is link and not asked.future.done():
                    asked.future.set_result(message)
            elif isinstance(message, Topology):
                self._told(link, message)
            else:
                _push(link, message)

    def _lost(self, link: _Link, reason: str) -> None:
        """A stream has ended: perhaps its node is elsewhere by now, and is known there already."""
        self._gone(link, reason)
        self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """Dial the nodes that no link reaches where they were told to be."""
        if self.topology is not None:
            self._reconcile(self.topology)

    def _gone(self, link: _Link, reason: str) -> None:
        for asked in self._asked.values():
            if asked.link is link and not asked.future.done():
                asked.future.set_result(None)
        for queue in link.events:
            _put(queue, None)
        if self._told_by == link.node:
            self._told_by = ""

    def _told(self, link: _Link, topology: Topology) -> None:
        """Take what an agent says about the cluster, if it is newer than what is known."""
        if not newer(self.topology, self._told_by, topology, link.node):
            return
        self.topology, self._told_by = topology, link.node
        self._reconcile(topology)
        self._changed.set()
        self._on_topology(topology)

    def _reconcile(self, topology: Topology) -> None:
        """Keep a stream to the agent of each eligible node, and as a way back to those that were given."""
        wanted = {node.id: node.agent for node in topology.nodes if node.eligible}
        for link in [link for link in self._links if not link.seed]:
            if link.kept.addresses != wanted.get(link.node):
                self._links.remove(link)
                link.kept.close("the agent is not there any more")
                self._gone(link, "removed")
        for node, addresses in wanted.items():
            if addresses and not any(_reaches(link, node, addresses) for link in self._links):
                self._dial(addresses, node)

    def close(self, reason: str) -> list[Stream]:
        """End all streams in order; return them, so that their end may be awaited."""
        streams = [link.kept.close(reason) for link in self._links]
        for link in self._links:
            self._gone(link, reason)
        self._links.clear()
        return [stream for stream in streams if stream is not None]


def newer(known: Topology | None, known_by: str, told: Topology, told_by: str) -> bool:
    """Say whether `told` counts from now on; the second of two equally good ones does not replace the first.

    A later term counts.  In one term the master's own word counts more than that of the others, and
    everybody's later word more than his earlier one; `known_by` is "" when who told it is gone.
    """
    if known is None or told.term != known.term:
        return known is None or told.term > known.term
    return told_by in (known_by, told.master) or not known_by


def _reaches(link: _Link, node: str, addresses: Sequence[Address]) -> bool:
    """Is this the stream to the agent of `node`? A way that was given by another name is, while it leads there."""
    return any(address in link.kept.addresses for address in addresses) or (
        link.node == node and link.kept.up
    )


def _result(verb: str, response: Response) -> Any:
    if response.kind == "done":
        return response.result
    if response.kind == "refused":
        raise Refused(response.reasons)
    raise OperationFailed(verb, "; ".join(response.reasons) or response.kind)


def _unreachable(kept: Kept) -> str:
    where = " and ".join(f"{host}:{port}" for host, port in kept.addresses)
    return kept.why_down() or f"{where}: no answer"


def _push(link: _Link, pushed: EventPushed) -> None:
    for queue in link.events:
        _put(queue, pushed.event)


def _put(queue: asyncio.Queue[dict[str, Any] | None], event: dict[str, Any] | None) -> None:
    """Queue an event; a reader that is too slow gets no more, and is told."""
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        event = None
    queue.put_nowait(event)
