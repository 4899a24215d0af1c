"""What the machines of a node begin with, and the opening words to its hosts, made from the configuration table."""

from __future__ import annotations

from pathlib import Path

from primacy.boot import Boot
from primacy.config import Service, Table
from primacy.machines.beginning import Beginning
from primacy.machines.coordination import Facts, ServiceEntry, facts_from
from primacy.machines.host_wire import Callback, Open
from primacy.machines.ids import Member
from primacy.machines.mastership import Monitor
from primacy.machines.membership import NodeEntry


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


def facts(monitor: Monitor, members: tuple[str, ...], entries: tuple[NodeEntry, ...], now_ns: int) -> Facts:
    """Return what the monitor knows now: the inputs of all preconditions."""
    return facts_from(
        monitor.record,
        monitor.role,
        members,
        entries,
        lease_held=monitor.master.lease.held(now_ns),
        swap_open=monitor.swap is not None,
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


def opening(me: Member, cluster: str, boot: Boot, table: Table, service: str) -> Open:
    """Return the first message to the host of a service."""
    row = table.service(service)
    return Open(
        cluster=cluster,
        node=me.node,
        incarnation=me.incarnation,
        service=service,
        target=row.python,
        path=row.path,
        directory=str(Path(boot.directory) / "services" / service),
        durability=row.durability,
        listen=[] if row.local else table.service_addresses(me.node, service),
        certificate=boot.certificate,
        key=boot.private_key,
        authority=boot.authority,
        mirror_timeout_s=row.mirror_timeout_s,
        local=row.local,
    )
