"""The end of a node whose power is off: its stopped processes are killed once the cluster goes on without it.

A process of its own, started detached by `begin`, so that stopped processes never stay behind when the
command that stopped them is interrupted. Until the rest of the cluster has moved on nothing of the node is
touched: the death of a process would close its connections, and the others would hear it.

    python -m primacy.local.late_kill DIR NODE MASTER TERM LIMIT_S PID:START_TIME...

The guardian is the first of the processes and is killed last. Exit code 0: the cluster went on; 4: it did
not within the limit (the processes are killed all the same).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from primacy.local import faults
from primacy.local.layout import Layout
from primacy.local.processes import Process
from primacy.local.successor import left_behind
from primacy.machines.control_wire import Topology

EXIT_ALONE = 4
LIMIT_S = 20.0


def begin(
    layout: Layout, node: str, before: Topology | None, frozen: Sequence[Process], limit_s: float = LIMIT_S
) -> subprocess.Popen[bytes]:
    """Start the process that kills `frozen`, and return it; nobody needs to wait for it."""
    words = [
        str(layout.root),
        node,
        before.master if before else "",
        str(before.term if before else 0),
        str(limit_s),
    ]
    words += [f"{each.pid}:{each.start_time}" for each in frozen]
    with open(layout.log(node), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "primacy.local.late_kill", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=os.environ,
            start_new_session=True,
        )


def main(argv: Sequence[str]) -> int:
    """Wait for the cluster, kill, and return the exit code."""
    root, node, master, term, limit_s, *words = argv
    frozen = [Process(*map(int, word.split(":"))) for word in words]
    before = Topology("", int(term), master, "", False, []) if int(term) else None
    try:
        now = asyncio.run(left_behind(Layout(Path(root)), node, before, float(limit_s)))
    finally:
        faults.end(frozen)
    return 0 if now is not None else EXIT_ALONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
