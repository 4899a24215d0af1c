"""A changed table is carried through the cluster: which node restarts next, and when the times are changed for good.

Every agent compares the table that it runs with the one in the ledger and reports what it cannot take over while it
lives. The master goes through the nodes that are behind, one at a time, itself last after a switchover. Nothing else
is remembered than which node was told last: so a new master just goes on.

    a node is told to restart only when  the cluster is in service, no function is in progress, every member knows the
    table, every eligible node is a member and initialized, and (where two can lead) a vice is ready

Nobody waits for a node that is gone and that the change takes away anyhow (`View.leaving`). A node that is behind, and
cannot initialize its servers, restarts before all others: it takes nothing away, and may be well with the other table.
So does a vice that is behind and does not come into step: it may lack a service that its master has already.

A node that does not come back ends the going on, not the service: what is missing is told, and the rest stays as it
is.  Pure; time comes in.
"""

from __future__ import annotations

from msgspec import Struct

from primacy.machines.ids import SECOND
from primacy.machines.membership import NodeEntry

BACK_NS_MAX = 60 * SECOND
AGAIN_NS = 20 * SECOND
LATE_NS = 5 * SECOND
YIELD_NS = 60 * SECOND


class Report(Struct, frozen=True):
    """What a node says of its table. revision: of the newest one that it knows. behind: why it must start anew."""

    incarnation: str
    revision: int
    behind: tuple[str, ...] = ()


class View(Struct, frozen=True):
    """What the master knows now. revision: of the table in the ledger. mixing: it is that of a change of the times.

    able: the nodes whose servers are initialized, so that they can be vice; of the vice itself that is not said.
    busy: what forbids to begin anything (a function in progress), in words; empty when nothing does. leaving: the nodes
    that are to be removed or disqualified.
    """

    now_ns: int
    me: str
    serving: bool
    busy: str
    nodes: tuple[NodeEntry, ...]
    members: tuple[str, ...]
    vice: str
    vice_ready: bool
    able: tuple[str, ...]
    revision: int
    mixing: bool
    reports: dict[str, Report]
    leaving: tuple[str, ...] = ()

    @property
    def awaited(self) -> tuple[NodeEntry, ...]:
        """The nodes that count: all but those that are gone and shall be."""
        return tuple(n for n in self.nodes if n.id in self.members or n.id not in self.leaving)

    @property
    def late(self) -> list[str]:
        """The nodes that may lead and are not known to be initialized."""
        lead = [n.id for n in self.awaited if n.may_lead]
        return [n for n in lead if n not in (self.me, self.vice, *self.able)]


class Rest(Struct, frozen=True):
    """Every member runs the table in the ledger."""


class Wait(Struct, frozen=True):
    """Nothing can be done now; why, as an operator reads it."""

    reason: str


class Settle(Struct, frozen=True):
    """Every member has the times between: write the table with the new times alone."""

    revision: int


class Renew(Struct, frozen=True):
    """Tell this node to restart in order."""

    node: str
    reason: str


class Yield(Struct, frozen=True):
    """Only the master is behind: switch over; the new master tells it to restart."""

    to: str
    reason: str


Decision = Rest | Wait | Settle | Renew | Yield


class Rolling:
    """The master's memory of a change: which node was told to restart, in which life, and when."""

    def __init__(self) -> None:
        self._told: tuple[str, str] | None = None  # node, incarnation
        self._told_ns = 0
        self._late_ns: dict[str, int] = {}  # since when these are not initialized
        self._yield_ns: int | None = None  # when this node gave mastership away
        self._resigned = False  # and it was not master any more

    def resigned(self) -> None:
        """This node is not master: the one that is goes on. Should it come back soon, this life remembers."""
        self._told, self._late_ns = None, {}
        self._resigned = self._yield_ns is not None

    def decide(self, view: View) -> Decision:
        """Return what to do next; asked again whenever something has changed, and at least every second."""
        if not view.serving:
            return Wait("the cluster is not in service")
        late = [m for m in view.members if not _knows(view, m)]
        if late:
            return Wait(f"{', '.join(late)}: the new table is not known there yet")
        if view.mixing:
            return Settle(view.revision)
        hopeless = [
            m for m in view.members if m == view.vice and not view.vice_ready and view.reports[m].behind
        ]
        self._late_ns = {n: self._late_ns.get(n, view.now_ns) for n in (*view.late, *hopeless)}
        away = self._away(view)
        if away is not None:
            return away
        behind = [m for m in view.members if view.reports[m].behind]
        if not behind:
            return Rest()
        failing = [m for m in behind if m in view.late and (view.vice_ready or self._late_for_long(view, m))]
        failing += [m for m in hopeless if self._late_for_long(view, m)]
        if failing and not view.busy:
            return self._renew(view, failing[0])
        against = self.against(view)
        return Wait(against) if against else self._next(view, behind)

    def _late_for_long(self, view: View, node: str) -> bool:
        """Whether it is not only that a new master has not heard yet that it is initialized."""
        return view.now_ns - self._late_ns[node] >= LATE_NS

    @staticmethod
    def against(view: View) -> str:
        """Why nothing may be taken away from the cluster now, be it for a moment; empty: it is as strong as can be."""
        if view.busy:
            return view.busy
        lead = [n.id for n in view.awaited if n.eligible]
        absent = [n for n in lead if n not in view.members]
        if absent:
            return f"{', '.join(absent)} is eligible and does not run: the others stay as they are; start or remove it"
        if view.late:
            return f"{', '.join(view.late)} initializes its servers"
        lead = [n.id for n in view.awaited if n.may_lead]
        if len(lead) > 1 and not view.vice_ready:
            return "no vice is ready: it is catching up"
        return ""

    def _away(self, view: View) -> Decision | None:
        """Wait for the node that was told to restart, in a life after that one; tell it again if it stays."""
        if self._told is None:
            return None
        node, life = self._told
        report = view.reports.get(node)
        back = node in view.members and report is not None and report.incarnation != life
        if back and report is not None and not report.behind and node in view.late:
            return Wait(f"{node} initializes its servers")
        if back or all(n.id != node for n in view.awaited):
            self._told = None
            return None
        if report is not None and report.behind and view.now_ns - self._told_ns >= AGAIN_NS:
            self._told_ns = view.now_ns  # nobody knows whether it heard of it
            return Renew(node, _why(report))
        if view.now_ns - self._told_ns < BACK_NS_MAX:
            return Wait(f"{node} restarts with the new table")
        return Wait(
            f"{node} did not come back with the new table: its log says why; correct it, or apply another table "
            f"(--replace), and `primacy start {node}`"
        )

    def _next(self, view: View, behind: list[str]) -> Decision:
        others = [n for n in view.nodes if n.id in behind and n.id != view.me]
        if others:
            node = min(others, key=lambda n: (n.id == view.vice, n.may_lead, n.eligible, n.id)).id
            return self._renew(view, node)
        why = _why(view.reports[view.me])
        if not view.vice_ready:
            return Wait(
                f"{view.me} alone can lead, so it cannot restart without an outage: qualify or start another node, or "
                f"stop the cluster and start it again ({why})"
            )
        if self._resigned and self._yield_ns is not None and view.now_ns - self._yield_ns < YIELD_NS:
            return Wait(
                f"{view.me} gave mastership away in order to restart, and got it back: `primacy explain` tells why; it "
                "tries again in a minute"
            )
        self._yield_ns, self._resigned = view.now_ns, False
        return Yield(view.vice, why)

    def _renew(self, view: View, node: str) -> Renew:
        report = view.reports[node]
        self._told, self._told_ns = (node, report.incarnation), view.now_ns
        return Renew(node, _why(report))


def _knows(view: View, member: str) -> bool:
    report = view.reports.get(member)
    return report is not None and report.revision >= view.revision


def _why(report: Report) -> str:
    return f"the table has changed: {', '.join(report.behind)}"
