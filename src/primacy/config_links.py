"""Links and ports of nodes that change while the cluster serves: who reaches whom meanwhile, what must be refused.

The table changes at once; a node moves when it restarts in its turn. Until then it is where its present life listens:
each life tells that in its greeting, and the others go by it. So while a change is under way, lives of before and after
it talk with each other. A link is known by its place in the row, which may shift (`[A, B]` becomes `[B]`); so which two
addresses are ends of one network is looked up in the table in force, which both sides know.

    a node is never out of reach   for any other node there is a link that both have afterwards, and whose address the
                                   node has already now
    no link changes its network    two addresses that are ends of one link stay so, and two that are not never become it
    no two nodes at one place      a node never takes a port block that another one still has

Pure.
"""

from __future__ import annotations

import msgspec

from primacy.config import PORTS, Node, Table

Address = tuple[str, int]


def counterparts(
    own: list[Address], own_row: Node, theirs: list[Address], their_row: Node
) -> list[Address | None]:
    """Return, for each address of ours, the address of the other node that is reached from it; None: there is none.

    own, theirs: where the present lives listen. own_row, their_row: of the table in force.
    """
    there = {address: (address, port) for address, port in theirs}
    found: list[Address | None] = []
    for address, _ in own:
        link = own_row.links.index(address) if address in own_row.links else len(their_row.links)
        found.append(there.get(their_row.links[link]) if link < len(their_row.links) else None)
    for link, other in enumerate(theirs[: len(own)]):
        if found[link] is None and other not in found:
            found[link] = other  # as the former table paired them
    return found


def placed(row: Node, addresses: list[Address]) -> Node:
    """Return a row with the links and the port of the life that listens at these addresses (none: it is not known)."""
    if not addresses:
        return row
    return msgspec.structs.replace(row, links=[address for address, _ in addresses], port=addresses[0][1])


def moved(stands: Table, wanted: Table) -> list[str]:
    """Return the nodes that get other links or another port."""
    both = sorted(stands.nodes.keys() & wanted.nodes.keys())
    return [n for n in both if _place(stands.nodes[n]) != _place(wanted.nodes[n])]


def against(stands: Table, wanted: Table, members: frozenset[str]) -> list[str]:
    """Return every reason why these nodes cannot move while the cluster serves; members: the nodes that run."""
    reasons = []
    for node in (n for n in moved(stands, wanted) if n in members):
        old, new = stands.nodes[node], wanted.nodes[node]
        others = [n for n in sorted(wanted.nodes) if n != node]
        far = [n for n in others if not _within_reach(old, new, wanted.nodes[n])]
        if far:
            reasons.append(
                f"nodes.{node}.links: {', '.join(old.links)} cannot become {', '.join(new.links)} at once: no link to "
                f"{', '.join(far)} would last, and the node were out of reach until all have moved; add the new link "
                "by one table, and take the old one out by another"
            )
    for node in moved(stands, wanted):
        torn = [
            other
            for other in sorted(stands.nodes.keys() & wanted.nodes.keys() - {node})
            if members
            and _torn(stands.nodes[node], wanted.nodes[node], stands.nodes[other], wanted.nodes[other])
        ]
        if torn:
            reasons.append(
                f"nodes.{node}.links: a link is known by its place in the row, and what is one link of {node} and "
                f"{', '.join(torn)} now would be two afterwards: alter the rows of all nodes in the same way"
            )
    for node in moved(stands, wanted):
        for other, row in sorted(stands.nodes.items()):
            if other != node and other in members and _overlap(wanted.nodes[node], row):
                reasons.append(
                    f"nodes.{node}: its new place is still that of {other} (port {row.port}): move {other} away by a "
                    "table of its own first"
                )
    return reasons


def _place(row: Node) -> tuple[list[str], int]:
    return row.links, row.port


def _within_reach(old: Node, new: Node, other: Node) -> bool:
    """Whether another node that has moved already still reaches the life of this node that has not."""
    return any(address in old.links for address in new.links[: len(other.links)])


def _torn(old: Node, new: Node, other_old: Node, other_new: Node) -> bool:
    """Whether addresses that both nodes keep are ends of one link only before, or only afterwards."""
    for link, address in enumerate(old.links):
        if address not in new.links:
            continue
        for place, theirs in enumerate(other_old.links):
            if theirs in other_new.links:
                after = new.links.index(address) == other_new.links.index(theirs)
                if (link == place) != after:
                    return True
    return False


def _overlap(one: Node, other: Node) -> bool:
    return abs(one.port - other.port) < PORTS and bool(set(one.links) & set(other.links))
