"""L1: what must be so within bounded time after all faults have ended.

One master that lives, a ready vice if two nodes may be master, every primary in service, every node's coordinator idle
and on the rung that its record says, no swap and no intent open, every call answered; every node goes by the table that
stands, and no change of it is under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.config import Table
from primacy.machines.ids import MS, Member
from primacy.machines.ladder import rung_of
from primacy.machines.membership import NodeEntry
from primacy.machines.records import Mastership
from primacy.sim.agent import Agent
from primacy.sim.calm_changes import ALONE, alone, table_of, unchanged, unlike
from primacy.sim.node import Node
from primacy.sim.records import entries_in

if TYPE_CHECKING:
    from primacy.sim.world import World

ANSWER_NS_MAX = 1_000 * MS
WAITS = "all who had the state are gone, or their journals: the operator must decide"


def unfinished(world: World) -> str:
    """Return what L1 demands and is not so (yet), or nothing."""
    record = world.ledger.record
    if record is None:
        return "there is no record"
    lives = {node.member for node in world.nodes.values() if node.member is not None}
    if needs_operator(world, record, lives) or none_has_all(world, record):
        return WAITS
    if record.master not in lives:
        return f"the recorded master {record.master} does not live"
    entries = entries_in(world.ledger.values, world.settings.table)
    if sum(entry.may_lead for entry in entries) > 1 and record.ready_vice not in lives:
        return f"there is no ready vice: {record.vice}"
    operation = world.checkers.truth.operations.current
    if operation is not None:
        return f"{operation.function} {operation.node} ({operation.id}) has not ended"
    if len(entries) == 1 and alone(world):
        return ALONE
    why = unchanged(world)
    if why:
        return why
    table = table_of(world)
    for entry in entries:
        why = _node(world, world.nodes[entry.id], entry, table)
        if why:
            return why
    for service in table.centralized():
        host = world.nodes[record.master.node].primary(service)
        if host is None or not host.holds():
            return f"the primary of {service} on {record.master.node} does not serve"
    for client in world.clients:
        if client.failures and not world.checkers.forgiven:
            return f"{client.name}: {client.failures[0]}"
    return _unanswered(world)


def needs_operator(world: World, record: Mastership, lives: set[Member]) -> bool:
    """All who had the state are gone, and with it what was in memory only (or nobody proved their death)."""
    gone = not {record.master, record.ready_vice} & lives
    return world.settings.volatile and record.stopped is None and gone


def none_has_all(world: World, record: Mastership) -> bool:
    """No node that was in step has a journal of each service (they were damaged, or deleted), as far as it knows."""
    who = {record.master.node, *((record.ready_vice.node,) if record.ready_vice is not None else ())}
    nodes = world.nodes.values() if record.stopped is not None else [world.nodes[id] for id in sorted(who)]
    for node in nodes:
        known = {service: journal.position for service, journal in node.journals.items()}
        if node.agent is not None and record.stopped is not None:
            known = node.agent.monitor.positions or {}
        behind = [service for service, p in (record.stopped or {}).items() if known.get(service, (0, 0)) != p]
        if not behind and not any(journal.incomplete for journal in node.journals.values()):
            return False
    return True


def _node(world: World, node: Node, entry: NodeEntry, table: Table) -> str:
    agent = node.agent
    if agent is None or not agent.alive:
        return f"{node.id} does not run"
    monitor = agent.monitor
    if monitor.revision != world.ledger.revision:
        return f"{node.id} knows revision {monitor.revision}, the ledger has {world.ledger.revision}"
    if monitor.swap is not None:
        return f"{node.id} has an open swap: {monitor.swap.purpose.value}"
    return unlike(agent, table) or _busy(node.id, agent, entry)


def _busy(id: str, agent: Agent, entry: NodeEntry) -> str:
    """Return what the node's coordinator is at."""
    ssc = agent.coordinator
    progress = ssc.runs.progress()
    if progress is not None:
        function, level, waits = progress
        return f"{id} is at level {level} of {function}, and waits for {', '.join(waits)}"
    phases = {"departure": ssc.departure.phase, "switchover": ssc.switchover.phase, "rescue": ssc.rescue.lost}
    for what, phase in phases.items():
        if phase:
            return f"{id} is not idle: {what}: {phase}"
    if ssc.writer.busy:
        return f"{id} has an open change of a record"
    if ssc.ladder.moving or ssc.ladder.rung != rung_of(entry):
        return f"{id} is {ssc.ladder.rung}, its record says {rung_of(entry)}"
    late = [s.service for s in ssc.servers.by_service.values() if s.row.local and not s.ready]
    return f"{late[0]} on {id} is not initialized" if late else ""


def _unanswered(world: World) -> str:
    now_ns = world.scheduler.now_ns
    for client in world.clients:
        for operation in client.waiting():
            if now_ns - operation.invoked_ns > ANSWER_NS_MAX:
                return f"{client.name} waits for an answer since {operation.invoked_ns / 1e6:.3f} ms"
    return ""
