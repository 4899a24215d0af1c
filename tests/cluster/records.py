"""What the agents of a real cluster have recorded, replayed and judged after it has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

from primacy.sim import trace
from tests.cluster.cluster_tools import Live

RECORD = "record"


def records(live: Live) -> list[Path]:
    """The directories in which the nodes of a cluster have recorded."""
    return [live.layout.node(node) / RECORD for node in live.layout.nodes()]


async def holds(live: Live) -> trace.Report:
    """End a cluster, replay what its agents recorded, and judge it; nothing may be violated."""
    await asyncio.to_thread(live.end)
    report = await asyncio.to_thread(trace.check, records(live))
    assert report.status == trace.HOLDS, trace.render(report)
    assert {each.replay for each in report.lives} == {"same"}, trace.render(report)
    return report
