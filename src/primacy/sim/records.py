"""What a simulated agent knows of the ledger beside the mastership: the table, the nodes, what is in maintenance.

The configuration table of a simulated cluster is the list of its nodes. Every change is given to the machines in the
order of its revision, as the real agent does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from primacy.machines import coordination, membership
from primacy.machines.events import Event
from primacy.machines.ids import FOREVER_NS
from primacy.machines.maintenance import PREFIX, Maintenance, Notice, decode, encode
from primacy.machines.membership import NodeEntry
from primacy.machines.records import CONFIG, NODES, NodeRecord, decode_node
from primacy.sim.scheduler import Clock, Scheduler

_ids = msgspec.json.Decoder(tuple[str, ...])


def encode_table(nodes: tuple[str, ...]) -> bytes:
    """Return the configuration table with these nodes."""
    return msgspec.json.encode(nodes)


def decode_table(value: bytes) -> tuple[str, ...]:
    """Return the nodes in a configuration table."""
    return _ids.decode(value)


def entries_in(rows: Mapping[str, bytes], table: tuple[NodeEntry, ...]) -> tuple[NodeEntry, ...]:
    """Return the nodes of the ledger's table with what their records say of them."""
    present = decode_table(rows[CONFIG])
    keys = {node: rows.get(f"{NODES}{node}") for node in present}
    records = {node: decode_node(value, node) for node, value in keys.items() if value is not None}
    return _with_records(table, present, records)


def _with_records(
    table: tuple[NodeEntry, ...], present: tuple[str, ...], records: dict[str, NodeRecord]
) -> tuple[NodeEntry, ...]:
    """Return the nodes that are present; one without a record is as the table says."""
    found = []
    for entry in table:
        record = records.get(entry.id)
        if record is not None:
            entry = msgspec.structs.replace(entry, eligible=record.eligible, available=record.available)
        if entry.id in present:
            found.append(entry)
    return tuple(found)


class Records:
    """rows: the records as they were read before this life began. post(input): gives it to its machine."""

    def __init__(
        self,
        rows: Mapping[str, bytes],
        table: tuple[NodeEntry, ...],
        clock: Clock,
        post: Callable[[Any], None],
    ) -> None:
        self._table, self._clock, self._post = table, clock, post
        self.entries = entries_in(rows, table)
        self._present = decode_table(rows[CONFIG])
        self._nodes = {e.id: NodeRecord(eligible=e.eligible, available=e.available) for e in self.entries}
        self.table_revision = 0

    def told(self, key: str, revision: int, value: bytes | None) -> None:
        """The ledger tells a record, or a change of it."""
        if key.startswith(NODES):
            node = key.removeprefix(NODES)
            if value is None:
                self._nodes.pop(node, None)
            else:
                self._nodes[node] = decode_node(value, node)
            self._tell_nodes()
        elif key == CONFIG and value is not None:
            self.table_revision, self._present = revision, decode_table(value)
            self._tell_nodes()
        now_ns = self._clock.now_ns
        self._post(coordination.RecordChanged(now_ns=now_ns, key=key, revision=revision, value=value))

    def without(self, node: str) -> bytes:
        """Return the table without this node."""
        return encode_table(tuple(id for id in self._present if id != node))

    def _tell_nodes(self) -> None:
        entries = _with_records(self._table, self._present, self._nodes)
        if entries != self.entries:
            self.entries = entries
            now_ns = self._clock.now_ns
            self._post(membership.TableChanged(now_ns=now_ns, nodes=entries))
            self._post(coordination.NodesChanged(now_ns=now_ns, nodes=entries))


class Keeper:
    """What is in maintenance, as one agent knows it. kept: this node's own file, which outlives its lives.

    timer(at_ns, action): calls it at this instant of the node's clock.
    """

    def __init__(
        self,
        node: str,
        kept: dict[str, Notice],
        scheduler: Scheduler,
        clock: Clock,
        post: Callable[[Any], None],
        publish: Callable[[Event], None],
        timer: Callable[..., None],
    ) -> None:
        self._machine = Maintenance(node)
        self._kept, self._scheduler, self._clock = kept, scheduler, clock
        self._post, self._publish, self._timer = post, publish, timer
        self._revisions: dict[str, int] = {}
        self._wake_ns = FOREVER_NS
        for scope, notice in kept.items():
            self._machine.learned(scope, notice, clock.now_ns, clock.wall_ns)

    def start(self) -> None:
        """Tell the monitor what is known, before it takes anything else."""
        self._changed([])

    def given(self, key: str, revision: int, value: bytes | None) -> None:
        """A record as the ledger has it, if it is about maintenance."""
        if not key.startswith(PREFIX):
            return
        scope = key.removeprefix(PREFIX)
        self._revisions[scope] = revision if value is not None else 0
        if value is None:
            return
        notice = decode(value, key)
        if notice.serial > self._machine.serial(scope):
            self._kept[scope] = notice
        self._changed(self._machine.learned(scope, notice, self._clock.now_ns, self._clock.wall_ns))

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
