"""What a simulated primary tells its agent of how far it is, at most once a second and only what is new.

The agent counts on what a primary that is alone has on disk; of others it only shows how far they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines import host_wire
from primacy.machines.ids import SECOND
from primacy.machines.mirror import Primary

if TYPE_CHECKING:
    from primacy.sim.host import Host

PROGRESS_NS = SECOND


class Progress:
    """Of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._due = False
        self._told: host_wire.Progress | None = None

    def want(self) -> None:
        """Tell it soon."""
        if not self._due:
            self._due = True
            self._host.timer(self._host.scheduler.now_ns + PROGRESS_NS, self._tell)

    def _tell(self) -> None:
        self._due = False
        host, machine = self._host, self._host.machine
        if not isinstance(machine, Primary):
            return
        upto = machine.sequence, machine.acknowledged_upto, host.writer.journal.synced_upto
        progress = host_wire.Progress(host.term, *upto)
        if progress != self._told:
            self._told = progress
            host.tell(progress)
