"""A change of the table carried out by the master, step by step, as it stands in the ledger.

    intent (one swap)  ->  each step: done already? do it : mark it  ->  outcome

Every step looks first whether it is done: a table names the change that it comes from, a function is known by the id of
its request, and a node that has the rung which the function gives needs it no more. So a master that finds a change in
the ledger just goes on, and nothing is done twice.

    a step never fails because of time    but for a function that is refused for REFUSED_NS_MAX: then it has failed
    a function that takes strength away   waits, without end, until the cluster is calm (`Look.calm`)
    a step that fails                     holds the functions after it (change_record)

Nothing is begun here but by the master that serves, and nothing while a function of the cluster is in progress.
Pure; time comes in; the owner looks at least a few times each second, and obeys the effects in order.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from primacy.errors import ConfigError
from primacy.machines import change_record
from primacy.machines.change_record import CHANGE, FOLLOW, TABLE, TAKES_AWAY, Change, Changes, ChangeStep
from primacy.machines.coordination import KeySwapped, Publish, RecordChanged, SwapKey
from primacy.machines.events_change import ChangeBegan, ChangeEnded, ChangeStepEnded
from primacy.machines.ids import SECOND
from primacy.machines.key_writer import KeyWriter
from primacy.machines.membership import NodeEntry
from primacy.machines.records import CONFIG, Operations
from primacy.machines.swap import Outcome

AGAIN_NS = SECOND
REFUSED_NS_MAX = 30 * SECOND
OVERTAKEN = (
    "the table was changed meanwhile: this change was made from revision {wanted}, it stands at {now} now; nothing was "
    "changed: look at it (`primacy config diff`) and apply again"
)
_AWAY = "the ledger does not answer"


class Look(Struct, frozen=True):
    """What the master knows now; nodes and operations as one reading of the ledger has them.

    wall_ms: the wall clock, for people. busy: a function in progress, in words; empty when there is none. calm: why the
    cluster is not as strong as it should be, in words; empty when it is.
    """

    now_ns: int
    wall_ms: int
    term: int
    serving: bool
    busy: str
    calm: str
    operations: Operations
    nodes: tuple[NodeEntry, ...]


class CarryOut(Struct, frozen=True):
    """Have this function of the cluster carried out at this node, the master; the answer comes as `answered`."""

    operation: str
    function: str
    node: str
    reason: str


Effect = SwapKey | Publish | CarryOut
Settled = Callable[[Outcome], None]


class Applying:
    """The changes that the ledger holds, at one node; driven while that is master.

    waits: what the change in progress waits for, in words; empty when there is none or its nodes may follow now.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self.now_ns = 0
        self.changes = Changes()
        self.waits = ""
        self._calming = False  # it waits only until the cluster is as strong as can be
        self._term = 0
        self._effects: list[Effect] = []
        self._writer = KeyWriter(self)
        self._refused: tuple[str, int, tuple[str, ...]] | None = None  # operation, since when, why
        self._again_ns = 0

    # ---- what the writer of records needs ----

    def emit(self, effect: SwapKey) -> None:
        """Have a record swapped."""
        self._effects.append(effect)

    def wake(self, at_ns: int) -> None:
        """Nothing: the owner looks often enough."""

    # ---- inputs ----

    def told(self, event: RecordChanged) -> list[Effect]:
        """The ledger's watch tells a record; one that cannot be read is left as it was."""
        self.now_ns = event.now_ns
        if event.key == CHANGE:
            try:
                changes = change_record.decode(event.value) if event.value is not None else Changes()
            except ConfigError:
                return []
            if self._writer.told(event):
                self.changes = changes
        else:
            assert event.key == CONFIG, "only these two are told"
            self._writer.told(event)
        return self._taken()

    def swapped(self, event: KeySwapped) -> list[Effect]:
        """The ledger answers."""
        self.now_ns = event.now_ns
        self._writer.swapped(event)
        return self._taken()

    def answered(self, operation: str, reasons: tuple[str, ...], now_ns: int) -> None:
        """The coordinator has refused a function, with all reasons; () when it has accepted it."""
        since_ns = self._refused[1] if self._refused and self._refused[0] == operation else now_ns
        self._refused = (operation, since_ns, reasons) if reasons else None

    def begin(self, change: Change, now_ns: int, settled: Settled) -> list[Effect]:
        """Write the intent of a change, in the place of one that is in progress; LOST: another change came first."""
        self.now_ns = now_ns
        if self._writer.busy:
            settled(Outcome.LOST)
            return []
        wanted, before = self.changes.begun(change), self.changes.current

        def written(outcome: Outcome) -> None:
            if outcome is Outcome.DONE:
                self.changes = wanted
                if before is not None:
                    self._ended(wanted.ended[-1])
                self._publish(
                    ChangeBegan(
                        term=self._term,
                        node=self._node,
                        change=change.id,
                        by=change.by,
                        reason=change.reason,
                        steps=[step.what for step in change.steps],
                        replaces=before.id if before is not None else "",
                    )
                )
            settled(outcome)

        self._writer.write(CHANGE, change_record.encode(wanted), written)
        return self._taken()

    def proceed(self, look: Look) -> list[Effect]:
        """Take the next step of the change in progress, if it can be taken now."""
        self.now_ns, self._term, self._calming = look.now_ns, look.term, False
        self._writer.proceed()
        change = self.changes.current
        step = change.step if change is not None else None
        if change is None or step is None:
            self.waits, self._refused, self._again_ns = "", None, 0
        elif self._writer.busy:
            self.waits = "the ledger is asked to write how far it is"
        elif not look.serving:
            self.waits = "the cluster is not in service"
        elif step.kind == TABLE:
            self._write_table(change, look)
        elif step.kind == FOLLOW:
            self.waits = ""
        else:
            self._function(change, step, look)
        return self._taken()

    def followed(self, look: Look) -> list[Effect]:
        """Every member goes by the table in force, at least as new as the change's."""
        change = self.changes.current
        if change is not None and not self._writer.busy and change.step and change.step.kind == FOLLOW:
            self._end_step(change, "done", (), look)
        return self._taken()

    @property
    def holds(self) -> bool:
        """Whether the nodes may not follow the table now. While the change waits for the cluster's strength they may: a
        vice that lacks a service of the table gets ready by that alone."""
        return bool(self.waits) and not self._calming

    @property
    def revision(self) -> int:
        """The revision of the table in force, as it is known here; 0: none is."""
        return self._writer.revision(CONFIG)

    # ---- inside ----

    def _write_table(self, change: Change, look: Look) -> None:
        now = self._writer.revision(CONFIG)
        if change_record.stamp(self._writer.value(CONFIG)) == change.id:
            self._end_step(change, "done", (), look)
        elif now > change.revision:
            self._end_step(change, "failed", (OVERTAKEN.format(wanted=change.revision, now=now),), look)
        elif now < change.revision:
            self.waits = "the table that it was made from is not known here yet"
        else:
            self.waits = "the table is being written"
            self._writer.write(CONFIG, change.table.encode(), self._written)

    def _written(self, outcome: Outcome) -> None:
        if outcome is Outcome.NOT_WRITTEN:
            self.waits = _AWAY

    def _function(self, change: Change, step: ChangeStep, look: Look) -> None:
        operation = change.operation(change.index)
        known = look.operations.known(operation)
        refused = self._refused if self._refused is not None and self._refused[0] == operation else None
        if known is not None and known.outcome:
            self._end_step(change, "done" if known.outcome == "done" else "failed", known.reasons, look)
        elif known is not None:
            self.waits = f"{step.what} is in progress"
        elif look.busy:
            self.waits = look.busy
        elif _is_so(step, look.nodes):
            self._end_step(change, "done", ("it is so already",), look)
        elif step.function in TAKES_AWAY and look.calm:
            self.waits, self._calming = look.calm, True
        elif refused is not None and look.now_ns - refused[1] >= REFUSED_NS_MAX:
            self._end_step(change, "failed", refused[2], look)
        else:
            self.waits = (
                f"{step.what}: {'; '.join(refused[2])}" if refused is not None else f"{step.what} begins"
            )
            if look.now_ns >= self._again_ns:
                self._again_ns = look.now_ns + AGAIN_NS
                self._effects.append(CarryOut(operation, step.function, step.node, change.reason))

    def _end_step(self, change: Change, outcome: str, reasons: tuple[str, ...], look: Look) -> None:
        """Mark the present step; what is not written now is found again at the next look."""
        index, self._again_ns = change.index, 0
        went_on = change.with_step(outcome, reasons, look.wall_ms)
        wanted = self.changes.with_current(went_on)
        self.waits = "the ledger is asked to write how far it is"

        def written(settled: Outcome) -> None:
            if settled is Outcome.NOT_WRITTEN:
                self.waits = _AWAY
            if settled is not Outcome.DONE:
                return
            self.changes = wanted
            step = went_on.steps[index]
            self._publish(
                ChangeStepEnded(
                    term=self._term,
                    node=self._node,
                    change=change.id,
                    step=index + 1,
                    what=step.what,
                    outcome=step.outcome,
                    reasons=list(step.reasons),
                )
            )
            if went_on.outcome:
                self._ended(went_on)

        self._writer.write(CHANGE, change_record.encode(wanted), written)

    def _ended(self, change: Change) -> None:
        self._publish(
            ChangeEnded(
                term=self._term,
                node=self._node,
                change=change.id,
                outcome=change.outcome,
                reasons=list(change.reasons),
                held=[step.what for step in change.steps if step.outcome == "held"],
            )
        )

    def _publish(self, event: ChangeBegan | ChangeStepEnded | ChangeEnded) -> None:
        self._effects.append(Publish(event))

    def _taken(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects


def _is_so(step: ChangeStep, nodes: tuple[NodeEntry, ...]) -> bool:
    """Whether the node is already what the function makes of it."""
    entry = next((n for n in nodes if n.id == step.node), None)
    match step.function:
        case "qualify":
            return entry is not None and entry.eligible
        case "disqualify":
            return entry is not None and not entry.eligible
        case _:
            return entry is None
