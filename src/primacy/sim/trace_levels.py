"""S5 and one answer for each question, judged step by step on the record of each life.

A level of a callback sequence starts when every callback of the level before has ended on this node; in initialization,
on a node that is not master, when its master has said that it completed that level; reconnection starts, and a primary
serves, when the last level of the take-over is complete. What a master is heard to say it has said (checked where its
record is at hand). A question is answered once at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from primacy.machines import coordination as ssc
from primacy.machines import events, host_wire, peer_wire
from primacy.machines import membership as cmm
from primacy.machines.ids import Member
from primacy.machines.records import Mastership
from primacy.machines.sequence import EVERY_LEVEL
from primacy.sim.trace_checks import Finding
from primacy.sim.trace_replay import Step

_TAKE_OVER = ("failover", "switchover")


@dataclass(slots=True)
class _Run:
    service: str
    function: str
    level: int
    together: bool  # it belongs to the sequence of all services, not to that of a single one


@dataclass(slots=True)
class _Party:
    """What one life knows and does. open: the highest level of initialization that may start."""

    record: Mastership | None = None
    role: str = ""
    served: int = 0
    open: int = 0
    runs: dict[int, _Run] = field(default_factory=dict)
    sequences: set[str] = field(default_factory=set)  # of all services, in progress
    heard: dict[str, tuple[str, int]] = field(default_factory=dict)
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)


class Levels:
    """Judges all lives; fail(finding) is called for what is not true."""

    def __init__(self, fail: Callable[[Finding], None]) -> None:
        self._fail = fail
        self._parties: dict[Member, _Party] = {}
        self._said: dict[Member, set[peer_wire.Progress]] = {}
        self._heard: list[tuple[Member, peer_wire.Progress, str]] = []

    def saw(self, step: Step) -> None:
        """Judge one step."""
        party = self._parties.setdefault(step.life.member, _Party())
        if isinstance(step.input, ssc.Input):
            self._given(step, party, step.input)
        else:
            self._question(step, party, step.input)
        for effect in step.effects:
            if isinstance(step.input, ssc.Input):
                self._effect(step, party, effect)
            self._answer(step, party, effect)

    def finish(self, complete: frozenset[Member]) -> None:
        """All has been read. complete: the lives whose records hold all that they said."""
        for member, progress, where in self._heard:
            if member in complete and progress not in self._said.get(member, set()):
                self._fail(
                    Finding(
                        "S5", f"{where} heard {member} say {progress}, which is not in that node's record"
                    )
                )

    # ---- levels ----

    def _given(self, step: Step, party: _Party, given: ssc.Input) -> None:
        match given:
            case ssc.HostSaid(message=host_wire.Ran(id=run)):
                party.runs.pop(run, None)
            case ssc.HostExited(service=service):
                party.runs = {n: run for n, run in party.runs.items() if run.service != service}
            case ssc.Membership(effect=cmm.Adopted(record=record)):
                party.record = record
            case ssc.Membership(effect=cmm.Became(role=role)):
                party.role = role
            case ssc.Membership(effect=cmm.Served(term=term)):
                party.served = max(party.served, term)
            case ssc.PeerSaid(node=node, incarnation=incarnation, message=peer_wire.Progress() as progress):
                self._heard.append((Member(node, incarnation), progress, step.where))
                if progress.function == "initialize":
                    level = EVERY_LEVEL if progress.complete else progress.level
                    life, known = party.heard.get(node, ("", 0))
                    party.heard[node] = (incarnation, max(level, known if life == incarnation else 0))
            case ssc.Asked(id=id):
                party.asked["request", id] += 1
        party.open = max(party.open, self._barrier(party))

    @staticmethod
    def _barrier(party: _Party) -> int:
        if party.record is None:
            return 0
        if party.role == "master" or party.served == party.record.term:
            return EVERY_LEVEL
        incarnation, level = party.heard.get(party.record.master.node, ("", 0))
        return level if incarnation == party.record.master.incarnation else 0

    def _effect(self, step: Step, party: _Party, effect: object) -> None:
        match effect:
            case ssc.Publish(event=events.FunctionBegan(function=function)) if function != "reconnect":
                party.sequences.add(function)
            case ssc.Publish(event=events.FunctionEnded(function=function)):
                party.sequences.discard(function)
            case ssc.ToHost(service=service, message=host_wire.Run(id=run, context=context)):
                self._begun(step, party, run, service, context)
            case ssc.ToHost(message=host_wire.Cancel(id=run)):
                party.runs.pop(run, None)
            case ssc.ToHost(message=host_wire.Serve(term=term)):
                party.served = max(party.served, term)
                waits = [r for r in party.runs.values() if r.together and r.function in _TAKE_OVER]
                if waits:
                    self._fail(
                        Finding("S5", f"{step.where}: term {term} serves, but {_names(waits)} has not ended")
                    )
            case ssc.TellNode(message=peer_wire.Progress() as progress):
                self._said.setdefault(step.life.member, set()).add(progress)

    def _begun(self, step: Step, party: _Party, run: int, service: str, context: host_wire.Context) -> None:
        function, level = context.function, context.level
        together = function in party.sequences
        what = f"{step.where}: level {level} of {function} begins at {service}"
        before = [
            r
            for r in party.runs.values()
            if r.function == function
            and r.level != level
            and (r.service == service or (together and r.together))
        ]
        if before:
            self._fail(Finding("S5", f"{what}, but {_names(before)} has not ended"))
        if function == "initialize" and together and level > party.open:
            self._fail(Finding("S5", f"{what}, but its master has completed level {party.open} only"))
        if function == "reconnect" and party.served < context.term:
            self._fail(Finding("S5", f"{what}, but term {context.term} does not serve yet"))
        party.runs[run] = _Run(service, function, level, together)

    # ---- questions and answers ----

    @staticmethod
    def _question(step: Step, party: _Party, given: object) -> None:
        if isinstance(given, cmm.Force):
            party.asked["force", given.id] += 1

    def _answer(self, step: Step, party: _Party, effect: object) -> None:
        match effect:
            case ssc.Answer(id=id):
                kind = "request"
            case cmm.ForceAnswered(id=id):
                kind = "force"
            case _:
                return
        party.asked[kind, id] -= 1
        if party.asked[kind, id] < 0:
            self._fail(
                Finding("one outcome", f"{step.where}: {kind} {id} is answered, though nobody waits for it")
            )


def _names(runs: list[_Run]) -> str:
    return ", ".join(f"level {r.level} of {r.function} at {r.service}" for r in runs)
