"""What a node costs that has nothing to do: processor time and memory of all its processes."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from primacy.bench.cluster import Say, Setup, running
from primacy.local.layout import Layout
from primacy.local.processes import Process, processes_of

SETTLE_S = 5.0
SECONDS = 30.0


@dataclass(frozen=True)
class Cost:
    """The cost of one node; `cpu_percent` of one core, `pss_mib` of all its processes together."""

    node: str
    role: str
    processes: int
    cpu_percent: float
    pss_mib: float

    def plain(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "node": self.node,
            "role": self.role,
            "processes": self.processes,
            "cpu_percent": round(self.cpu_percent, 2),
            "pss_mib": round(self.pss_mib, 1),
        }


async def idle(setup: Setup, say: Say, seconds: float = SECONDS) -> list[Cost]:
    """Return the cost of each node of a cluster that is left alone for a while."""
    async with running(setup, say) as (layout, cluster):
        topology = cluster.topology
        await asyncio.sleep(SETTLE_S)
        say(f"idle for {seconds:g} s")
        before = _used_s(layout)
        await asyncio.sleep(seconds)
        after = _used_s(layout)
        costs = []
        for node in layout.nodes():
            processes = processes_of(layout.node(node))
            used_s = sum(after[node][each] - before[node].get(each, 0.0) for each in after[node])
            role = {topology.master: "master", topology.vice: "vice"}.get(node, "available")
            costs.append(Cost(node, role, len(processes), used_s / seconds * 100, pss_mib(processes)))
        return costs


def pss_mib(processes: list[Process]) -> float:
    """Return the memory of these processes; what several share counts for each in proportion."""
    total_kib = 0
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    return total_kib / 1024


def cpu_s(process: Process) -> float:
    """Return the processor time that a process has used, in the kernel and outside."""
    text = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text[text.rfind(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _used_s(layout: Layout) -> dict[str, dict[Process, float]]:
    return {node: {each: cpu_s(each) for each in processes_of(layout.node(node))} for node in layout.nodes()}
