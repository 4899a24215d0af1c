"""A life of a simulated node begins: its agent, with the machines as the table that stands has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from primacy.machines.ids import Member
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.agent import Agent
from primacy.sim.following import Following
from primacy.sim.records import Keeper, Records, entries_in

if TYPE_CHECKING:
    from primacy.sim.node import Node


def born(node: Node, rows: Mapping[str, bytes]) -> Agent:
    """Return the agent of the life that begins now; rows: the ledger as its guardian has read it."""
    cluster, clock = node.cluster, node.clock
    table, entries = tables.decode(rows[CONFIG]), entries_in(rows, cluster.settings.table)
    member = Member(node.id, f"{node.id}.{node.lives}")
    failures, node.failures = node.failures, {}
    begins = tables.beginning(member, table, entries, clock.now_ns, failures)
    monitor, coordinator = begins.monitor(), begins.coordinator()
    agent = Agent(member, node, monitor, coordinator, cluster.scheduler, clock, cluster.ledger, node.random)
    agent.records = Records(rows, cluster.settings.table, clock, agent.feed)
    agent.following = Following(agent, table)
    agent.records.on_table = agent.following.adopt
    agent.keeper = Keeper(
        node.id, node.notices, cluster.scheduler, clock, agent.feed, agent.publish, agent.timer
    )
    return agent
