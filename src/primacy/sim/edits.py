"""What operators alter in the configuration table: each edit takes a table and returns another one.

An edit has a name, who or what it is about, and an amount. One that finds nothing to alter returns the table as it is.

    slower   all times that count for roles are so many times as long (or as short)
    priority, eligible, ineligible   of a node; renumber, relink: it listens at another place
    enter, enter-ineligible, leave   a node is added, or removed
    add, alter, hook, drop   of a service: hook registers one more callback for it
    options   whether spares are promoted by themselves
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from primacy.config import PORTS, Callback, Table
from primacy.machines.timing import Timing
from primacy.sim import tables
from primacy.sim.settings import Settings

Edit = Callable[[Table, str, float], Table]
HOOK = Callback("switchover", "middle", level=4)


def edited(table: Table, names: str, about: str, amount: float, settings: Settings) -> Table:
    """Return the table after these edits (joined by `+`)."""
    for name in names.split("+"):
        if name == "add":
            table = _added(table, about, settings)
        else:
            table = _EDITS[name](table, about, amount)
    return table


def _slower(table: Table, about: str, times: float) -> Table:
    old = table.wanted_times
    grace_ms = old.grace_ms * times
    new = Timing(
        beat_ms=old.beat_ms * times,
        lease_ms=old.lease_ms * times,
        grace_ms=grace_ms,
        member_ms=max(old.member_ms, old.beat_ms * times),
        formation_ms=max(old.formation_ms, grace_ms),
    )
    return msgspec.structs.replace(table, timing=new)


def _priority(table: Table, about: str, amount: float) -> Table:
    return _with_node(table, about, priority=int(amount))


def _renumber(table: Table, about: str, amount: float) -> Table:
    """The block of ports is another one, so the node restarts at another place."""
    row = table.nodes.get(about)
    return _with_node(table, about, port=row.port + PORTS * (1 + int(amount))) if row is not None else table


def _relink(table: Table, about: str, amount: float) -> Table:
    """One of its two links has another address."""
    row = table.nodes.get(about)
    if row is None:
        return table
    links = list(row.links)
    links[int(amount) % len(links)] = (
        f"{row.links[int(amount) % len(links)].rpartition('.')[0]}.{200 + int(amount)}"
    )
    return _with_node(table, about, links=links)


def _eligible(table: Table, about: str, amount: float) -> Table:
    return _with_node(table, about, eligible=True)


def _ineligible(table: Table, about: str, amount: float) -> Table:
    return _with_node(table, about, eligible=False)


def _with_node(table: Table, about: str, **fields: object) -> Table:
    if about not in table.nodes:
        return table
    row = msgspec.structs.replace(table.nodes[about], **fields)
    return msgspec.structs.replace(table, nodes=table.nodes | {about: row})


def _enter(table: Table, about: str, amount: float, *, eligible: bool = True) -> Table:
    if not about or about in table.nodes:
        return table
    return msgspec.structs.replace(
        table, nodes=table.nodes | {about: tables.row_of(about, eligible=eligible)}
    )


def _enter_ineligible(table: Table, about: str, amount: float) -> Table:
    return _enter(table, about, amount, eligible=False)


def _leave(table: Table, about: str, amount: float) -> Table:
    left = {node: row for node, row in table.nodes.items() if node != about}
    return msgspec.structs.replace(table, nodes=left)


def _added(table: Table, about: str, settings: Settings) -> Table:
    if about in table.services or all(row.id != about for row in settings.more):
        return table
    row = tables.service_of(settings.row(about))
    return msgspec.structs.replace(table, services=table.services | {about: row})


def _drop(table: Table, about: str, amount: float) -> Table:
    left = {service: row for service, row in table.services.items() if service != about}
    return msgspec.structs.replace(table, services=left)


def _alter(table: Table, about: str, amount: float) -> Table:
    return _with_service(table, about, mirror_timeout_s=max(1.0, amount))


def _hook(table: Table, about: str, amount: float) -> Table:
    return _with_service(table, about, callbacks=[HOOK])


def _with_service(table: Table, about: str, **fields: object) -> Table:
    if about not in table.services:
        return table
    row = msgspec.structs.replace(table.services[about], **fields)
    return msgspec.structs.replace(table, services=table.services | {about: row})


def _options(table: Table, about: str, amount: float) -> Table:
    cluster = msgspec.structs.replace(table.cluster, auto_promote=not table.cluster.auto_promote)
    return msgspec.structs.replace(table, cluster=cluster)


_EDITS: dict[str, Edit] = {
    "slower": _slower,
    "priority": _priority,
    "renumber": _renumber,
    "relink": _relink,
    "eligible": _eligible,
    "ineligible": _ineligible,
    "enter": _enter,
    "enter-ineligible": _enter_ineligible,
    "leave": _leave,
    "drop": _drop,
    "alter": _alter,
    "hook": _hook,
    "options": _options,
}
NAMES = (*_EDITS, "add")
