"""What this agent knows of the ledger: the mastership for the monitor, all other records for the coordinator.

The ledger is watched as a whole; every change is told to the machines in the order of its revision. Nothing waits for
it: a question is answered later, by an input. A record that cannot be read is told once and left as it was.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from primacy import config
from primacy.agent.ledger_line import LedgerLine
from primacy.config import Table
from primacy.config_beginning import with_records
from primacy.errors import ConfigError
from primacy.lease_page import now_ns
from primacy.machines import coordination, membership
from primacy.machines.membership import NodeEntry
from primacy.machines.records import (
    CONFIG,
    NODES,
    OPERATION,
    Mastership,
    NodeRecord,
    Operation,
    Operations,
    decode_node,
    decode_operations,
)

Post = Callable[[membership.Input | coordination.Input], None]


class Records:
    """post(input): gives it to its machine. on_table(table): the configuration table has changed; on_nodes(entries): so
    have the nodes, by the table or by a record.
    """

    def __init__(self, table: Table, entries: tuple[NodeEntry, ...], line: LedgerLine, post: Post) -> None:
        self.entries = entries
        self.operations = Operations()
        self.on_other: list[Callable[[str, int, bytes | None], None]] = []  # key, revision, value: any record
        self.on_table: Callable[[Table], None] = lambda table: None
        self.on_nodes: Callable[[tuple[NodeEntry, ...]], None] = lambda entries: None
        self.change = ""  # at the master: what a change of the table waits for
        self.table = table
        self._nodes: dict[str, NodeRecord] = {
            e.id: NodeRecord(eligible=e.eligible, available=e.available) for e in entries
        }
        self._line, self._post = line, post
        self.table_revision = 0
        self._waiting: dict[str, list[asyncio.Future[Operation]]] = {}

    def start(self) -> None:
        """Begin to watch."""
        self._line.watch(lambda revision, record: self._learned(revision, record, None), self._other)

    # ---- the mastership ----

    def read(self) -> None:
        """Read the mastership record for the monitor."""
        asked_ns = now_ns()
        self._line.read(
            lambda revision, record: self._learned(revision, record, asked_ns),
            lambda: self._post(membership.ReadFailed(now_ns=now_ns())),
        )

    def swap(self, expect: int, record: Mastership, token: int) -> None:
        """Swap the mastership record for the monitor."""

        def answered(answer: membership.SwapAnswer, revision: int) -> None:
            self._post(membership.Swapped(now_ns=now_ns(), token=token, answer=answer, revision=revision))

        self._line.swap(expect, record, answered)

    def _learned(self, revision: int, record: Mastership | None, asked_ns: int | None) -> None:
        self._post(membership.Learned(now_ns=now_ns(), revision=revision, record=record, asked_ns=asked_ns))

    # ---- the others ----

    def swap_key(self, order: coordination.SwapKey) -> None:
        """Swap another record for the coordinator."""

        def answered(answer: membership.SwapAnswer, revision: int) -> None:
            self._post(
                coordination.KeySwapped(now_ns=now_ns(), token=order.token, answer=answer, revision=revision)
            )

        self._line.swap_key(order.key, order.expect, order.value, answered)

    def edit(self, order: coordination.EditTable) -> None:
        """Take a node out of the table; the watch tells what came of it."""
        try:
            wanted = config.without_node(self.table, order.remove)
        except ConfigError:  # it is gone already, or is the last one that could be master
            return
        if self.table_revision:
            self._line.swap_key(
                CONFIG, self.table_revision, config.encode(wanted), lambda answer, revision: None
            )

    async def ended(self, operation: str) -> Operation:
        """Wait until this operation has come to its end, and return it with its outcome."""
        known = self.operations.known(operation)
        if known is not None and known.outcome:
            return known
        future: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(operation, []).append(future)
        try:
            return await future
        finally:
            self._waiting[operation].remove(future)
            if not self._waiting[operation]:
                del self._waiting[operation]

    def _other(self, key: str, revision: int, value: bytes | None) -> None:
        for tell in self.on_other:
            tell(key, revision, value)
        try:
            if key.startswith(NODES):
                self._node(key.removeprefix(NODES), value)
            elif key == OPERATION:
                self._operations(value)
            elif key == CONFIG and value is not None:
                self._config(revision, value)
        except ConfigError as error:
            sys.stderr.write(f"agent: {error}; it is left as it was\n")
            return
        changed = coordination.RecordChanged(now_ns=now_ns(), key=key, revision=revision, value=value)
        self._post(changed)

    def _node(self, node: str, value: bytes | None) -> None:
        if value is None:
            self._nodes.pop(node, None)
        else:
            self._nodes[node] = decode_node(value, node)
        self._tell_nodes()

    def _config(self, revision: int, value: bytes) -> None:
        table = config.decode(value)
        self.table_revision = revision
        if table != self.table:
            self.table = table
            self._tell_nodes()
            self.on_table(table)

    def _operations(self, value: bytes | None) -> None:
        self.operations = decode_operations(value) if value is not None else Operations()
        for ended in self.operations.ended:
            for future in self._waiting.get(ended.id, []):
                if not future.done():
                    future.set_result(ended)

    def _tell_nodes(self) -> None:
        """Tell both machines of the nodes, when they are others now."""
        entries = with_records(self.table, self._nodes)
        if entries != self.entries:
            self.entries = entries
            self.on_nodes(entries)
            self._post(membership.TableChanged(now_ns=now_ns(), nodes=entries))
            self._post(coordination.NodesChanged(now_ns=now_ns(), nodes=entries))
