"""What `status` shows: this node's own part, and the whole as its master puts it together.  Reads, never changes."""

from __future__ import annotations

from typing import Any

from primacy.agent import moving, waits
from primacy.agent.node import Node
from primacy.config_plan import restarts
from primacy.lease_page import now_ns
from primacy.machines.coordination import Facts
from primacy.machines.formation import stranded
from primacy.machines.ids import MS, Role, ServerState
from primacy.machines.records import Mastership

HOST_SILENT_NS = 2_000 * MS


def in_service(node: Node) -> bool:
    """Whether the master is known to serve its term."""
    if node.monitor.role == "master":
        return node.coordinator.serving.own_term == node.monitor.term
    return node.monitor.served_term == node.monitor.term > 0


def local(node: Node) -> dict[str, Any]:
    """This node's own part: plain values."""
    coordinator = node.coordinator
    function, level = waits.function(coordinator)
    waiting = waits.waits(coordinator)
    servers = coordinator.servers
    own = node.table.nodes[node.me.node]
    return {
        "id": node.me.node,
        "incarnation": node.me.incarnation,
        "role": _role(node, node.me.node),
        "eligible": node.eligible(node.me.node),
        "links": [{"address": a, "up": i not in node.links_down} for i, a in enumerate(own.links)],
        "servers": {s.service: str(s.state) for s in servers.centralized},
        "local": {s.service: "running" if s.ready else s.process for s in servers.local},
        "function": function,
        "level": level,
        "waiting": [*(wait.what for wait in waiting), *_troubles(node)],
        "waiting_for": waits.plain(waiting, now_ns()),
        "positions": {
            s: {"sequence": p.sequence, "acknowledged": p.acknowledged, "term": p.term}
            for s, p in node.progress.items()
        },
        "datagrams": {n: getattr(node.port.counters, n) for n in node.port.counters.__struct_fields__},
        "streams": {"refused": node.refused_connections(), "garbage": node.garbage_frames},
        "table": _table(node),
    }


def _table(node: Node) -> dict[str, Any]:
    """The table that this life runs with: its revision, and what of it takes a new life."""
    records = node.records
    return {
        "revision": records.table_revision,
        "behind": list(restarts(node.table, records.table, node.me.node)),
    }


def whole(node: Node, locals_: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The cluster as this node sees it, with the parts that the members told of themselves."""
    facts, table = node.facts(), node.table
    nodes = [locals_.get(n) or _absent(node, n) for n in table.nodes]
    for entry in nodes:
        entry["role"] = _role(node, entry["id"])
        others = [o for o in facts.members if o != entry["id"]]
        if entry["id"] != node.me.node and others:
            ups = moving.links_up(node, entry["id"])
            for index, link in enumerate(entry["links"]):
                link["up"] = link["up"] and index in ups
    return {
        "cluster": table.cluster.name,
        "profile": table.cluster.profile,
        "term": facts.term,
        "master": facts.master or None,
        "vice": facts.vice or None,
        "vice_ready": facts.vice_ready,
        "in_service": in_service(node) and facts.master in facts.members,
        "maintenance": node.maintenance.shown(),
        "waits": _waits(node),
        "ledger": {"url": node.boot.ledger, "available": node.ledger.available},
        "nodes": nodes,
        "services": [_service(node, s, locals_) for s in table.centralized()],
    }


def _service(node: Node, service: str, locals_: dict[str, dict[str, Any]]) -> dict[str, Any]:
    def where(state: ServerState) -> str | None:
        return next((n for n, part in locals_.items() if part["servers"].get(service) == state), None)

    primary, secondary = where(ServerState.PRIMARY), where(ServerState.SECONDARY)
    at = locals_[primary]["positions"].get(service) if primary is not None else None
    lag = at["sequence"] - at["acknowledged"] if at is not None and at["acknowledged"] >= 0 else None
    return {
        "name": service,
        "primary": primary,
        "secondary": secondary,
        "durability": node.table.service(service).durability,
        "sequence": at["sequence"] if at is not None else None,
        "lag": lag,
    }


def _role(node: Node, of: str) -> str:
    facts = node.facts()
    if of not in facts.members:
        return Role.OUT
    if of == facts.master:
        return Role.MASTER
    if of == facts.vice:
        return Role.VICE
    entry = node.monitor.peers.own if of == node.me.node else None
    if entry is None:
        peer = node.monitor.peers.get(of)
        entry = peer.entry if peer is not None else None
    if entry is None or not entry.eligible:
        return Role.INELIGIBLE
    return Role.AVAILABLE if entry.available else Role.SPARE


def _absent(node: Node, of: str) -> dict[str, Any]:
    entry = node.table.nodes[of]
    return {
        "id": of,
        "incarnation": None,
        "role": Role.OUT,
        "eligible": node.eligible(of),
        "links": [{"address": a, "up": False} for a in entry.links],
        "servers": {},
        "local": {},
        "function": None,
        "level": None,
        "waiting": [],
        "waiting_for": [],
        "positions": {},
        "datagrams": {},
        "streams": {},
        "table": {},
    }


def _troubles(node: Node) -> list[str]:
    """What is wrong with hosts here, one line each."""
    found = []
    for server in node.coordinator.servers.by_service.values():
        if server.error:
            found.append(f"{server.service}: {server.error}")
        if server.held:
            found.append(
                f"{server.service}: failed here again and again: kept back, and tried again after a pause"
            )
        if server.incomplete and not server.used:
            found.append(
                f"{server.service}: its journal was set aside or is missing: this node can only join a master, not form"
            )
        silent_ns = node.hosts.silent_ns(server.service, now_ns())
        if silent_ns > HOST_SILENT_NS:
            found.append(f"{server.service}: its host has not answered for {silent_ns / 1e9:.1f} s")
    return found


def nobody_may_claim(facts: Facts, record: Mastership | None) -> list[str]:
    """Say it plainly when the master is not heard and the record lets nobody else take its place."""
    why = stranded(record)
    lost = facts.role != "master" and facts.master not in facts.members
    return [f"{facts.master} is not heard: {why}"] if why and lost else []


def _waits(node: Node) -> list[str]:
    """Why the cluster is not in service, or not in step: what it waits for."""
    waits = []
    if node.monitor.role == "member" and node.monitor.member.waits_for:
        waits.append(f"{node.me.node}: {node.monitor.member.waits_for}")
    waits += nobody_may_claim(node.facts(), node.monitor.record)
    if node.monitor.role == "vice" and node.monitor.vice.waits_for:
        waits.append(f"{node.me.node}: {node.monitor.vice.waits_for}")
    if not node.ledger.available:
        waits.append("the ledger does not answer; roles stay as they are until it does")
    return waits + _troubles(node)
