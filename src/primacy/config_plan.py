"""What a change of the configuration table takes: compared part by part, with every reason against it.

    table in force + wanted table + who is a member  ->  steps, reasons against, the table to write

A plan only says; nothing is changed here. What is refused leaves all as it was. The table to write keeps the nodes
that are to be removed, because a node is removed by a function (it leaves in order, then its row goes), and keeps
`eligible` of every node as it stands, because that is the work of qualify and disqualify. It keeps the services'
offsets too: no port of a service shifts when another one goes.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from primacy import config, config_links
from primacy.config import BUILT_IN, Node, Service, Table
from primacy.machines import change_record
from primacy.machines.change_record import ChangeStep
from primacy.machines.membership import NodeEntry

AT_ONCE = "at once"
TWO_STEPS = "at once, in two steps"
ROLLING = "restart"
MOVING = "restart of the node"
FUNCTION = "function"

_TAKES = {
    AT_ONCE: "taken over at once by every agent that runs",
    TWO_STEPS: "taken over at once by every agent that runs, in two steps: first what agrees with both, then the new",
    ROLLING: "every node restarts, one after the other, the master last after a switchover",
    MOVING: "that node restarts in its turn, the master last after a switchover; the others find it at its new place",
}


class Step(Struct, frozen=True):
    """One part of a change.

    what: `node n4`, `service stock`, `timing`, ... change: added | removed | altered. detail: from what to what. takes:
    how it is carried out (AT_ONCE, TWO_STEPS, ROLLING, MOVING or FUNCTION). function, node: with FUNCTION, which one on
    which; node, with MOVING, whose place. first: the function takes no strength away, so it comes before nodes restart.
    """

    what: str
    change: str
    takes: str
    detail: str = ""
    function: str = ""
    node: str = ""
    first: bool = False

    @property
    def brief(self) -> str:
        """What is changed."""
        return f"{self.what} {self.change}" + (f" ({self.detail})" if self.detail else "")

    @property
    def sentence(self) -> str:
        """What is changed, and what it takes, as an operator reads it."""
        how = f"the function `{self.function} {self.node}`" if self.takes == FUNCTION else _TAKES[self.takes]
        return f"{self.brief}: {how}"


class Plan(Struct, frozen=True):
    """steps: in the order of carrying out. against: every reason why it must not be. table: what is to be written."""

    steps: tuple[Step, ...]
    against: tuple[str, ...]
    table: Table

    @property
    def functions(self) -> tuple[tuple[str, str], ...]:
        """The functions to ask for when the table is written: (function, node), in order."""
        return tuple((s.function, s.node) for s in self.steps if s.takes == FUNCTION)

    @property
    def first(self) -> int:
        """How many of the functions come before nodes restart."""
        return sum(s.first for s in self.steps)

    @property
    def restarts(self) -> bool:
        """Whether nodes restart for it."""
        return any(s.takes in (ROLLING, MOVING) for s in self.steps)

    @property
    def moves(self) -> tuple[str, ...]:
        """The nodes that restart at another place."""
        return tuple(s.node for s in self.steps if s.takes == MOVING)

    @property
    def writes(self) -> bool:
        """Whether the table in the ledger is another one afterwards, functions apart."""
        return any(s.takes != FUNCTION for s in self.steps)

    @property
    def intent(self) -> tuple[ChangeStep, ...]:
        """The same as the ledger is to hold it until it is carried out."""
        follow = "every node takes it over"
        if any(s.takes == ROLLING for s in self.steps):
            follow = "every node restarts in its turn"
        elif self.moves:
            follow = f"{', '.join(self.moves)} restart in turn"
        return change_record.planned(
            writes=self.writes,
            detail=[s.brief for s in self.steps if s.takes != FUNCTION],
            first=self.functions[: self.first],
            follow=follow,
            last=self.functions[self.first :],
        )


def plan(stands: Table, wanted: Table, members: frozenset[str]) -> Plan:
    """Return what it takes to get from the table that stands to the wanted one, which was checked as a whole.

    stands: with `eligible` of each node as its record has it. members: the nodes that run now; none while the cluster
    is down.
    """
    steps = (
        *_nodes(stands, wanted, members),
        *_services(stands, wanted),
        *_cluster(stands, wanted),
    )
    table = _merged(stands, wanted)
    against = [
        *(_against_nodes(stands, wanted, members)),
        *(_against_services(stands, wanted)),
        *(_against_the_whole(stands, wanted, steps, members)),
        *(f"{path}: {got}; {want}" for path, got, want in config.check(table)),
    ]
    return Plan(tuple(sorted(steps, key=_order)), tuple(dict.fromkeys(against)), table)


def restarts(running: Table, wanted: Table, node: str) -> tuple[str, ...]:
    """Return why an agent that runs with one table has to start anew for another one, in words; () when it need not."""
    found = []
    for service in sorted(running.services.keys() | wanted.services.keys()):
        old, new = running.services.get(service), wanted.services.get(service)
        if new is None or _same(old, new):
            continue  # a service that is gone ends at once
        found.append(f"service {service} {'added' if old is None else 'altered'}")
    was, row = running.nodes.get(node), wanted.nodes.get(node)
    if was is not None and row is not None and (was.links, was.port) != (row.links, row.port):
        found.append(f"links of {node} altered")
    return tuple(found)


def _order(step: Step) -> int:
    """First what takes over at once, then the functions that add strength, then restarts, then what takes away."""
    if step.takes == FUNCTION:
        return 1 if step.first else 3
    return 2 if step.takes in (ROLLING, MOVING) else 0


# ---- nodes ----


def _nodes(stands: Table, wanted: Table, members: frozenset[str]) -> list[Step]:
    steps = []
    for node in sorted(stands.nodes.keys() | wanted.nodes.keys()):
        old, new = stands.nodes.get(node), wanted.nodes.get(node)
        if old is None and new is not None:
            where = f"{', '.join(new.links)} port {new.port}{'' if new.eligible else ', ineligible'}"
            steps.append(Step(f"node {node}", "added", AT_ONCE, f"{where}; start it then"))
        elif new is None:
            absent = node not in members
            steps.append(Step(f"node {node}", "removed", FUNCTION, "", "remove", node, first=absent))
        elif old is not None:
            steps += _altered(node, old, new, node in members)
    return steps


def _altered(node: str, old: Node, new: Node, runs: bool) -> list[Step]:
    steps = []
    if old.priority != new.priority:
        detail = f"priority {old.priority} becomes {new.priority}"
        steps.append(Step(f"node {node}", "altered", AT_ONCE, detail))
    if (old.links, old.port) != (new.links, new.port):
        detail = f"links {_where(old)} become {_where(new)}"
        if runs:
            steps.append(Step(f"node {node}", "altered", MOVING, detail, node=node))
        else:
            steps.append(
                Step(f"node {node}", "altered", AT_ONCE, f"{detail}; it begins there at its next start")
            )
    if old.eligible != new.eligible:
        function = "qualify" if new.eligible else "disqualify"
        detail = "eligible" if new.eligible else "no longer eligible"
        steps.append(Step(f"node {node}", "altered", FUNCTION, detail, function, node, first=new.eligible))
    return steps


def _where(row: Node) -> str:
    return f"{', '.join(row.links)} port {row.port}"


def _against_nodes(stands: Table, wanted: Table, members: frozenset[str]) -> list[str]:
    reasons = config_links.against(stands, wanted, members)
    old = {n for n, row in stands.nodes.items() if row.eligible}
    new = {n for n, row in wanted.nodes.items() if row.eligible}
    if not new:
        reasons.append("nodes: no eligible node would be left: nobody could be master")
    elif not old & new:
        reasons.append(
            "nodes: none of the eligible nodes that hold the data would stay eligible: "
            "add the new ones first, take the old ones out when the new ones are in step"
        )
    elif members and not old & new & members:
        running = ", ".join(sorted(old & members)) or "none"
        reasons.append(
            f"nodes: no eligible node that runs (now: {running}) would stay eligible: start another one first"
        )
    return reasons


# ---- services ----


def _services(stands: Table, wanted: Table) -> list[Step]:
    steps = []
    for service in sorted(stands.services.keys() | wanted.services.keys()):
        old, new = stands.services.get(service), wanted.services.get(service)
        what = f"service {service}"
        if new is None:
            steps.append(Step(what, "removed", AT_ONCE, "its servers end; its journals stay on disk"))
        elif old is None:
            kind = "local" if new.local else f"centralized, {new.durability}"
            steps.append(Step(what, "added", ROLLING, f"{new.python}, {kind}"))
        elif not _same(old, new):
            steps.append(Step(what, "altered", ROLLING, _differences(old, new)))
    return steps


def _same(old: Service | None, new: Service) -> bool:
    return old is not None and msgspec.structs.replace(old, offset=None) == msgspec.structs.replace(
        new, offset=None
    )


def _differences(old: Service, new: Service) -> str:
    found = []
    for name in Service.__struct_fields__:
        was, becomes = getattr(old, name), getattr(new, name)
        if was != becomes and name == "callbacks":
            found.append(f"{len(was)} callbacks become {len(becomes)} or others")
        elif was != becomes and name != "offset":
            found.append(f"{name} {was} becomes {becomes}")
    return ", ".join(found)


def _against_services(stands: Table, wanted: Table) -> list[str]:
    reasons = []
    taken = stands.offsets()
    for service, new in wanted.services.items():
        old = stands.services.get(service)
        if old is None:
            continue
        where = f"services.{service}"
        if old.local != new.local:
            reasons.append(
                f"{where}.local: a service does not change its kind while it runs: take it out, then add it anew"
            )
            continue
        if old.durability == "disk" and new.durability == "memory":
            reasons.append(
                f"{where}.durability: from disk to memory: acknowledged data would no longer outlive its nodes; "
                "add a new service and move the data"
            )
        if new.offset is not None and new.offset != taken.get(service):
            reasons.append(
                f"{where}.offset: {new.offset}, but its port stands at {taken[service]}: ports do not shift"
            )
    for service in sorted(wanted.services.keys() & BUILT_IN.keys()):
        reasons.append(f"services.{service}: the name of a built-in service")
    return reasons


# ---- the cluster ----


def _cluster(stands: Table, wanted: Table) -> list[Step]:
    steps = []
    for name in type(stands.cluster).__struct_fields__:
        old, new = getattr(stands.cluster, name), getattr(wanted.cluster, name)
        if old != new and name != "profile":
            steps.append(Step(f"cluster.{name}", "altered", AT_ONCE, f"{old} becomes {new}"))
    if stands.wanted_times != wanted.wanted_times:
        steps.append(Step("timing", "altered", TWO_STEPS, f"{_timing(stands)} becomes {_timing(wanted)}"))
    elif (stands.cluster.profile, stands.timing) != (wanted.cluster.profile, wanted.timing):
        detail = f"{_timing(stands)} becomes {_timing(wanted)}: the same times"
        steps.append(Step("timing", "altered", AT_ONCE, detail))
    return steps


def _timing(table: Table) -> str:
    times = table.wanted_times
    name = "own times" if table.timing is not None else table.cluster.profile
    return f"{name} {times.beat_ms:g}/{times.lease_ms:g}/{times.grace_ms:g} ms"


def _against_the_whole(
    stands: Table, wanted: Table, steps: tuple[Step, ...], members: frozenset[str]
) -> list[str]:
    reasons = []
    if stands.replaces is not None and members:
        reasons.append(
            "timing: a change of the times is under way: wait until `primacy status` shows no change any more"
        )
    lead = [n for n, row in stands.nodes.items() if row.eligible and n in members]
    if len(lead) == 1 and any(s.takes == ROLLING or (s.takes == MOVING and s.node in lead) for s in steps):
        reasons.append(
            f"{lead[0]} has to restart for it, and is the only eligible one that runs: nobody could "
            "take over meanwhile; start or add another eligible node, or apply it while the cluster is down"
        )
    return reasons


def _merged(stands: Table, wanted: Table) -> Table:
    """Return the table to write: see above."""
    nodes = {
        n: row if n not in stands.nodes else msgspec.structs.replace(row, eligible=stands.nodes[n].eligible)
        for n, row in wanted.nodes.items()
    }
    leaving = {n: row for n, row in stands.nodes.items() if n not in wanted.nodes}
    offsets = stands.offsets()
    services = {
        s: msgspec.structs.replace(row, offset=offsets[s])
        if s in offsets and row.offset is None and not row.local
        else row
        for s, row in wanted.services.items()
    }
    replaces = stands.times if stands.wanted_times != wanted.wanted_times else stands.replaces
    return config.numbered(
        msgspec.structs.replace(
            wanted, nodes=nodes | leaving, services=services, replaces=replaces, change=""
        )
    )


def as_recorded(table: Table, entries: Iterable[NodeEntry]) -> Table:
    """Return the table as an operator sees it and compares with: `eligible` of each node as its record has it."""
    eligible = {e.id: e.eligible for e in entries}
    nodes = {
        n: msgspec.structs.replace(row, eligible=eligible.get(n, row.eligible))
        for n, row in table.nodes.items()
    }
    return msgspec.structs.replace(table, nodes=nodes, change="")
