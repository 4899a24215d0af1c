"""The functions of the cluster at its master: one at a time, the intent in the ledger before anything is done.

    asked ──▶ preconditions ──▶ intent written ──▶ accepted ──▶ driven (driving.py) ──▶ outcome written

A request has an id that its asker chose. The same id again is the same request: it is told what became of it, never
carried out twice. The master that finds an intent of an earlier term finishes or reverts it; so the outcome in the
ledger is the true one whoever died, and everybody who waits reads it there.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from primacy.machines.coordination import Answer, Asked, Facts, Publish, RecordChanged
from primacy.machines.deciding import Decisions
from primacy.machines.driving import Drive, facts_of, then_of
from primacy.machines.events import OperationBegan, OperationEnded
from primacy.machines.ids import MS, SECOND
from primacy.machines.peer_wire import FunctionDone
from primacy.machines.preconditions import Permit, Refuse, Request, Situation, judge, reasons_against
from primacy.machines.records import (
    OPERATION,
    Operation,
    Operations,
    brief,
    decode_operations,
    encode,
)
from primacy.machines.swap import Outcome

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

AUTO_NS = 2 * SECOND  # so long there is nobody who could be vice before a spare is promoted
AGAIN_NS = 200 * MS
_AWAY = "the ledger does not answer: nothing was begun; try again when `primacy status` shows it"

Result = dict[str, str | int | float]


class Functions:
    """The requests at this node and, when it is master, the operation in progress.

    operations: the record as the ledger has it. auto_promote: a spare is promoted when nobody else could be vice.
    """

    def __init__(self, coordinator: Coordinator, auto_promote: bool) -> None:
        self._ssc = coordinator
        self.auto_promote = auto_promote
        self.operations = Operations()
        self.drive: Drive | None = None
        self._outcome: tuple[str, tuple[str, ...], Result] | None = None  # to be written
        self._again_ns = 0
        self._intent = ""  # the id of the operation whose intent is being written
        self._requests: list[int] = []  # who waits for it
        self._alone_ns = 0  # since when there is nobody who could be vice
        self._autos = 0
        self._hand_on_ns = 0  # not before: a hand-over to which its own record obliges this master
        self._decisions = Decisions(coordinator.node, lambda event: coordinator.emit(Publish(event)))

    def named(self, function: str) -> str:
        """The operation that a run of this function on this node belongs to; empty: to none that is known here."""
        doing, current = self._ssc.ladder.doing, self.operations.current
        if doing is not None and doing.function == function:
            return doing.operation
        if current is None or current.function != function:
            return ""
        return current.id if function == "switchover" or current.node == self._ssc.node else ""

    # ---- inputs ----

    def asked(self, event: Asked) -> None:
        """A request: refused with all reasons, or accepted when its intent is in the ledger."""
        ssc, verb, arguments = self._ssc, event.verb, event.arguments
        id = arguments["operation"]
        assert id, "the agent names each request"
        node = arguments.get("to" if verb == "switchover" else "node") or None
        known = self.operations.known(id)
        if known is not None and not arguments.get("dry_run"):
            ssc.emit(Answer(event.id, "accepted", {"operation": id}))
            return
        if id == self._intent:
            self._requests.append(event.id)
            return
        verdict = self.judged(event, Request(verb, node, event.facts, self._situation()))
        if isinstance(verdict, Refuse):
            ssc.emit(Answer(event.id, "refused", {}, verdict.reasons))
        elif arguments.get("dry_run"):
            ssc.emit(Answer(event.id, "done", self._possible(verb, event.facts)))
        else:
            why = arguments.get("reason") or "asked for by an operator"
            options = {"to": event.facts.vice} if verb == "switchover" else {}
            kept = ("then", "system", "life") if verb == "shutdown" else ()
            options |= {name: arguments[name] for name in kept if arguments.get(name)}
            about = node if node is not None and verb != "switchover" else event.facts.master
            operation = Operation(id, verb, about, brief(why), ssc.node, ssc.term, options)
            self._write_intent(operation, [event.id])

    def judged(self, event: Asked, request: Request) -> Permit | Refuse:
        """Judge a request by its preconditions; a real one's judgement is kept, a dry run's is not."""
        verdict = judge(request)
        if not event.arguments.get("dry_run"):
            self._decisions.note("request", self._ssc.term, event.id, request, verdict)
        return verdict

    def told(self, event: RecordChanged) -> None:
        """The ledger's record of operations, as it stands now."""
        self.operations = decode_operations(event.value) if event.value is not None else Operations()

    def done(self, node: str, message: FunctionDone) -> None:
        """A node has ended its part."""
        if self.drive is not None:
            self.drive.done(node, message)

    def proceed(self) -> None:
        """Drive the operation in progress, at the master that serves; elsewhere nothing is driven."""
        ssc = self._ssc
        if not ssc.serving.serves:
            self.drive, self._outcome = None, None
            return
        if ssc.writer.busy:
            return
        if ssc.now_ns < self._again_ns:
            ssc.wake(self._again_ns)
            return
        current = self.operations.current
        if current is None:
            if self.drive is not None:
                self.drive.leave()  # another master has written how it ended
            self.drive, self._outcome = None, None
            self._promote_a_spare()
            self._hand_on()
        elif self._outcome is not None:
            self._write_outcome(*self._outcome)
        else:
            if self.drive is None or self.drive.operation.id != current.id:
                self.drive = Drive(ssc, current, self._end)
            self.drive.proceed()

    # ---- inside ----

    def _situation(self) -> Situation:
        ssc, current = self._ssc, self.operations.current
        busy = ""
        if ssc.departure.under_way:
            busy = "this node is shutting down"
        elif current is not None:
            busy = f"a function is in progress: {current.function} {current.node}, {current.reason}"
        elif ssc.writer.busy:
            busy = "another request has come first a moment ago"
        return Situation(ssc.serving.serves, busy, self.auto_promote)

    def _possible(self, verb: str, facts: Facts) -> dict[str, object]:
        result: dict[str, object] = {"possible": True}
        if verb == "switchover":
            result |= {"from": facts.master, "to": facts.vice, "term": facts.term}
        return result

    def _write_intent(self, operation: Operation, requests: list[int]) -> None:
        """Write the intent; then the request is accepted, whatever becomes of this node."""
        ssc = self._ssc
        self._intent, self._requests = operation.id, requests
        wanted = msgspec.structs.replace(self.operations, current=operation)

        def settled(outcome: Outcome) -> None:
            self._intent = ""
            if outcome is Outcome.DONE:
                self.operations = wanted
                event = OperationBegan(
                    term=ssc.term,
                    node=operation.node,
                    operation=operation.id,
                    function=operation.function,
                    reason=operation.reason,
                )
                ssc.emit(Publish(event))
            for request in self._requests:
                ssc.emit(_answer(request, outcome, operation.id))

        ssc.writer.write(OPERATION, encode(wanted), settled)

    def _end(self, outcome: str, reasons: tuple[str, ...] = (), result: Result | None = None) -> None:
        """The operation has come to its end: nothing more is done but writing how."""
        self._outcome = (outcome, reasons, result or {})
        self._write_outcome(*self._outcome)

    def _write_outcome(self, outcome: str, reasons: tuple[str, ...], result: Result) -> None:
        ssc, current = self._ssc, self.operations.current
        if current is None or ssc.writer.busy:
            return
        wanted = self.operations.with_outcome(outcome, reasons, result)

        def settled(written: Outcome) -> None:
            if written is Outcome.NOT_WRITTEN:
                self._again_ns = ssc.now_ns + AGAIN_NS
                return
            self._outcome = None
            if written is Outcome.DONE:
                self.operations = wanted
                event = OperationEnded(
                    term=ssc.term,
                    node=current.node,
                    operation=current.id,
                    function=current.function,
                    outcome=outcome,
                    reasons=list(reasons),
                )
                ssc.emit(Publish(event))
                mine = current.options.get("life") in (None, "", ssc.me.incarnation)
                if result.get("stopped") == ssc.node and mine:
                    ssc.departure.begin(current.reason, stopped=False, then=then_of(current))

        ssc.writer.write(OPERATION, encode(wanted), settled)

    def _promote_a_spare(self) -> None:
        """Nobody could be elected vice for a while, and there is a spare: promote the best one."""
        ssc, entries = self._ssc, self._ssc.nodes
        others = set(ssc.members) - ssc.maintained - {ssc.node}
        members = [n for n in entries if n.id in others and n.eligible]
        spares = sorted((n for n in members if not n.available), key=lambda n: (-n.priority, n.id))
        if not self.auto_promote or not spares or any(n.available for n in members):
            self._alone_ns = 0
            return
        self._alone_ns = self._alone_ns or ssc.now_ns
        due_ns = self._alone_ns + AUTO_NS
        if ssc.now_ns < due_ns:
            ssc.wake(due_ns)
            return
        self._alone_ns = 0
        self._by_itself("promote", spares[0].id, "nobody else could be elected vice (auto_promote)")

    def _hand_on(self) -> None:
        """The record of this master says that it may not lead: a former master has written that, late. Hand over."""
        ssc = self._ssc
        if ssc.own.may_lead or ssc.held_here or ssc.writer.busy:
            return
        if ssc.now_ns < self._hand_on_ns:
            ssc.wake(self._hand_on_ns)
            return
        facts = facts_of(ssc)
        if ssc.switchover.busy or reasons_against("switchover", None, facts, self._situation()):
            return
        self._hand_on_ns = ssc.now_ns + AUTO_NS
        why = f"the record of {ssc.node} says that it may not lead"
        self._by_itself("switchover", ssc.node, why, {"to": facts.vice})

    def _by_itself(self, function: str, node: str, why: str, options: dict[str, str] | None = None) -> None:
        """Begin a function that nobody has asked for."""
        ssc = self._ssc
        self._autos += 1
        id = f"auto-{ssc.me.incarnation[:8]}-{self._autos}"
        self._write_intent(Operation(id, function, node, why, ssc.node, ssc.term, options or {}), [])


def _answer(request: int, outcome: Outcome, id: str) -> Answer:
    """What a request is told when its intent was written, or not."""
    if outcome is Outcome.DONE:
        return Answer(request, "accepted", {"operation": id})
    if outcome is Outcome.LOST:
        return Answer(request, "refused", {}, ("another request has come first; ask again",))
    return Answer(request, "failed", {}, (_AWAY,))
