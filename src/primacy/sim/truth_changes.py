"""Every change of the table is one change, carried out once, and its end is told truly.

The ledger's record of changes is followed through every change of it: one at a time; each begins once and ends once;
its steps end in their order, and nothing that ended is told otherwise later; its table is written once; a step that is
done was done. What was refused before it began never begins, and what was accepted has an end.
"""

from __future__ import annotations

from collections.abc import Callable

from primacy.machines import change_record
from primacy.machines.change_record import FUNCTION, TABLE, Change, Changes, ChangeStep
from primacy.machines.records import Operation
from primacy.sim.asked import Asked

OUTCOMES = ("done", "failed", "refused", "replaced")
ALREADY = ("it is so already",)


class ChangesTruth:
    """fail(clause, text): something is not true; note(text): a line of the timeline.

    ended(id): the operation with this id as it has ended, if it has.
    """

    def __init__(
        self,
        fail: Callable[[str, str], None],
        note: Callable[[str], None],
        ended: Callable[[str], Operation | None],
    ) -> None:
        self._fail, self._note, self._operation = fail, note, ended
        self._changes = Changes()
        self._known: dict[str, Change] = {}  # as the ledger told them last
        self._tables: dict[str, int] = {}  # how often a change's table took the place of another's
        self.requests: list[Asked] = []

    # ---- the ledger ----

    def table_written(self, old: bytes | None, new: bytes | None) -> None:
        """The table was changed."""
        stamp, before = change_record.stamp(new), change_record.stamp(old)
        if old is None or not stamp or stamp == before:
            return
        self._tables[stamp] = self._tables.get(stamp, 0) + 1
        self._note(f"the table of change {stamp} is written")
        if self._tables[stamp] > 1:
            self._fail("truth", f"the table of change {stamp} is written a second time")
        if stamp not in self._known:
            self._fail("truth", f"the table of change {stamp} is written, and its intent never was")

    def written(self, new: bytes | None) -> None:
        """The record of changes was written."""
        before, after = self._changes, change_record.decode(new) if new is not None else Changes()
        self._changes = after
        for change in (*after.ended, *((after.current,) if after.current is not None else ())):
            known = self._known.get(change.id)
            if known is None:
                self._began(change, after)
            elif known != change:
                self._went_on(known, change)
            self._known[change.id] = change
        was = before.current
        if was is not None and after.known(was.id) is None:
            self._fail("truth", f"change {was.id} is gone without an outcome")

    def _began(self, change: Change, after: Changes) -> None:
        self._note(f"change {change.id} begins: {'; '.join(step.what for step in change.steps)}")
        if after.current != change or change.index or change.outcome:
            self._fail("truth", f"change {change.id} begins with steps that have ended")

    def _went_on(self, known: Change, change: Change) -> None:
        if known.outcome:
            self._fail("truth", f"the outcome of change {change.id} was changed afterwards")
            return
        for index, (was, step) in enumerate(zip(known.steps, change.steps, strict=True)):
            if was.outcome and was != step:
                self._fail("truth", f"step {index + 1} of change {change.id} was changed afterwards")
            elif step.outcome and not was.outcome:
                self._note(
                    f"change {change.id}, step {index + 1}: {step.what}: {step.outcome} {'; '.join(step.reasons)}"
                )
                self._judge(change, index, step)
        if change.outcome:
            self._ended(change)

    # ---- what it says ----

    def _judge(self, change: Change, index: int, step: ChangeStep) -> None:
        """What is written of a step must be true at this moment."""
        what = f"step {index + 1} of change {change.id} ({step.what}) is {step.outcome}"
        if step.outcome == "done" and step.kind == TABLE and not self._tables.get(change.id):
            self._fail("truth", f"{what}, and its table was never written")
        elif step.outcome == "done" and step.kind == FUNCTION and step.reasons != ALREADY:
            ended = self._operation(change.operation(index))
            if ended is None or ended.outcome != "done":
                self._fail("truth", f"{what}, and its function is {ended.outcome if ended else 'unknown'}")
        elif step.outcome == "failed" and step.kind == TABLE and self._tables.get(change.id):
            self._fail("S8", f"{what}, and its table was written")

    def _ended(self, change: Change) -> None:
        if change.outcome not in OUTCOMES:
            self._fail("truth", f"change {change.id} has ended as {change.outcome!r}")
        ends = [step.outcome for step in change.steps]
        self._note(f"change {change.id} ends: {change.outcome} {'; '.join(change.reasons)}")
        if "" in ends:
            self._fail("truth", f"change {change.id} has ended, and steps of it have not")
        if change.outcome == "done" and set(ends) != {"done"}:
            self._fail("truth", f"change {change.id} is done, and its steps are {', '.join(ends)}")
        if change.outcome == "refused" and self._tables.get(change.id):
            self._fail("S8", f"change {change.id} is refused, and its table was written")

    def finish(self) -> None:
        """All faults have ended, and the cluster is calm."""
        for asked in self.requests:
            change = self._known.get(asked.id)
            if asked.refused and change is not None and change.outcome != "refused":
                self._fail("S8", f"change {asked.id} was refused, and carried out")
            if "accepted" in asked.answers and (change is None or not change.outcome):
                self._fail("truth", f"change {asked.id} was accepted and has no outcome")
