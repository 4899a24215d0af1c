"""Changes of the table at a simulated agent, as the real one has them: taken in at the master, and carried out there.

Whether a change may begin, what is written down of it, and each of its steps are decided by the code of production.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from primacy.config_intent import against_now, intent
from primacy.config_plan import as_recorded, plan
from primacy.machines.applying import Applying, CarryOut, Effect, Look
from primacy.machines.change_record import Change
from primacy.machines.coordination import Answer, KeySwapped, Publish, RecordChanged, SwapKey
from primacy.machines.ids import MS
from primacy.machines.membership import SwapAnswer
from primacy.machines.swap import Outcome
from primacy.sim import tables

if TYPE_CHECKING:
    from primacy.sim.agent import Agent

BEGIN_NS_MAX = 3_000 * MS
AGAIN_NS = 20 * MS
_CAME_FIRST = "the table was changed meanwhile: another change came first a moment ago"
_AWAY = "the ledger does not answer: nothing was changed"
_LEFT_OPEN = "the ledger has not answered in time: the change may have begun"

Answered = Callable[[Answer], None]


class Wanted(Struct, frozen=True):
    """What an operator asks for. revision: of the table that was looked at first; None: whatever stands.

    replace: it takes the place of a change in progress.
    """

    id: str
    table: bytes
    revision: int | None
    replace: bool
    reason: str


class Applier:
    """The changes at one life of a node. on_wake(): there is something to look at."""

    def __init__(self, agent: Agent, on_wake: Callable[[], None]) -> None:
        self._agent, self._on_wake = agent, on_wake
        self.machine = Applying(agent.member.node)

    @property
    def change(self) -> Change | None:
        """The change in progress."""
        return self.machine.changes.current

    @property
    def leaving(self) -> tuple[str, ...]:
        """The nodes that the change in progress takes away."""
        return self.change.leaving if self.change is not None else ()

    def told(self, key: str, revision: int, value: bytes | None) -> None:
        """The ledger's watch tells the changes, or the table."""
        now_ns = self._agent.clock.now_ns
        self._obey(self.machine.told(RecordChanged(now_ns=now_ns, key=key, revision=revision, value=value)))
        self._on_wake()

    def proceed(self, look: Look) -> str:
        """At the master: take the next step; return what it waits for, in words."""
        self._obey(self.machine.proceed(look))
        return self.machine.waits

    def followed(self, look: Look) -> None:
        """At the master: every member goes by the table in force."""
        self._obey(self.machine.followed(look))

    def _obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SwapKey(key=key, expect=expect, value=value, token=token):
                    self._agent.ledger.swap_key(
                        self._agent.member.node, key, expect, value, self._answer(token)
                    )
                case Publish(event=event):
                    self._agent.publish(event)
                case CarryOut():
                    self._carry_out(effect)

    def _answer(self, token: int) -> Callable[[SwapAnswer, int], None]:
        return lambda answer, revision: self._agent.deliver(self._swapped, token, answer, revision)

    def _swapped(self, token: int, answer: SwapAnswer, revision: int) -> None:
        now_ns = self._agent.clock.now_ns
        said = KeySwapped(now_ns=now_ns, token=token, answer=answer, revision=revision)
        self._obey(self.machine.swapped(said))
        self._on_wake()

    def _carry_out(self, order: CarryOut) -> None:
        arguments = {"node": order.node, "operation": order.operation, "reason": order.reason}

        def answered(answer: Answer) -> None:
            why = () if answer.kind in ("accepted", "done") else answer.reasons or (answer.kind,)
            self.machine.answered(order.operation, why, self._agent.clock.now_ns)
            self._on_wake()

        self._agent.ask(order.function, arguments, answered)

    # ---- operators ----

    def serve(self, wanted: Wanted, answered: Answered) -> None:
        """At the master: begin this change; asked again it is the same one."""
        if self.machine.changes.known(wanted.id) is not None:
            self._begun(wanted.id, answered, BEGIN_NS_MAX)
            return
        agent, records = self._agent, self._agent.records
        stands, table = as_recorded(records.table, records.entries), tables.decode(wanted.table)
        planned = plan(stands, table, frozenset(agent.links.members))
        against = [
            *against_now(
                self.change,
                records.operations.current,
                records.table_revision,
                made_from=wanted.revision,
                replace=wanted.replace,
                progress=self.machine.waits,
            ),
            *planned.against,
        ]
        if against:
            answered(Answer(0, "refused", {}, tuple(against)))
        elif not planned.steps:
            answered(Answer(0, "done", {}))
        else:
            now_ms = agent.scheduler.now_ns // MS
            change = intent(
                wanted.id,
                planned,
                records.table_revision,
                reason=wanted.reason,
                by="an operator",
                now_ms=now_ms,
            )
            self._begin(change, answered)

    def _begin(self, change: Change, answered: Answered) -> None:
        said: list[Outcome | None] = []  # None: it took too long

        def settled(outcome: Outcome | None) -> None:
            if said:
                return
            said.append(outcome)
            match outcome:
                case Outcome.DONE:
                    self._begun(change.id, answered, BEGIN_NS_MAX)
                case Outcome.LOST:
                    answered(Answer(0, "refused", {}, (_CAME_FIRST,)))
                case None:
                    answered(Answer(0, "failed", {}, (_LEFT_OPEN,)))
                case _:
                    answered(Answer(0, "failed", {}, (_AWAY,)))
            self._on_wake()

        agent = self._agent
        self._obey(self.machine.begin(change, agent.clock.now_ns, settled))
        agent.timer(agent.scheduler.now_ns + BEGIN_NS_MAX, settled, None)

    def _begun(self, id: str, answered: Answered, left_ns: int) -> None:
        """Wait a moment for the table to be written, so that whoever asked hears of a conflict at once."""
        change, agent = self.machine.changes.known(id), self._agent
        if change is not None and change.outcome == "refused":
            answered(Answer(0, "refused", {}, change.reasons))
        elif left_ns <= 0 or change is None or change.index > 0 or change.outcome or not change.table:
            answered(Answer(0, "accepted", {}))
        else:
            agent.timer(agent.scheduler.now_ns + AGAIN_NS, self._begun, id, answered, left_ns - AGAIN_NS)
