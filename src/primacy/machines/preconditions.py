"""What speaks against a function of the cluster: every reason, never only the first.

The same answer is given to a dry run, to the real request, and to the master that finds an intent in the ledger. A
reason says what stands in the way and, where there is one, the command that removes it.  Pure.
"""

from __future__ import annotations

from msgspec import Struct

from primacy.machines.coordination import Facts
from primacy.machines.membership import NodeEntry

LADDER = ("qualify", "promote", "demote", "disqualify", "remove")
"""The functions that take one node up or down its ladder, or off it."""


class Situation(Struct, frozen=True):
    """What is known beside the monitor's facts. busy: the function in progress, in words; empty when there is none."""

    serving: bool
    busy: str
    auto_promote: bool


def reasons_against(function: str, node: str | None, facts: Facts, situation: Situation) -> tuple[str, ...]:
    """Return every reason why this function is not possible now; node None: the whole cluster, or the vice."""
    reasons = []
    if facts.role != "master":
        reasons.append(f"this node is not master ({facts.master or 'nobody'} is)")
    if not situation.serving:
        reasons.append("the cluster is not in service yet")
    if situation.busy:
        reasons.append(situation.busy)
    if function == "switchover":
        reasons += _against_switchover(node, facts)
    elif function == "shutdown":
        reasons += _against_shutdown(node, facts)
    elif node is None:
        reasons.append(f"{function}: say which node")
    else:
        reasons += _against_ladder(function, node, facts, situation)
    if facts.swap_open:
        reasons.append("a change of the mastership record is under way")
    return tuple(reasons)


def _against_switchover(to: str | None, facts: Facts) -> list[str]:
    reasons = []
    if to is not None and to == facts.master:
        reasons.append(f"{to} is master already")
    elif to is not None and to not in facts.eligible:
        reasons.append(f"{to} is no eligible node of this cluster")
    elif to is not None and facts.vice and to != facts.vice:
        reasons.append(f"{to} is not the vice ({facts.vice} is): only the vice has the data")
    return reasons + _no_successor(facts)


def _no_successor(facts: Facts) -> list[str]:
    """Why nobody could take over from the master in order."""
    if not facts.vice:
        return ["there is no vice: nobody mirrors the master"]
    if not facts.vice_ready:
        return [f"the vice {facts.vice} is not ready: it is catching up"]
    return [] if facts.lease_held else [f"the vice {facts.vice} does not answer"]


def _against_shutdown(node: str | None, facts: Facts) -> list[str]:
    reasons = []
    if node is not None and node not in facts.members:
        reasons.append(f"{node} is not a member now (members: {', '.join(facts.members)})")
    others = [m for m in facts.members if m in facts.eligible and m != node]
    if node is not None and node == facts.master and others and not facts.vice_ready:
        reasons.append(f"{node} is master and no vice is ready to take over; try again, or shut down --all")
    return reasons


def _against_ladder(function: str, node: str, facts: Facts, situation: Situation) -> list[str]:
    entry = next((n for n in facts.nodes if n.id == node), None)
    if entry is None:
        return [f"{node} is no node of this cluster (nodes: {', '.join(n.id for n in facts.nodes)})"]
    if function in ("qualify", "promote"):
        return _against_up(function, entry, facts)
    reasons = []
    others = [n for n in facts.available if n != node]
    if function == "demote" and not entry.eligible:
        reasons.append(f"{node} is ineligible: there is nothing to demote")
    elif function == "demote" and not entry.available:
        reasons.append(f"{node} is a spare already")
    elif function == "disqualify" and not entry.eligible:
        reasons.append(f"{node} is ineligible already")
    if not reasons and entry.eligible and entry.available and not others:
        reasons.append(f"{node} is the only node that can be master: qualify and promote another one first")
    if node == facts.master and others:
        reasons += [f"{node} is master and has to switch over first: {r}" for r in _no_successor(facts)]
    if function == "demote" and situation.auto_promote and not reasons and _needed(node, facts):
        reasons.append(
            f"without {node} there is nobody who could be vice, and auto_promote would promote it again at once: "
            "promote another node first, disqualify this one, or set auto_promote = false"
        )
    return reasons


def _against_up(function: str, entry: NodeEntry, facts: Facts) -> list[str]:
    node, reasons = entry.id, []
    if function == "qualify" and entry.eligible:
        state = "available" if entry.available else "a spare"
        reasons.append(f"{node} is eligible already ({state})")
    if function == "promote" and not entry.eligible:
        reasons.append(f"{node} is not eligible: `primacy qualify {node}` first")
    elif function == "promote" and entry.available:
        reasons.append(
            f"{node} is available: it may be elected vice. To make it master: primacy switchover --to {node}"
        )
    if node not in facts.members:
        reasons.append(f"{node} is not a member now: `primacy start {node}` first")
    return reasons


def _needed(node: str, facts: Facts) -> bool:
    """Whether without this node the cluster had no pair of nodes that could be master and vice."""
    left = [n for n in facts.available if n != node and n in facts.members]
    spares = [n.id for n in facts.nodes if n.eligible and not n.available and n.id in facts.members]
    return len(left) < 2 and not [n for n in spares if n != node]
