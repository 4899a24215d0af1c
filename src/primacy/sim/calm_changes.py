"""L1 for the configuration: every node goes by the table that stands, and no change of it is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.config import Table
from primacy.machines.change_record import CHANGE, Change, decode
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.agent import Agent
from primacy.sim.asked import Asked
from primacy.sim.operator import Request
from primacy.sim.records import entries_in

ALONE = "a change waits because one node alone can lead: it takes an outage, and the operator must decide"

if TYPE_CHECKING:
    from primacy.sim.world import World


def table_of(world: World) -> Table:
    """Return the table in the ledger."""
    return tables.decode(world.ledger.values[CONFIG])


def alone(world: World) -> bool:
    """Whether the master has to restart for a change, and is the only node that may lead: nobody could take over."""
    record, entries = world.ledger.record, entries_in(world.ledger.values, world.settings.table)
    agent = world.nodes[record.master.node].agent if record is not None else None
    return (
        agent is not None
        and bool(agent.following.report().behind)
        and sum(entry.may_lead for entry in entries) <= 1
    )


def strengthen(world: World) -> None:
    """The operator does what a change asks for that waits for a second node: another one qualifies, and is available.

    Where there is no other one, nothing can be done while the cluster serves.
    """
    requests = world.checkers.truth.requests
    if not alone(world) or world.checkers.truth.operations.current is not None:
        return
    for entry in entries_in(world.ledger.values, world.settings.table):
        node = world.nodes[entry.id]
        if not entry.may_lead and node.agent is not None:
            verb = "promote" if entry.eligible else "qualify"
            asked = Asked(f"{verb}-{len(requests) + 1}", verb, entry.id)
            requests.append(asked)
            Request(node, asked).begin()
            return


def _current(world: World) -> Change | None:
    value = world.ledger.values.get(CHANGE)
    return decode(value).current if value is not None else None


def unchanged(world: World) -> str:
    """Return what is still to be done of a change, or nothing."""
    change = _current(world)
    if change is not None:
        record = world.ledger.record
        agent = world.nodes[record.master.node].agent if record is not None else None
        waits = agent.following.waits if agent is not None else ""
        step = change.step.what if change.step is not None else ""
        return f"change {change.id} has not ended: {step}: {waits}"
    if table_of(world).replaces is not None:
        return "the times are those between the former and the wanted ones"
    return ""


def unlike(agent: Agent, table: Table) -> str:
    """Return in what a node does not go by this table, or nothing."""
    id, records, coordinator = agent.member.node, agent.records, agent.coordinator
    if records.table != table:
        return f"{id} knows the table of revision {records.table_revision}, and another one stands"
    behind = agent.following.report().behind
    if behind:
        return f"{id} has not restarted: {', '.join(behind)}"
    if agent.monitor.timing != table.times:
        return f"{id} has the times {agent.monitor.timing}, the table says {table.times}"
    if coordinator.functions.auto_promote != table.cluster.auto_promote:
        return f"{id} does not promote as the table says"
    runs, wanted = set(coordinator.servers.by_service), {"naming", *table.services}
    return (
        f"{id} runs {', '.join(sorted(runs ^ wanted))} otherwise than the table says"
        if runs != wanted
        else ""
    )
