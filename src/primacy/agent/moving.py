"""Where the nodes are while some of them move: the table that an agent goes by has the places of their present lives.

The table in force says where a node will be after its restart; its present life has told where it is until then. What
this agent sends, gives to its hosts and tells clients names the latter, so nothing is sent to a place where nobody
listens yet. Hello goes to both, because it is for those of whom nothing is known yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from primacy import config_beginning, config_links
from primacy.config import Node as Row
from primacy.lease_page import now_ns
from primacy.machines import coordination

if TYPE_CHECKING:
    from primacy.agent.node import Node

Address = tuple[str, int]


def as_they_are(node: Node, rows: dict[str, Row]) -> dict[str, Row]:
    """Return the rows of a table with the links and ports of the lives that run now."""
    return {n: config_links.placed(row, _where(node, n)) for n, row in rows.items()}


def settled(node: Node, peer: str) -> None:
    """A life of another node has told where it listens: go by it."""
    row = node.records.table.nodes.get(peer)
    if row is None:
        return
    placed = config_links.placed(row, _where(node, peer))
    if placed != node.table.nodes.get(peer):
        node.table = msgspec.structs.replace(node.table, nodes=node.table.nodes | {peer: placed})
        addresses = config_beginning.addresses(node.table)
        node.post(coordination.SettingsChanged(now_ns=now_ns(), addresses=addresses))
        node.on_change()


def counterparts(node: Node, peer: str, theirs: list[Address]) -> list[Address | None]:
    """Return where each link of this life leads, to a life that listens there."""
    in_force = node.records.table.nodes
    me = node.me.node
    own = in_force.get(me, node.table.nodes[me])
    other = in_force.get(peer, own)
    return config_links.counterparts(node.own_addresses, own, theirs, other)


def readdress(node: Node) -> None:
    """The table in force is another one: the same lives may be paired over other links."""
    for peer in node.table.nodes:
        theirs = _where(node, peer)
        if peer != node.me.node and theirs:
            node.port.readdress(peer, counterparts(node, peer, theirs))


def links_up(node: Node, peer: str) -> set[int]:
    """Return which links of another node are up, by their places in its row: ours may have others meanwhile."""
    theirs = _where(node, peer) or node.table.agent_addresses(peer)
    leads_to = counterparts(node, peer, theirs)
    heard = [leads_to[link] for link in node.links.up(peer) if link < len(leads_to)]
    return {theirs.index(address) for address in heard if address in theirs}


def hello_addresses(node: Node, nodes: tuple[str, ...]) -> list[list[Address]]:
    """Return, per link of this life, where the other nodes may be."""
    found: list[list[Address]] = [[] for _ in node.own_addresses]
    in_force = node.records.table
    for peer in (n for n in nodes if n in in_force.nodes):
        for theirs in (in_force.agent_addresses(peer), node.peers.told(peer)):
            for link, address in enumerate(counterparts(node, peer, theirs)):
                if address is not None and address not in found[link]:
                    found[link].append(address)
    return found


def _where(node: Node, peer: str) -> list[Address]:
    return node.own_addresses if peer == node.me.node else node.peers.told(peer)
