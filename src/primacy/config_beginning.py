"""What a configuration table says to the machines of a node: at the beginning of a life, and while that life goes on.

    table + records of its nodes  ->  what the two machines begin with
    the table that a life goes by, and a newer one  ->  what it goes by from now on, and the inputs that say so

A life takes over at once all but what its restart takes: services that are new or altered. (Where it listens it may not
take over either; its driver keeps the places of the lives that run.)  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from primacy.config import Service, Table
from primacy.machines import coordination, membership
from primacy.machines.beginning import Beginning
from primacy.machines.coordination import ServiceEntry
from primacy.machines.host_wire import Callback
from primacy.machines.ids import Member
from primacy.machines.membership import NodeEntry
from primacy.machines.records import NodeRecord


def beginning(
    me: Member,
    cluster: str,
    table: Table,
    entries: tuple[NodeEntry, ...],
    now_ns: int,
    failures: dict[str, tuple[int, int]] | None = None,
) -> Beginning:
    """Return what the machines of this life of the node begin with. failures: what the last one told of servers."""
    local = [s for s, row in table.services.items() if row.local]
    return Beginning(
        me=me,
        cluster=cluster,
        now_ns=now_ns,
        timing=table.times,
        nodes=entries,
        volatile=any(table.service(s).durability == "memory" for s in table.centralized()),
        availability=table.cluster.cold_start == "availability",
        services=tuple(
            ServiceEntry(
                s,
                row.local,
                row.restart_in_place,
                row.durability == "memory",
                _registered(row),
                row.recovery.limits(),
            )
            for s, row in ((s, table.service(s)) for s in [*table.centralized(), *local])
        ),
        addresses=addresses(table),
        auto_promote=table.cluster.auto_promote,
        failures=failures or {},
    )


def addresses(table: Table) -> dict[str, dict[str, list[tuple[str, int]]]]:
    """Return, per node and centralized service, where its host listens."""
    return {n: {s: table.service_addresses(n, s) for s in table.centralized()} for n in table.nodes}


def _registered(row: Service) -> tuple[Callback, ...]:
    """Return the callbacks that the table registers for a service."""
    return tuple(
        Callback(c.function, c.level, c.name, c.timeout_s, c.on_failure, c.retries, c.delay_s)
        for c in row.callbacks
    )


def with_records(table: Table, records: Mapping[str, NodeRecord]) -> tuple[NodeEntry, ...]:
    """Return the table's nodes with what their records say of them; a node without one is as the table says."""
    found = []
    for entry in table.entries():
        record = records.get(entry.id)
        if record is not None:
            entry = msgspec.structs.replace(entry, eligible=record.eligible, available=record.available)
        found.append(entry)
    return tuple(found)


def taken_over(running: Table, newer: Table, node: str) -> tuple[Table, tuple[str, ...]]:
    """Return the table that a life of this node goes by from now on, and the services that are gone.

    running: the one that it has gone by. A node that is in the newer table no more keeps its row: its end is near.
    """
    kept = {s: row for s, row in running.services.items() if s in newer.services}
    gone = tuple(s for s in running.services if s not in newer.services)
    row = newer.nodes.get(node, running.nodes[node])
    return msgspec.structs.replace(newer, nodes=newer.nodes | {node: row}, services=kept), gone


def news(
    table: Table, gone: tuple[str, ...], now_ns: int
) -> tuple[membership.Input | coordination.Input, ...]:
    """Return what the machines of a life are told, in order, when it goes by this table from now on."""
    availability = table.cluster.cold_start == "availability"
    told: tuple[membership.Input | coordination.Input, ...] = (
        coordination.SettingsChanged(
            now_ns=now_ns, addresses=addresses(table), auto_promote=table.cluster.auto_promote
        ),
        membership.Retimed(now_ns=now_ns, timing=table.times, availability=availability),
    )
    return (*told, coordination.ServicesGone(now_ns=now_ns, services=gone)) if gone else told
