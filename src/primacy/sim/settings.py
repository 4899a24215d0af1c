"""What all nodes of a simulated cluster have in common at first: times, services and the table (see tables.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from primacy.machines.ids import SECOND
from primacy.machines.membership import NodeEntry
from primacy.machines.rungs import Limits
from primacy.machines.timing import Timing
from primacy.service import LocalService, Service
from primacy.services.naming import Naming
from primacy.sim.logbook import Door, Logbook

CLUSTER = "simulation"
LIMITS = Limits(pause_ns_max=4 * SECOND)
"""A server that fails again and again rests for less than the time in which a healed cluster must be whole."""


class Row(NamedTuple):
    """One service of the cluster, and the class that its hosts run."""

    id: str
    make: type[Service[Any]] | type[LocalService]
    durability: str = "disk"

    @property
    def local(self) -> bool:
        """Whether it is a local service."""
        return issubclass(self.make, LocalService)


NAMING, LOGBOOK, DOOR = "naming", "logbook", "door"


def rows(durability: str) -> tuple[Row, ...]:
    """Return the services of every world: naming, the checkers' logbook (of this durability), a local one."""
    return Row(NAMING, Naming), Row(LOGBOOK, Logbook, durability), Row(DOOR, Door)


MORE = Row("notes", Naming), Row("gate", Door)


@dataclass(frozen=True, slots=True)
class Settings:
    """See the module. more: services that are not in the table at first, and may be added."""

    timing: Timing
    rows: tuple[Row, ...]
    snapshot_every: int
    table: tuple[NodeEntry, ...]
    availability: bool
    auto_promote: bool = True
    subject: str = LOGBOOK  # the service that a fault means when it names none
    more: tuple[Row, ...] = MORE
    uptime_times: int = 1  # so many times faster than its clock a service counts its uptime

    @property
    def volatile(self) -> bool:
        """Whether some centralized service keeps its state in memory only."""
        return any(row.durability == "memory" for row in self.rows if not row.local)

    @property
    def centralized(self) -> tuple[str, ...]:
        """The ids of the centralized services."""
        return tuple(row.id for row in self.rows if not row.local)

    def row(self, service: str) -> Row:
        """The row of a service, be it of those that may be added."""
        return next(row for row in (*self.rows, *self.more) if row.id == service)
