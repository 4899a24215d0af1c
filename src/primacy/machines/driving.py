"""One operation driven by the master: each step looks whether it is done already, so a new master just goes on.

    role taken from the node ──▶ its callbacks ──▶ its record ──▶ (remove, shutdown: it leaves) ──▶ ended

A master that is to be demoted, disqualified, removed or shut down first switches over; then it is the new master that
finds the intent and goes on. A vice is first replaced where another node may be vice. A node that is lost in the middle
of a function that takes it down goes down all the same; one that was to go up stays where it was.  While another
hand-over is in progress (a server failed, this node leaves) nothing is begun: what came of it is looked at
afterwards.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from primacy.machines import membership, peer_wire
from primacy.machines.coordination import EditTable, Facts, TellNode, facts_from
from primacy.machines.ids import SECOND
from primacy.machines.ladder import RUNGS, rung_of
from primacy.machines.peer_wire import FunctionDone
from primacy.machines.preconditions import Situation, reasons_against
from primacy.machines.records import NODES, NodeRecord, Operation, encode
from primacy.machines.sequence import Wait
from primacy.machines.swap import Outcome

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

SETTLE_NS = 2 * SECOND  # a new master has to hear the others before it takes one for lost
REPLACE_NS_MAX = 10 * SECOND  # for another vice to become ready; then it goes on without
LEAVE_NS_MAX = 60 * SECOND
KNOWN_NS_MAX = 5 * SECOND  # for the ledger's watch to tell this master what it has written itself
ASK_AGAIN_NS = SECOND
LEDGER_AGAIN_NS = SECOND // 5
_RECORDS = {
    "qualify": NodeRecord(eligible=True, available=False),
    "promote": NodeRecord(eligible=True, available=True),
    "demote": NodeRecord(eligible=True, available=False),
    "disqualify": NodeRecord(eligible=False, available=False),
}

End = Callable[..., None]  # (outcome, reasons, result)


class Drive:
    """What this master does for the operation in progress. end(outcome, reasons, result): called once."""

    def __init__(self, coordinator: Coordinator, operation: Operation, end: End) -> None:
        self._ssc = coordinator
        self.operation = operation
        self._end_with = end
        self._step = ""
        self._deadline_ns = 0
        self._again_ns = 0  # when to write again
        self._ask_ns = 0  # when to ask the node again
        self._done: FunctionDone | None = None
        self._notes: tuple[str, ...] = ()
        self._began_ns = coordinator.now_ns
        self._seen = False
        self._kept_back = False

    def done(self, node: str, message: FunctionDone) -> None:
        """The node has ended its part."""
        if node == self.operation.node and message.operation == self.operation.id:
            self._done = message

    def leave(self) -> None:
        """It has ended: nothing more is done for it, and nobody is kept back for it any more."""
        self._step = "ended"
        if self._kept_back:
            self._keep_back(False)

    def proceed(self) -> None:
        """Take the next step, if it can be taken now."""
        ssc, function = self._ssc, self.operation.function
        if self._step in ("switching", "ended"):
            return
        if function != "remove" and ssc.nodes and all(n.id != self.operation.node for n in ssc.nodes):
            self._end("failed", (f"{self.operation.node} is no node of the table any more",))
        elif ssc.now_ns < self._again_ns:
            ssc.wake(self._again_ns)
        elif self._step == "leaving":
            self._leave()
        elif self._step == "recorded":
            self._known()
        elif function == "switchover":
            self._switch_over()
        elif function == "shutdown" and self.operation.node != ssc.node:
            self._begin_leaving()  # its own coordinator gives its role up first
        elif function in ("qualify", "promote") or self._role_is_taken():
            self._on_the_node()

    def waits(self) -> list[Wait]:
        """Whom this master waits for; a switchover tells by itself."""
        operation, until_ns = self.operation, self._deadline_ns
        match self._step:
            case "replacing":
                what = "another vice to be ready"
            case "leaving":
                what = f"{operation.node} to leave"
            case "recorded":
                what = f"the ledger's watch to tell of the record of {operation.node}"
            case "" | "replaced" if operation.function != "switchover" and self._done is None:
                what, until_ns = f"{operation.node} to run its callbacks of {operation.function}", 0
            case _:
                return []
        return [Wait(what, self._began_ns, until_ns, operation.function)]

    # ---- the role of the node ----

    def _switch_over(self) -> None:
        """The operation is the switchover itself."""
        operation, ssc, place = self.operation, self._ssc, self._ssc.place
        assert place is not None, "only a master drives"
        if operation.term == ssc.term:
            self._begin_switchover(operation.reason, 0)
        elif ssc.node == operation.options.get("to"):
            # not clean: a server or the master itself was lost meanwhile
            notes = () if place.clean else (f"it was no orderly hand-over: {place.record.cause}",)
            self._end("done", notes, {"from": operation.node, "to": ssc.node, "term": ssc.term})
        else:
            why = f"it was interrupted ({place.record.cause}); {ssc.node} is master of term {ssc.term}"
            self._end("failed", (why,))

    def _begin_switchover(self, reason: str, patience_ns: int) -> None:
        """Hand mastership over; when that is done the new master finds the intent and goes on. patience_ns: for so
        long a vice may still become ready."""
        ssc = self._ssc
        if ssc.rescue.stays:
            ssc.rescue.order()  # the cluster is in maintenance: an operator's word is what it waits for
        if ssc.switchover.busy:
            return  # when it is settled this is asked again, here or at the next master
        facts = facts_of(ssc)
        reasons = reasons_against("switchover", None, facts, Situation(True, "", False))
        late_ns = self._began_ns + patience_ns
        if reasons and ssc.now_ns < late_ns:
            ssc.wake(late_ns)
        elif reasons:
            gone = self.operation.function == "remove" and all(n.id != self.operation.node for n in ssc.nodes)
            self._end("failed" if gone else "refused", reasons)  # a deleted row is no refusal any more
        else:
            self._step = "switching"
            ssc.switchover.begin(facts, reason, self._switched)

    def _switched(self, done: bool, why: str) -> None:
        ssc = self._ssc
        if done or ssc.role != "master":
            return  # the new master goes on
        if ssc.switchover.busy or not ssc.serving.serves:
            self._step = ""  # a server ended meanwhile: what becomes of that comes first
        else:
            self._end("failed", (why,))

    def _role_is_taken(self) -> bool:
        """Whether the node is an ordinary member, or gone; if not, begin to make it one."""
        ssc, operation = self._ssc, self.operation
        if operation.node == ssc.node:
            if operation.function == "shutdown" and self._life() not in ("", ssc.me.incarnation):
                self._end("done", (), {"stopped": ssc.node})  # that life is over; this one was not meant
            elif operation.function == "shutdown" and not self._successors():
                self._end("done", (), {"stopped": ssc.node})
            else:
                reason = f"{operation.function} {ssc.node}: {operation.reason}"
                self._begin_switchover(reason, REPLACE_NS_MAX)
            return False
        if self._step == "":
            self._step, self._deadline_ns = "replacing", ssc.now_ns + REPLACE_NS_MAX
            self._keep_back(True)
        if self._step != "replacing":
            return True
        assert ssc.record is not None, "only a master drives"
        vice = ssc.record.vice
        mine = vice is not None and vice.node == operation.node
        waits = mine or (self._successors() and not (vice is not None and vice.ready))
        if waits and ssc.now_ns < self._deadline_ns:
            ssc.wake(self._deadline_ns)
            return False
        if mine:
            self._end("failed", (f"{operation.node} is still vice: the ledger does not answer",))
            return False
        self._step = "replaced"
        return True

    def _successors(self) -> list[str]:
        """The other members that may be master or vice now."""
        ssc = self._ssc
        fit = {n.id for n in ssc.nodes if n.may_lead} - ssc.maintained - {ssc.node, self.operation.node}
        return sorted(fit & set(ssc.members))

    def _keep_back(self, on: bool) -> None:
        ssc, self._kept_back = self._ssc, on
        node, function = self.operation.node, self.operation.function
        why = f"{node} leaves in order" if function in ("shutdown", "remove") else f"{function} of {node}"
        ssc.feed(membership.KeepBack(now_ns=ssc.now_ns, node=node, why=why if on else ""))

    # ---- the node's part ----

    def _on_the_node(self) -> None:
        """Let the node run its sequence; then its record is written."""
        ssc, operation = self._ssc, self.operation
        up = operation.function in ("qualify", "promote")
        if self._done is None and not self._gone():
            if ssc.now_ns >= self._ask_ns:
                self._ask_ns = ssc.now_ns + ASK_AGAIN_NS
                message = peer_wire.Do(operation.id, operation.function, operation.reason)
                ssc.emit(TellNode(operation.node, message))
            ssc.wake(self._ask_ns)
        elif self._done is not None and self._done.outcome != "done" and not self._stands():
            self._end(self._done.outcome, tuple(self._done.reasons))
        elif self._done is None and up:
            self._end("failed", (f"{operation.node} was lost meanwhile; it stays what it was",))
        else:
            if self._done is None:
                self._notes = (f"{operation.node} is not a member: its callbacks did not run",)
            elif self._done.outcome != "done":
                self._notes = ("it stood in the records already", *self._done.reasons)
            self._record()

    def _stands(self) -> bool:
        """Whether a former master has written what the function gives: nobody takes that back."""
        operation = self.operation
        entry = next((n for n in self._ssc.nodes if n.id == operation.node), None)
        if operation.function == "remove":
            return bool(self._ssc.nodes) and entry is None
        return rung_of(entry) == RUNGS[operation.function]

    def _record(self) -> None:
        """Write the node's record; a node that is to be removed leaves first."""
        ssc, operation = self._ssc, self.operation
        if operation.function == "remove":
            self._begin_leaving()
            return

        def settled(outcome: Outcome) -> None:
            if outcome is Outcome.DONE:
                self._step, self._deadline_ns = "recorded", ssc.now_ns + KNOWN_NS_MAX
                self._known()
            else:
                self._again_ns = ssc.now_ns + LEDGER_AGAIN_NS
                ssc.wake(self._again_ns)

        ssc.writer.write(f"{NODES}{operation.node}", encode(_RECORDS[operation.function]), settled)

    def _known(self) -> None:
        """End when this master itself has learned what was written: the next request is judged by it."""
        ssc, operation = self._ssc, self.operation
        entry = next((n for n in ssc.nodes if n.id == operation.node), None)
        if rung_of(entry) == RUNGS[operation.function] or ssc.now_ns >= self._deadline_ns:
            self._end("done", self._notes, {"node": operation.node})
        else:
            ssc.wake(self._deadline_ns)

    def _gone(self) -> bool:
        """Whether the node is no member any more; one that this master has not heard yet may still be one."""
        ssc = self._ssc
        if self.operation.node in ssc.members:
            self._seen = True
            return False
        settled_ns = self._began_ns + SETTLE_NS
        if self._seen or ssc.now_ns >= settled_ns:
            return True
        ssc.wake(settled_ns)
        return False

    # ---- it leaves ----

    def _begin_leaving(self) -> None:
        self._step, self._deadline_ns, self._ask_ns = "leaving", self._ssc.now_ns + LEAVE_NS_MAX, 0
        self._done = None
        self._leave()

    def _life(self) -> str:
        """The life of the node that is to be shut down: one that begins later was not meant. Empty: any."""
        return self.operation.options.get("life", "") if self.operation.function == "shutdown" else ""

    def _leave(self) -> None:
        """Wait until the node is gone; when it is to be removed, delete it from the table."""
        ssc, operation = self._ssc, self.operation
        over = self._life() and self._done is not None  # a later life of the node says so
        if not over and not self._gone():
            if ssc.now_ns >= self._deadline_ns:
                self._end("failed", (f"{operation.node} has not left within {LEAVE_NS_MAX // SECOND} s",))
                return
            if ssc.now_ns >= self._ask_ns:
                self._ask_ns = ssc.now_ns + ASK_AGAIN_NS
                then, life = then_of(operation), self._life()
                order = peer_wire.EndNode(operation.reason, False, then, operation.id, life)
                ssc.emit(TellNode(operation.node, order))
            ssc.wake(min(self._ask_ns, self._deadline_ns))
        elif operation.function == "remove":
            self._delete()
        else:
            self._end("done", self._notes, {"stopped": operation.node})

    def _delete(self) -> None:
        """Delete its row of the table, then its record."""
        ssc, operation = self._ssc, self.operation
        if operation.node not in {n.id for n in ssc.nodes}:
            ssc.writer.write(f"{NODES}{operation.node}", None, self._deleted)
        elif ssc.now_ns >= self._deadline_ns:
            why = f"{operation.node} has left, but the table cannot do without it: `primacy config show`"
            self._end("failed", (why,))
        else:
            self._again_ns = ssc.now_ns + ASK_AGAIN_NS
            ssc.wake(self._again_ns)
            ssc.emit(EditTable(operation.node))

    def _deleted(self, outcome: Outcome) -> None:
        if outcome is Outcome.DONE:
            self._end("done", self._notes, {"removed": self.operation.node})
        else:
            self._again_ns = self._ssc.now_ns + LEDGER_AGAIN_NS
            self._ssc.wake(self._again_ns)

    def _end(
        self, outcome: str, reasons: tuple[str, ...] = (), result: dict[str, str | int | float] | None = None
    ) -> None:
        self.leave()
        self._end_with(outcome, reasons, result)


def then_of(operation: Operation) -> peer_wire.Then:
    """What the node's machine is to do when the node has left."""
    then = operation.options.get("then")
    return "halt" if then == "halt" else "reboot" if then == "reboot" else ""


def facts_of(ssc: Coordinator) -> Facts:
    """The facts that the coordinator itself knows; the monitor decides the rest when the swap is sent."""
    return facts_from(ssc.record, ssc.role, ssc.members, ssc.nodes, lease_held=True, swap_open=False)
