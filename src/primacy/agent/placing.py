"""The place of this node: where the table says that it listens, and whether it could listen elsewhere.

The table in force says where a node listens; its boot parameters only where its guardian looks before there is a table,
so they may be behind. Before a change that moves a node, it is asked whether it could: a node binds the address of a
link whether the machine has it or not, because a link may be dead at its start, and so a wrong address would be found
out only when the node has moved and is not heard any more.
"""

from __future__ import annotations

import socket
from typing import Any

from primacy.boot import Boot
from primacy.config import PORTS, Table
from primacy.errors import ConfigError

VERB = "place"
LINKS_MAX = 8

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


def moved(boot: Boot, table: Table) -> str:
    """Return a line when the table gives this node another place than its boot parameters; empty: it is the same.

    ConfigError when the machine has none of the table's addresses: then this is another machine, or another node's.
    """
    place = table.agent_addresses(boot.node)
    if [(link.address, link.port) for link in boot.links] == place:
        return ""
    wanted, got = ", ".join(f"{a}:{p}" for a, p in place), ", ".join(map(str, boot.links))
    if all(_bind(address, 0) for address, _ in place):
        want = f"as the table says: {wanted}; this machine has none of these addresses"
        raise ConfigError("links", got, want)
    return f"links: {wanted}, as the table says; the boot parameters still say {got}: set them right"


def answer(node: str, runs_with: Table, arguments: dict[str, Any]) -> Outcome:
    """Answer the master. Arguments: links, port, offsets (of the ports in the block that would be used)."""
    links, port, offsets = (arguments.get(name) for name in ("links", "port", "offsets"))
    if not (isinstance(links, list) and isinstance(offsets, list) and isinstance(port, int)):
        return "refused", None, [f"nodes.{node}: want links, port and offsets of its new place"]
    own = runs_with.nodes[node]
    reasons = []
    for link in links[:LINKS_MAX]:
        here = link in own.links
        wanted = [port + offset for offset in offsets[:PORTS]]
        if here and _bind(str(link), 0):
            continue  # a link of its own that is dead now: it may be as dead in its next life
        taken = [p for p in wanted if not (here and own.port <= p < own.port + PORTS)]
        reasons += [f"nodes.{node}: {why}" for why in _against(str(link), taken)]
    return ("refused" if reasons else "done"), None, reasons


def _against(address: str, ports: list[int]) -> list[str]:
    """Why these ports of an address cannot be had; ports that this node has already are not asked for."""
    missing = _bind(address, 0)
    if missing:
        return [f"{address} is no address of its machine now ({missing})"]
    busy = [str(port) for port in ports if _bind(address, port)]
    return [f"{address}: port {', '.join(busy)} is taken by another program"] if busy else []


def _bind(address: str, port: int) -> str:
    """Return why this address and port cannot be bound; empty: they can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except (OSError, OverflowError) as error:
            return str(getattr(error, "strerror", "") or error)
    return ""
