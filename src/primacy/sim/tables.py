"""The configuration table of a simulated cluster: that of production, its services by the names of their classes.

Machines that are not in the table at first may be added to it. What a life begins with is made by the same code as in
production, but for how long a failing server rests.
"""

from __future__ import annotations

import functools

import msgspec

from primacy import config, config_beginning
from primacy.config import Cluster, Service, Table
from primacy.machines.beginning import Beginning
from primacy.machines.ids import Member
from primacy.machines.membership import NodeEntry
from primacy.machines.rungs import Limits
from primacy.sim.settings import CLUSTER, LIMITS, NAMING, Row, Settings

_tables = msgspec.json.Decoder(Table)
_NUMBERS = {"n": 0, "x": 100}  # machines that may be added are x1, x2 ...


def encode(table: Table) -> bytes:
    """Return the table as the ledger holds it."""
    return config.encode(table)


@functools.lru_cache(maxsize=64)
def decode(value: bytes) -> Table:
    """Return the table in a record: whoever wrote it has checked it."""
    return _tables.decode(value)


def at_first(settings: Settings) -> Table:
    """Return the table with which the cluster begins."""
    return Table(
        nodes={entry.id: row_of(entry.id, eligible=entry.eligible) for entry in settings.table},
        cluster=Cluster(
            name=CLUSTER,
            cold_start="availability" if settings.availability else "integrity",
            auto_promote=settings.auto_promote,
        ),
        timing=settings.timing,
        services={row.id: service_of(row) for row in settings.rows if row.id != NAMING},
    )


def row_of(node: str, *, eligible: bool) -> config.Node:
    """Return the row of a machine: two links, and a port of its own."""
    number = _NUMBERS[node[0]] + int(node[1:])
    return config.Node(links=[f"10.0.{link}.{number}" for link in (1, 2)], eligible=eligible)


def service_of(row: Row) -> Service:
    """Return a service as the table has it."""
    where = f"{row.make.__module__}:{row.make.__qualname__}"
    return Service(python=where, durability=row.durability, local=row.local)


def beginning(
    me: Member,
    table: Table,
    entries: tuple[NodeEntry, ...],
    now_ns: int,
    failures: dict[str, tuple[int, int]],
    limits: Limits = LIMITS,
) -> Beginning:
    """Return what a life begins with. limits: how its failing servers are recovered."""
    begins = config_beginning.beginning(me, CLUSTER, table, entries, now_ns, failures)
    services = tuple(msgspec.structs.replace(entry, recovery=limits) for entry in begins.services)
    return msgspec.structs.replace(begins, services=services)
