"""An operator of a simulated cluster: functions asked for as by `primacy switchover` and the like, each waited for.

A function that is refused raises `Refused` with all the reasons; one that has failed `OperationFailed`.
"""

from __future__ import annotations

from collections.abc import Callable

from primacy.errors import Deadline, OperationFailed, Refused
from primacy.machines.coordination import Answer
from primacy.machines.ids import SECOND
from primacy.sim.asked import Asked
from primacy.sim.authors.faults import Faults
from primacy.sim.node import Node
from primacy.sim.operator import Request, maintain
from primacy.sim.truth import Truth

WITHIN_S = 30.0


class Function(Request):
    """A function that was asked for. `outcome`: empty while it is in progress; done | refused | failed."""

    def __init__(self, node: Node, asked: Asked, truth: Truth) -> None:
        super().__init__(node, asked)
        self._truth = truth
        self.answer: Answer | None = None
        self.id, self.verb = asked.id, asked.verb
        self.what = f"{asked.verb} {asked.target}".strip()

    def _answered(self, answer: Answer) -> None:
        if self.answer is None:
            self.answer = answer
        super()._answered(answer)

    @property
    def outcome(self) -> str:
        """How it ended: by the record of the ledger, or by the refusal of the master."""
        known = self._truth.operations.known(self._asked.id)
        if known is not None:
            return known.outcome
        return "refused" if self.answer is not None and self.answer.kind == "refused" else ""

    @property
    def reasons(self) -> list[str]:
        """All the reasons of a refusal or a failure."""
        known = self._truth.operations.known(self._asked.id)
        if known is not None:
            return list(known.reasons)
        return list(self.answer.reasons) if self.answer is not None else []


class Operators(Faults):
    """The functions of a `Cluster`."""

    def switchover(self, to: str | None = None, *, within_s: float = WITHIN_S) -> None:
        """Let the vice (or the node `to`) be master."""
        self._done("switchover", to or "", within_s)

    def promote(self, node: str, *, within_s: float = WITHIN_S) -> None:
        """A spare becomes available: it may be elected vice."""
        self._done("promote", node, within_s)

    def demote(self, node: str, *, within_s: float = WITHIN_S) -> None:
        """An available node, the vice or the master becomes a spare."""
        self._done("demote", node, within_s)

    def qualify(self, node: str, *, within_s: float = WITHIN_S) -> None:
        """An ineligible node becomes a spare."""
        self._done("qualify", node, within_s)

    def disqualify(self, node: str, *, within_s: float = WITHIN_S) -> None:
        """A node becomes ineligible."""
        self._done("disqualify", node, within_s)

    def shutdown(self, node: str, *, within_s: float = WITHIN_S) -> None:
        """A node leaves in order, and stays down until `restart` or `heal`."""
        asked = self.ask("shutdown", node)
        down = self._node(node)
        self._wait(asked, within_s, lambda: down.agent is None)

    def restart(self, node: str, *, within_s: float = WITHIN_S) -> None:
        """A node leaves in order, if it is up, and starts again; waits until it is up."""
        here = self._node(node)
        if here.agent is not None:
            self.shutdown(here.id, within_s=within_s)
        here.power_on()
        here.guardian.deliver(here.start)
        self._until(lambda: here.agent is not None, within_s, f"start of {here.id}")

    def maintenance(self, scope: str = "cluster", *, on: bool = True) -> None:
        """Switch maintenance of the cluster or of a node on or off."""
        maintain(self._node("master"), scope, on=on, for_ms=0)

    def force(self, node: str, *, assume_dead: bool = False, within_s: float = WITHIN_S) -> None:
        """Let a node be master although no rule brings the cluster back; asked for until it is, else Deadline.

        It is refused while a master is heard. assume_dead: by the operator's word, where nothing proves that the
        recorded master is dead. What was acknowledged `may_have_lost`.
        """
        here = self._node(node).id
        self._begin("force", here, within_s, what="word" if assume_dead else "")
        self._until(lambda: self.stage.master == here, within_s, f"force {here}")

    def ask(self, verb: str, node: str = "") -> Function:
        """Ask the master's node for a function, and return what comes of it; virtual time does not run."""
        truth = self.stage.checkers.truth
        target = self._node(node).id if node else ""
        asked = Asked(f"{verb}-{len(truth.requests) + 1}", verb, target)
        truth.requests.append(asked)
        at = self.stage.ledger.record
        function = Function(self.stage.nodes[at.master.node if at else self.stage.plan.ids[0]], asked, truth)
        function.begin()
        return function

    def _done(self, verb: str, node: str, within_s: float) -> None:
        self._wait(self.ask(verb, node), within_s, lambda: False)

    def _wait(self, function: Function, within_s: float, also: Callable[[], bool]) -> None:
        what = function.what
        self._until(lambda: bool(function.outcome) or also(), within_s, what)
        self._until(lambda: self._told(function), within_s, what)
        if function.outcome == "refused":
            raise Refused(function.reasons)
        if function.outcome == "failed":
            raise OperationFailed(function.verb, "; ".join(function.reasons))

    def _told(self, function: Function) -> bool:
        """Whether the master, if there is one, knows the outcome too: the next function may be asked for."""
        record = self.stage.ledger.record
        agent = self.stage.nodes[record.master.node].agent if record is not None else None
        operations = agent.coordinator.functions.operations if agent is not None and agent.runs() else None
        current = operations.current if operations is not None else None
        return current is None or current.id != function.id

    def _until(self, done: Callable[[], bool], within_s: float, what: str) -> None:
        stage = self.stage
        until_ns = stage.scheduler.now_ns + int(within_s * SECOND)
        while not done() and stage.scheduler.now_ns < until_ns:
            stage.live(until_ns, done)
        if not done():
            raise Deadline(f"{what}: no outcome within {within_s:g} s of virtual time", maybe_applied=True)
