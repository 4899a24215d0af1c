"""What a simulated primary does by the clock: the mirror's judgement, and how far its log is, for its agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines import host_wire
from primacy.machines.ids import MS, SECOND
from primacy.machines.mirror import Primary

if TYPE_CHECKING:
    from primacy.sim.host import Host

TICK_NS = 200 * MS
PROGRESS_NS = SECOND


class Ticking:
    """One timer of each kind at most is set, and none while there is nothing to look for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tick_due = self._progress_due = False
        self._told: host_wire.Progress | None = None

    def look(self, machine: Primary) -> None:
        """The mirror judges by the clock while something waits for the vice, and needs none otherwise."""
        host = self._host
        if machine.held and machine.acknowledged_upto < machine.sequence:
            if not self._tick_due:
                self._tick_due = True
                host.timer(host.scheduler.now_ns + TICK_NS, self._tick)
        elif not machine.held:
            self.want_progress()

    def _tick(self) -> None:
        self._tick_due = False
        host = self._host
        if isinstance(host.machine, Primary):
            host.obey(host.machine.tick(host.clock.now_ns))

    def want_progress(self) -> None:
        """The agent counts on what a primary that is alone has on disk; of others it only shows how far they are."""
        host = self._host
        if not self._progress_due:
            self._progress_due = True
            host.timer(host.scheduler.now_ns + PROGRESS_NS, self._tell_progress)

    def _tell_progress(self) -> None:
        self._progress_due = False
        host = self._host
        machine = host.machine
        if not isinstance(machine, Primary):
            return
        upto = machine.sequence, machine.acknowledged_upto, host.writer.journal.synced_upto
        progress = host_wire.Progress(host.term, *upto)
        if progress != self._told:
            self._told = progress
            host.tell(progress)
