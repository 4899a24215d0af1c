"""The planned switchover, at the master: quiesce, give up by levels, drain, one swap; or undo, and nothing happened.

    quiescing ──▶ giving up ──▶ draining ──▶ swapping ──▶ waiting ──▶ (the new master serves)
        └──────────────┴────────────┴── undoing ◀───┘ only if the swap surely was not written
                                           └──▶ (this master goes on)

Before the swap is sent every failure is undone and no term is spent: the levels that were given up are taken back in
reverse, then calls go on. Once it is sent only its settled outcome decides; until then the primaries stay quiesced. Who
wants the same while one is in progress waits for its end (`join`): there is one switchover at a time.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from primacy.machines import host_wire, membership
from primacy.machines.coordination import Facts
from primacy.machines.ids import SECOND
from primacy.machines.preconditions import Situation, reasons_against
from primacy.machines.runs import Frame
from primacy.machines.sequence import Step, Wait, patience_ns, plan
from primacy.machines.swap import Outcome, Purpose

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

QUIESCE_NS_MAX = 5 * SECOND
SERVE_NS_MAX = 30 * SECOND
FUNCTION = "switchover"
_BEFORE = ("quiescing", "giving up", "draining", "undoing")
_NOT_CHANGED = (
    "the record was not changed: the ledger does not answer, or the vice has stopped answering a moment ago; "
    "the master goes on as before, try again when `primacy status` shows both in order"
)

Ended = Callable[[bool, str], None]  # (done, why not)


class Switchover:
    """The switchover in progress, if any."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self.phase = ""
        self._waiting: set[str] = set()
        self._term = 0
        self._deadline_ns = 0
        self._began_ns = 0
        self._cause = ""
        self._to = ""
        self._ended: list[Ended] = []
        self._gave: list[Step] = []  # callbacks that have given up: to be undone if it comes to that

    # ---- inputs ----

    @property
    def busy(self) -> str:
        """What is in progress, in words; empty when nothing is."""
        if self.phase:
            return f"a switchover is in progress ({self.phase})"
        if self._ssc.rescue.lost:
            return f"a server is being recovered: {self._ssc.rescue.lost}"
        ended = [s.service for s in self._ssc.servers.present() if s.process != "open"]
        return f"the server of {', '.join(ended)} has ended a moment ago" if ended else ""

    def reasons(self, facts: Facts) -> tuple[str, ...]:
        """Every reason against a switchover now."""
        ssc = self._ssc
        return reasons_against("switchover", None, facts, Situation(ssc.serving.serves, self.busy, False))

    def begin(self, facts: Facts, cause: str, ended: Ended) -> None:
        """Begin; the preconditions hold. `ended` is called once, with the true outcome."""
        self._term, self._cause, self._to = self._ssc.term, cause, facts.vice
        self._ended, self._began_ns, self._gave = [ended], self._ssc.now_ns, []
        self._quiesce("quiescing")

    def join(self, ended: Ended) -> None:
        """Wait for the one in progress, which leads to the same end; `ended` is called once, with the true outcome."""
        assert self.phase
        self._ended.append(ended)

    def quiesced(self, service: str, term: int) -> None:
        """A primary holds new calls and has answered all others."""
        if self.phase not in ("quiescing", "draining") or term != self._term:
            return
        self._waiting.discard(service)
        if self._waiting:
            return
        if self.phase == "draining":
            self._swap()
        else:
            self._give_up()

    def closed(self, purpose: Purpose, outcome: Outcome) -> None:
        """The hand-over is settled."""
        if purpose is not Purpose.HANDOVER or self.phase != "swapping":
            return
        if outcome is Outcome.DONE:
            self.phase = "waiting"
            self._deadline_ns = self._ssc.now_ns + SERVE_NS_MAX
        elif self._ssc.role == "master" and self._ssc.term == self._term:
            self._undo(
                _NOT_CHANGED if outcome is Outcome.NOT_WRITTEN else "another change of the record came first"
            )
        else:
            self._end(False, "another change of the record came first")

    def became(self, place: membership.Became) -> None:
        """This node's place changed: before the swap that ends the switchover."""
        if self.phase in _BEFORE:
            self._end(
                False, f"{place.record.master.node} became master of term {place.record.term} meanwhile"
            )

    def served(self, term: int) -> None:
        """A master serves: the new one, if the swap was written."""
        if self.phase != "waiting" or term <= self._term or self._ssc.record is None:
            return
        master = self._ssc.record.master.node
        self._end(master == self._to, f"{self._to} took over and was lost; {master} is master of term {term}")

    def interrupted(self, reason: str) -> None:
        """A primary's host died here: there is nothing to hand over in order any more; the others answer again until
        it is settled who goes on."""
        if self.phase == "giving up":
            self._ssc.runs.abort(FUNCTION, reason)
        elif self.phase in ("quiescing", "draining"):
            self._undo(reason)

    def give_way(self, reason: str) -> None:
        """The whole cluster stops: what was begun is left as it is."""
        if self.phase in _BEFORE:
            self._ssc.runs.cancel(FUNCTION)
            self._end(False, reason)

    def proceed(self) -> None:
        """Time has passed."""
        if self.phase in ("", "swapping", "undoing"):
            return
        if self._ssc.now_ns < self._deadline_ns:
            self._ssc.wake(self._deadline_ns)
        elif self.phase == "waiting":
            self._end(False, f"{self._to} is master but does not serve yet")
        elif self.phase == "giving up":
            self._deadline_ns = self._ssc.now_ns + QUIESCE_NS_MAX
            self._ssc.runs.abort(FUNCTION, "its time is over")
        else:
            self._undo(f"not quiesced in time: {', '.join(sorted(self._waiting))}")

    def waits(self) -> list[Wait]:
        """Who is waited for between the levels, since the switchover was begun."""
        match self.phase:
            case "quiescing" | "draining":
                what = [
                    f"{service} to finish the calls that it has accepted" for service in sorted(self._waiting)
                ]
            case "swapping":
                return [Wait(f"the ledger to name {self._to} master", self._began_ns, function=FUNCTION)]
            case "waiting":
                what = [f"{self._to} to serve"]
            case _:
                what = []  # its callbacks are waited for
        return [Wait(each, self._began_ns, self._deadline_ns, FUNCTION) for each in what]

    # ---- phases ----

    def _quiesce(self, phase: str) -> None:
        self.phase = phase
        self._deadline_ns = self._ssc.now_ns + QUIESCE_NS_MAX
        self._waiting = {s.service for s in self._ssc.servers.centralized}
        self._ssc.primaries(host_wire.Quiesce(self._term, handing_over=True))

    def _give_up(self) -> None:
        self.phase = "giving up"
        steps = plan(FUNCTION, self._ssc.servers.callbacks(self._ssc.servers.centralized))
        self._deadline_ns = self._ssc.now_ns + patience_ns(steps) + QUIESCE_NS_MAX
        self._ssc.runs.begin(
            FUNCTION,
            FUNCTION,
            steps,
            self._frame(),
            lambda reasons: self._gave_up(reasons, steps),
            descending=True,
            abortable=True,
        )

    def _frame(self) -> Frame:
        return Frame(self._cause, "primary", "secondary", peer=self._to)

    def _gave_up(self, reasons: tuple[str, ...] | None, steps: list[Step]) -> None:
        if reasons is not None:
            self._undo("; ".join(reasons))
            return
        self._gave = steps
        if steps:
            self._quiesce("draining")  # the callbacks may have written
        else:
            self._swap()

    def _swap(self) -> None:
        assert self._ssc.record is not None, "only a master hands over"
        vice = self._ssc.record.ready_vice
        if vice is None or vice.node != self._to:
            self._undo(f"{self._to} is no longer the ready vice")
            return
        self.phase = "swapping"
        self._ssc.feed(
            membership.HandOver(now_ns=self._ssc.now_ns, term=self._term, in_step=True, cause=self._cause)
        )

    def _undo(self, why: str) -> None:
        """Take back what was given up, then let calls go on: nothing has happened."""
        steps = [step for step in self._gave if self._ssc.servers.is_open(step.service)]
        if not steps:
            self._resume(why)
            return
        self.phase, self._gave = "undoing", []
        self._ssc.runs.begin(
            FUNCTION,
            FUNCTION,
            steps,
            self._frame(),
            lambda _: self._resume(why),
            descending=True,
            abortable=True,
            undo=True,
        )

    def _resume(self, why: str) -> None:
        self._ssc.primaries(host_wire.Resume(self._term))
        self._end(False, why)

    def _end(self, done: bool, why: str) -> None:
        told, self._ended, self.phase = self._ended, [], ""
        for ended in told:
            ended(done, why)
