"""What a simulated agent knows of the ledger beside the mastership: the table, the nodes, what is in maintenance.

Every change is given to the machines in the order of its revision, as the real agent does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from primacy.config import Table
from primacy.config_beginning import with_records
from primacy.machines import coordination, membership
from primacy.machines.events import Event
from primacy.machines.ids import FOREVER_NS, MS
from primacy.machines.maintenance import PREFIX, Maintenance, Notice, decode, decode_all, encode, encode_all
from primacy.machines.membership import NodeEntry
from primacy.machines.records import (
    CONFIG,
    NODES,
    OPERATION,
    NodeRecord,
    Operations,
    decode_node,
    decode_operations,
)
from primacy.sim import tables
from primacy.sim.scheduler import Clock, Scheduler

SAVE_NS = 3 * MS


def entries_in(rows: Mapping[str, bytes], at_first: tuple[NodeEntry, ...]) -> tuple[NodeEntry, ...]:
    """Return the nodes of the ledger's table with what their records say of them.

    at_first: of nodes that have no record yet, whether they are kept back.
    """
    table = tables.decode(rows[CONFIG])
    keys = {node: rows.get(f"{NODES}{node}") for node in table.nodes}
    records = {node: decode_node(value, node) for node, value in keys.items() if value is not None}
    return _entries(table, at_first, records)


def _entries(
    table: Table, at_first: tuple[NodeEntry, ...], records: dict[str, NodeRecord]
) -> tuple[NodeEntry, ...]:
    back = {entry.id for entry in at_first if not entry.available and entry.id not in records}
    return tuple(
        msgspec.structs.replace(entry, available=False) if entry.id in back else entry
        for entry in with_records(table, records)
    )


class Records:
    """rows: the records as they were read before this life began. post(input): gives it to its machine.

    on_table(table): the table in force is another one. operations: the functions of the cluster.
    """

    def __init__(
        self,
        rows: Mapping[str, bytes],
        at_first: tuple[NodeEntry, ...],
        clock: Clock,
        post: Callable[[Any], None],
    ) -> None:
        self._at_first, self._clock, self._post = at_first, clock, post
        self.entries = entries_in(rows, at_first)
        self.table, self.table_revision = tables.decode(rows[CONFIG]), 0
        self.operations = Operations()
        self.on_table: Callable[[Table], None] = lambda table: None
        self._nodes = {e.id: NodeRecord(eligible=e.eligible, available=e.available) for e in self.entries}

    def told(self, key: str, revision: int, value: bytes | None) -> None:
        """The ledger tells a record, or a change of it."""
        if key.startswith(NODES):
            node = key.removeprefix(NODES)
            if value is None:
                self._nodes.pop(node, None)
            else:
                self._nodes[node] = decode_node(value, node)
            self._tell_nodes()
        elif key == OPERATION:
            self.operations = decode_operations(value) if value is not None else Operations()
        elif key == CONFIG and value is not None:
            self._in_force(revision, tables.decode(value))
        now_ns = self._clock.now_ns
        self._post(coordination.RecordChanged(now_ns=now_ns, key=key, revision=revision, value=value))

    def _in_force(self, revision: int, table: Table) -> None:
        self.table_revision = revision
        if table != self.table:
            self.table = table
            self._tell_nodes()
            self.on_table(table)

    def without(self, node: str) -> bytes | None:
        """Return the table without this node; None when it is gone already, or nobody could be master then."""
        left = {id: row for id, row in self.table.nodes.items() if id != node}
        if len(left) == len(self.table.nodes) or not any(row.eligible for row in left.values()):
            return None
        return tables.encode(msgspec.structs.replace(self.table, nodes=left))

    def _tell_nodes(self) -> None:
        entries = _entries(self.table, self._at_first, self._nodes)
        if entries != self.entries:
            self.entries = entries
            now_ns = self._clock.now_ns
            self._post(membership.TableChanged(now_ns=now_ns, nodes=entries))
            self._post(coordination.NodesChanged(now_ns=now_ns, nodes=entries))


class File:
    """A small file of a node: written as a whole, a moment after it was asked for; it outlives the node's lives."""

    def __init__(self) -> None:
        self.content = b""


class Keeper:
    """What is in maintenance, as one agent knows it. file: this node's own.

    timer(at_ns, action): calls it at this true instant, if this life goes on so long.
    """

    def __init__(
        self,
        node: str,
        file: File,
        scheduler: Scheduler,
        clock: Clock,
        post: Callable[[Any], None],
        publish: Callable[[Event], None],
        timer: Callable[..., None],
    ) -> None:
        self._machine = Maintenance(node)
        self._file, self._scheduler, self._clock = file, scheduler, clock
        self._post, self._publish, self._timer = post, publish, timer
        self._revisions: dict[str, int] = {}
        self._wake_ns = FOREVER_NS
        self._saving = False
        self._early: list[Event] = []  # events of what was known before the node began
        if file.content:
            for scope, notice in decode_all(file.content, "maintenance.json").items():
                self._early += self._machine.learned(scope, notice, clock.now_ns, clock.wall_ns)

    def start(self) -> None:
        """Tell the monitor what is known, before it takes anything else."""
        early, self._early = self._early, []
        self._changed(early)

    def given(self, key: str, revision: int, value: bytes | None) -> None:
        """A record as the ledger has it, if it is about maintenance."""
        if not key.startswith(PREFIX):
            return
        scope = key.removeprefix(PREFIX)
        self._revisions[scope] = revision if value is not None else 0
        if value is None:
            return
        notice = decode(value, key)
        newer = notice.serial > self._machine.serial(scope)
        self._changed(self._machine.learned(scope, notice, self._clock.now_ns, self._clock.wall_ns))
        if newer and not self._saving:
            self._saving = True
            self._timer(self._scheduler.now_ns + SAVE_NS, self._save)

    def is_on(self, scope: str) -> bool:
        """Whether the cluster (or this node) is in maintenance, as this node knows it."""
        return self._machine.is_on(scope)

    def _save(self) -> None:
        self._saving = False
        self._file.content = encode_all(self._machine.notices())

    def notice(self, scope: str, *, on: bool, for_ns: int) -> tuple[str, int, bytes]:
        """Return what an operator's word makes of a scope: (key, expected revision, value)."""
        now_ns = self._clock.wall_ns
        serial = self._machine.serial(scope) + 1
        until_ns = now_ns + for_ns if on and for_ns else 0
        notice = Notice(on, serial, "an operator", "a test", now_ns, until_ns)
        return PREFIX + scope, self._revisions.get(scope, 0), encode(notice)

    def _changed(self, events: list[Event]) -> None:
        told = self._machine.as_input(self._clock.now_ns)
        self._post(told)
        self._post(coordination.Maintained(now_ns=told.now_ns, cluster=told.cluster, nodes=told.nodes))
        for event in events:
            self._publish(event)
        wake_ns = self._machine.wake_ns
        if wake_ns != FOREVER_NS and wake_ns != self._wake_ns:
            self._wake_ns = wake_ns
            self._timer(self._clock.true_ns(wake_ns), self._tick)

    def _tick(self) -> None:
        self._wake_ns = FOREVER_NS
        self._changed(self._machine.tick(self._clock.now_ns))
