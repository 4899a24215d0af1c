"""What the machines of a node are asked for, and the opening words to its hosts, made from the configuration table."""

from __future__ import annotations

from pathlib import Path

from primacy.boot import Boot
from primacy.config import Table
from primacy.machines.coordination import Facts, facts_from
from primacy.machines.host_wire import Open
from primacy.machines.ids import Member
from primacy.machines.mastership import Monitor
from primacy.machines.membership import NodeEntry


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
