"""Makes the faults of the world happen: of the network, of disks and of wall clocks (`inject.py` has all others)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from primacy.machines.ids import SECOND
from primacy.sim.faults import Fault
from primacy.sim.node import Node

if TYPE_CHECKING:
    from primacy.sim.world import World

HOUR_NS = 3_600 * SECOND


def begin(world: World, node: Node, fault: Fault) -> Callable[[], None] | None:
    """Begin a fault on this node; return how it ends, or None when it means nobody now."""
    match fault.kind:
        case "hold":
            return _hold(world, _ways(world, node, fault), fault.what != "any order")
        case "half-open":
            return _stall(world, _ways(world, node, fault))
        case "full":
            return _fill(node)
        case "damage":
            return _damage(node, fault)
    return _set_wall_clock(node, int(fault.amount * HOUR_NS))


def _ways(world: World, node: Node, fault: Fault) -> list[tuple[str, str]]:
    """Return the routes that are meant: to and from a peer, or all other nodes; `then` says which direction only."""
    name = _named(world, fault.peer)
    peers = [id for id in world.nodes if id != node.id] if fault.peer == "*" else [name]
    ways = [] if fault.then == "from" else [(node.id, peer) for peer in peers]
    ways += [] if fault.then == "to" else [(peer, node.id) for peer in peers]
    return [way for way in ways if way[0] != way[1] and all(way)]


def _named(world: World, name: str) -> str:
    record = world.ledger.record
    if name in ("master", "vice"):
        member = record.master if record is not None else None
        if name == "vice":
            member = record.vice.member if record is not None and record.vice is not None else None
        return member.node if member is not None else ""
    known = name in world.nodes or any(client.name == name for client in world.clients)
    return name if known else ""


def _hold(world: World, ways: list[tuple[str, str]], in_order: bool) -> Callable[[], None] | None:
    network = world.network
    for way in ways:
        network.hold(*way)

    def release() -> None:
        for way in ways:
            network.release(*way, in_order=in_order)

    return release if ways else None


def _stall(world: World, ways: list[tuple[str, str]]) -> Callable[[], None] | None:
    network = world.network
    for way in ways:
        network.stall(*way, 1)

    def notice() -> None:
        for way in ways:
            network.stall(*way, -1)

    return notice if ways else None


def _fill(node: Node) -> Callable[[], None]:
    node.disk.full += 1

    def free() -> None:
        node.disk.full -= 1

    return free


def _damage(node: Node, fault: Fault) -> Callable[[], None] | None:
    journals = node.journals
    chosen = [journals[fault.peer]] if fault.peer in journals else []
    for journal in chosen if fault.peer else journals.values():
        journal.damage(fault.what)
    return lambda: None


def _set_wall_clock(node: Node, by_ns: int) -> Callable[[], None]:
    node.clock.wall_offset_ns += by_ns

    def set_back() -> None:
        node.clock.wall_offset_ns -= by_ns

    return set_back
