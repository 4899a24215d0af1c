"""The operators of a simulated cluster: they ask any node for any function, for force, and for maintenance.

As the real agent does it: a request has an id of its own; the node that is asked hands it to the master, again when
that is another one meanwhile; who was not answered asks elsewhere for the same request. The outcome is read in the
ledger. Force: the nodes that can be asked say what they know, then the monitor decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from primacy.machines import membership as cmm
from primacy.machines.coordination import Answer
from primacy.machines.ids import MS, Member
from primacy.machines.last_resort import Witness
from primacy.sim.agent import Agent
from primacy.sim.asked import Asked
from primacy.sim.network import Stream
from primacy.sim.node import Node

AGAIN_MS = 400
ASK_NS = (1 * MS, 350 * MS)
SUBMIT_AGAIN_NS = 100 * MS
SUBMIT_NS_MAX = 5_000 * MS
TRIES_MAX = 60


class Request:
    """One request for a function of the cluster, from its asking to its acceptance."""

    def __init__(self, node: Node, asked: Asked) -> None:
        self._node = node
        self._asked = asked
        self._settled = False
        self._target = asked.target
        self._waits = 0  # number of the try that is waited for, 0: of none

    def begin(self) -> None:
        """Ask the node, until somebody has answered."""
        self._try()

    def _try(self) -> None:
        node, scheduler = self._node, self._node.cluster.scheduler
        if self._settled or self._asked.tries >= TRIES_MAX:
            return
        agent = node.agent
        if agent is None or not agent.runs():
            agent = next((n.agent for n in node.cluster.nodes.values() if n.agent and n.agent.runs()), None)
        if agent is None:
            scheduler.after(SUBMIT_AGAIN_NS, self._try)
        else:
            agent.deliver(self._at, agent)

    def _at(self, agent: Agent) -> None:
        if not self._submit(agent):
            self._node.cluster.scheduler.after(SUBMIT_AGAIN_NS, self._try)

    def _submit(self, agent: Agent) -> bool:
        """Hand it to the master, if this agent is it or can reach it; return whether an answer is waited for."""
        facts = agent.facts()
        if not facts.master:
            return False
        if self._target in ("master", "vice"):
            self._target = getattr(facts, self._target) or self._target
            if self._target == "vice":
                return False
        arguments = self._arguments(agent)
        if facts.role == "master":
            self._sent(agent, arguments, None)
            return True
        stream = agent.peers.get(facts.master)
        if stream is None:
            return False
        stream.send(agent, self._handed_over, agent.peer(stream), stream, arguments)
        self._expect()
        return True

    def _arguments(self, agent: Agent) -> Any:
        """What is asked for, as this agent hands it over."""
        asked, which = self._asked, "to" if self._asked.verb == "switchover" else "node"
        return {"operation": asked.id, "reason": asked.id, which: self._target or None}

    def _hand_in(self, master: Agent, arguments: Any, answered: Callable[[Answer], None]) -> None:
        """Give it to the master's coordinator."""
        master.ask(self._asked.verb, arguments, answered)

    def _handed_over(self, master: Agent, stream: Stream, arguments: Any) -> None:
        """The master's agent has got it from another one."""
        if not self._settled and master.facts().role == "master":
            self._sent(master, arguments, stream)

    def _sent(self, master: Agent, arguments: Any, stream: Stream | None) -> None:
        self._asked.tries += 1
        if stream is None:
            self._expect()
            answered = self._answered
        else:

            def answered(answer: Answer) -> None:
                stream.send(master, self._answered, answer)

        self._hand_in(master, arguments, answered)

    def _expect(self) -> None:
        """Ask again when nobody answers."""
        self._waits += 1
        self._node.cluster.scheduler.after(SUBMIT_NS_MAX, self._late, self._waits)

    def _late(self, number: int) -> None:
        if number == self._waits:
            self._try()

    def _answered(self, answer: Answer) -> None:
        self._asked.answers.append(answer.kind)
        if self._settled:
            return
        self._settled = True
        reasons = f": {'; '.join(answer.reasons)}" if answer.reasons else ""
        what = f"{self._asked.verb} {self._target} ({self._asked.id})"
        self._node.cluster.watcher.note("operator", f"{what} is {answer.kind}{reasons}")


def maintain(node: Node, scope: str, *, on: bool, for_ms: int) -> None:
    """Switch maintenance on or off, at this node; scope: `cluster` or a node."""
    agent = node.agent
    if agent is not None:
        agent.deliver(_maintain, agent, scope, on, for_ms)


def _maintain(agent: Agent, scope: str, on: bool, for_ms: int) -> None:
    facts = agent.facts()
    scope = getattr(facts, scope) if scope in ("master", "vice") else scope
    if not scope or (on and scope == facts.master):
        return
    key, expect, value = agent.keeper.notice(scope, on=on, for_ns=for_ms * MS)
    agent.ledger.swap_key(agent.member.node, key, expect, value, lambda answer, revision: None)


def ask_force(node: Node, *, word: bool, for_ms: int) -> None:
    """Have this node be master by force; word: the recorded master is declared dead."""
    agent = node.agent
    if agent is not None:
        agent.deliver(_gather, node, agent, word)
    if for_ms > 0:
        again = node.cluster.scheduler.after
        again(AGAIN_MS * MS, _again, node, word, for_ms - AGAIN_MS)


def _again(node: Node, word: bool, for_ms: int) -> None:
    ask_force(node, word=word, for_ms=for_ms)


def _gather(node: Node, agent: Agent, word: bool) -> None:
    """Ask every node that can be asked: over open streams, of agents that run. It takes a while."""
    record, network = agent.monitor.record, node.cluster.network
    recorded = record.master if record is not None else None
    witnesses = []
    for peer in node.cluster.nodes.values():
        other = peer.agent
        if peer is node or other is None or not other.runs():
            continue
        if network.route(node.id, peer.id).open and network.route(peer.id, node.id).open:
            witnesses.append(_witness(other))
    now_ns = node.cluster.scheduler.now_ns
    agent.timer(now_ns + int(node.random.uniform(*ASK_NS)), _force, agent, recorded, word, tuple(witnesses))


def _force(agent: Agent, recorded: Member | None, word: bool, witnesses: tuple[Witness, ...]) -> None:
    dead = recorded.node if word and recorded is not None else ""
    request = cmm.Force(
        now_ns=agent.clock.now_ns,
        id=0,
        recorded=recorded,
        assume_dead=dead,
        by="the operator",
        reason="",
        witnesses=witnesses,
    )
    agent.feed(request)


def _witness(agent: Agent) -> Witness:
    monitor = agent.monitor
    return Witness(
        member=agent.member,
        eligible=monitor.peers.own.may_lead,
        priority=monitor.peers.own.priority,
        positions=monitor.positions,
        master=monitor.record.master if monitor.record is not None else None,
        silent_ms=(agent.clock.now_ns - monitor.sign_ns) / MS if monitor.signed else None,
    )
