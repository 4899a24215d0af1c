"""Every request has one true outcome, and what was refused has changed nothing (S8).

The ledger's record of operations is followed through every change: one function at a time; each begins once and ends
once; nothing that ended is told otherwise later; and at the moment in which an outcome is written the records say what
it says. A request that was refused before it began never begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from primacy.machines.change_record import CHANGE
from primacy.machines.ladder import AVAILABLE, INELIGIBLE, SPARE, rung_of
from primacy.machines.membership import NodeEntry
from primacy.machines.records import CONFIG, NODES, OPERATION, Operation, Operations, decode_operations
from primacy.sim.asked import Asked
from primacy.sim.line import Ledger
from primacy.sim.records import entries_in
from primacy.sim.truth_changes import ChangesTruth

_BECOMES = {"qualify": SPARE, "promote": AVAILABLE, "demote": SPARE, "disqualify": INELIGIBLE}


@dataclass(slots=True)
class _Begun:
    """An operation as it began: what the records said of its node then."""

    operation: Operation
    entry: NodeEntry | None
    outcome: str = ""


class Truth:
    """fail(clause, text): something is not true; note(text): a line of the timeline."""

    def __init__(
        self,
        fail: Callable[[str, str], None],
        note: Callable[[str], None],
        ledger: Ledger,
        table: tuple[NodeEntry, ...],
    ) -> None:
        self._fail, self._note = fail, note
        self._ledger, self._table = ledger, table
        self._begun: dict[str, _Begun] = {}
        self.requests: list[Asked] = []
        self.changes = ChangesTruth(fail, note, self._has_ended)

    @property
    def operations(self) -> Operations:
        """The record as it stands."""
        value = self._ledger.values.get(OPERATION)
        return decode_operations(value) if value is not None else Operations()

    def entry(self, node: str) -> NodeEntry | None:
        """What table and records say of a node now."""
        entries = entries_in(self._ledger.values, self._table)
        return next((entry for entry in entries if entry.id == node), None)

    def changed(self, key: str, old: bytes | None, new: bytes | None) -> None:
        """A record of the ledger was changed."""
        if key.startswith(NODES):
            self._note(f"{key}: {new.decode() if new is not None else 'deleted'}")
        if key == CHANGE:
            self.changes.written(new)
        elif key == CONFIG:
            self.changes.table_written(old, new)
        if key != OPERATION:
            return
        before = decode_operations(old) if old is not None else Operations()
        after = decode_operations(new) if new is not None else Operations()
        was, now = before.current, after.current
        if was is not None and (now is None or now.id != was.id):
            self._end(was, after)
        if now is not None and (was is None or was.id != now.id):
            self._begin(now, was)
        known = {each.id: each for each in before.ended}
        for each in after.ended:
            if known.get(each.id, each) != each:
                self._fail("truth", f"the outcome of {each.function} {each.id} was changed afterwards")

    def finish(self) -> None:
        """All faults have ended, and the cluster is calm."""
        self.changes.finish()
        for asked in self.requests:
            begun = self._begun.get(asked.id)
            if begun is not None and asked.refused:
                self._fail("S8", f"{asked.verb} {asked.target} was refused, and carried out")
            if "accepted" in asked.answers and (begun is None or not begun.outcome):
                self._fail("truth", f"{asked.verb} {asked.target} was accepted and has no outcome")

    # ---- inside ----

    def _has_ended(self, id: str) -> Operation | None:
        begun = self._begun.get(id)
        return begun.operation if begun is not None and begun.outcome else None

    def _begin(self, operation: Operation, was: Operation | None) -> None:
        what = f"{operation.function} {operation.node} ({operation.id})"
        self._note(f"{what} begins")
        if operation.id in self._begun:
            self._fail("truth", f"{what} begins a second time")
        self._begun[operation.id] = _Begun(operation, self.entry(operation.node))

    def _end(self, operation: Operation, after: Operations) -> None:
        what = f"{operation.function} {operation.node} ({operation.id})"
        ended = after.known(operation.id)
        if ended is None or not ended.outcome:
            self._fail("truth", f"{what} is gone without an outcome")
            return
        reasons = f": {'; '.join(ended.reasons)}" if ended.reasons else ""
        self._note(f"{what} ends: {ended.outcome}{reasons}")
        begun = self._begun[operation.id]
        if begun.outcome:
            self._fail("truth", f"{what} ends a second time")
        begun.outcome, begun.operation = ended.outcome, ended
        self._judge(begun, ended, what)

    def _judge(self, begun: _Begun, ended: Operation, what: str) -> None:
        """What was written as the outcome must be true at this moment."""
        function, now = ended.function, self.entry(ended.node)
        records = [record for _, record in self._ledger.history if record.term > ended.term]
        if ended.outcome == "done":
            if function in _BECOMES and rung_of(now) != _BECOMES[function]:
                self._fail("truth", f"{what} is done, and the record says {rung_of(now)}")
            if function == "remove" and now is not None:
                self._fail("truth", f"{what} is done, and the node is in the table")
            to = ended.options.get("to")
            if function == "switchover" and all(record.master.node != to for record in records):
                self._fail("truth", f"{what} is done, and {to} was never master")
        elif now != begun.entry:
            self._fail("S8", f"{what} is {ended.outcome}, and its record was {begun.entry}, is {now}")
        if ended.outcome == "refused" and any(record.cause == ended.reason for record in records):
            self._fail("S8", f"{what} is refused, and mastership was handed over for it")
