"""Operators who change the configuration of a running cluster: they look at the table, edit it, and ask for the change.

As the real tool does it: the node that is asked hands the change to the master; who was not answered asks elsewhere for
the same change. Machines that are new in the table are started when the ledger has it, by whoever added them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from primacy.config_plan import as_recorded
from primacy.machines.coordination import Answer
from primacy.machines.ids import MS
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.agent import Agent
from primacy.sim.applying import Wanted
from primacy.sim.asked import Asked
from primacy.sim.edits import edited
from primacy.sim.faults import Fault
from primacy.sim.node import Node
from primacy.sim.operator import Request

LOOK_NS = 50 * MS
LOOKS_MAX = 200
REPLACE, LOOKED = "replace", "looked"


class Reconfiguration(Request):
    """One change, from its asking to its acceptance. fault: what is edited, of whom, by how much.

    The fault's `then` says whether it takes the place of a change in progress (`replace`), or names the revision of the
    table that was looked at (`looked`).
    """

    def __init__(self, node: Node, asked: Asked, fault: Fault) -> None:
        super().__init__(node, asked)
        self._fault = fault
        self._wanted: Wanted | None = None

    def _arguments(self, agent: Agent) -> Wanted:
        """The table as this agent knows it, edited; later tries ask for the same one."""
        if self._wanted is None:
            fault, records = self._fault, agent.records
            settings = self._node.cluster.settings
            stands = as_recorded(records.table, records.entries)
            table = edited(stands, fault.what, self._target, fault.amount, settings)
            self._wanted = Wanted(
                id=self._asked.id,
                table=msgspec.json.encode(table),
                revision=records.table_revision if fault.then == LOOKED else None,
                replace=fault.then == REPLACE,
                reason=fault.what,
            )
            for machine in sorted(table.nodes.keys() - stands.nodes.keys()):
                self._start(self._node.cluster.nodes[machine], LOOKS_MAX)
        return self._wanted

    def _hand_in(self, master: Agent, arguments: Wanted, answered: Callable[[Answer], None]) -> None:
        master.following.applier.serve(arguments, answered)

    def _start(self, machine: Node, looks: int) -> None:
        """Start a machine as soon as the table has it."""
        cluster = self._node.cluster
        if machine.id in tables.decode(cluster.ledger.values[CONFIG]).nodes:
            machine.guardian.deliver(machine.start)
        elif looks:
            cluster.scheduler.after(LOOK_NS, self._start, machine, looks - 1)
