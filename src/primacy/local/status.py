"""What is known of a local cluster when no agent answers: its table, and which of its processes are there.

In the form of `status --json`, so that whoever reads that need not care; nothing is in service, every node
is out, and `waits` says why.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from primacy import config
from primacy.errors import ConfigError
from primacy.local import faults
from primacy.local.layout import Layout
from primacy.local.processes import guardian_of
from primacy.machines import maintenance


def local_status(layout: Layout) -> dict[str, Any]:
    """Return the status of a cluster of which no agent answers."""
    try:
        table = config.load(layout.table)
    except ConfigError as error:
        return {**_empty("?"), "waits": [str(error)]}
    status = _empty(table.cluster.name)
    frozen, running = [], []
    for node, row in sorted(table.nodes.items()):
        directory = layout.node(node)
        if faults.is_frozen(directory):
            frozen.append(node)
        elif guardian_of(directory) is not None:
            running.append(node)
        status["nodes"].append({
            "id": node, "incarnation": "", "role": "out", "eligible": row.eligible,
            "links": [{"address": address, "up": False} for address in row.links],
            "servers": {}, "function": None, "level": 0,
        })  # fmt: skip
    if not frozen and not running:
        status["waits"].append(f"no node runs: `primacy up --dir {layout.root}` starts them")
    if running:
        status["waits"].append(
            f"no agent answers, though the guardians of {', '.join(running)} run: see their node.log"
        )
    status["maintenance"] = _maintenance(layout, list(table.nodes))
    status["waits"] += [f"{node} is frozen: `primacy kill {node} --how thaw`" for node in frozen]
    return status


def _maintenance(layout: Layout, nodes: list[str]) -> list[dict[str, Any]]:
    """What the nodes' files say is in maintenance."""
    known = maintenance.Maintenance("")
    now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
    for node in nodes:
        path = layout.maintenance(node)
        with contextlib.suppress(OSError, ConfigError):
            for scope, notice in maintenance.decode_all(path.read_bytes(), str(path)).items():
                known.learned(scope, notice, now_ns, wall_ns)
    return known.shown(now_ns)


def _empty(name: str) -> dict[str, Any]:
    return {
        "cluster": name, "term": 0, "master": None, "vice": None, "vice_ready": False, "in_service": False,
        "maintenance": [], "waits": [], "nodes": [], "services": [],
    }  # fmt: skip
