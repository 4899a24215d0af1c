"""The operator's last resort in a simulated cluster: a node is asked to be master by force.

As the real agent does it: the nodes that can be asked say what they know, then the monitor decides. In between the
record may change; an operator who was refused asks again for a while.
"""

from __future__ import annotations

from primacy.machines import membership as cmm
from primacy.machines.ids import MS, Member
from primacy.machines.last_resort import Witness
from primacy.sim.agent import Agent
from primacy.sim.node import Node

AGAIN_MS = 400
ASK_NS = (1 * MS, 350 * MS)


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
        eligible=True,
        priority=0,
        positions=monitor.positions,
        master=monitor.record.master if monitor.record is not None else None,
        silent_ms=(agent.clock.now_ns - monitor.sign_ns) / MS if monitor.signed else None,
    )
