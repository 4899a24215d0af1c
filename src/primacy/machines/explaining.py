"""Why a node became master: one change of roles, told from the events of all nodes.

Takes the merged events as plain dictionaries (what `primacy events --json` prints) and finds the change that began a
term: who was master before, what was noticed, which rule decided on which inputs, and how long each phase took. A
phase lies between two events of one node, by that node's clock, so that no two clocks are compared; the reconnect
sequence runs on all nodes and is told by each node's own duration. What no event tells is left out.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from primacy.machines.accounts import account, ms
from primacy.machines.ids import MS
from primacy.machines.timeline import Event, inner, kind_of

PHASES = ("detect", "decide", "give up", "claim", "levels", "serving", "reconnect")
"""All phases in their order: noticed, decided, the former master's levels, the ledger's swap, the new master's
levels, service begins, the local services reattach on every node."""
_BEHIND = {
    "ClaimBegan": ("claim", "form", "force"),
    "MasterElected": ("claim", "form", "force", "rescue"),
    "MasterDeposed": ("rescue",),
    "FormationWaits": ("form",),
    "ViceAppointed": ("appoint",),
    "ViceInStep": ("ready",),
    "ViceDropped": ("drop",),
    "LeaseLapsed": ("drop",),
    "ServerDied": ("rescue",),
}
_BEFORE = {"ObituaryHeard", "ServerDied", "LeaseLapsed", "ViceDropped", "FunctionBegan", "FunctionEnded",
           "LevelCompleted", "OperationBegan", "OperationEnded", "CallbackFailed", "Decided"}  # fmt: skip


class Phase(Struct, frozen=True):
    """One phase of a change. ms: how long it took; what: between which two things."""

    phase: str
    ms: float
    what: str


class Explanation(Struct, frozen=True, rename={"former": "from"}):
    """One change of roles. former: the master before, empty when there was none or no event tells. events: those that
    it is told from, the decisions with their inputs among them (so it can be replayed)."""

    term: int
    how: str
    former: str
    to: str
    cause: str
    in_service: bool
    sentences: list[str]
    phases: list[Phase]
    events: list[Event]


def last_term(events: Iterable[Event]) -> int:
    """Return the term of the last change of roles; 0 when no event tells of one."""
    return max((inner(e).get("term", 0) for e in events if kind_of(e) == "MasterElected"), default=0)


def terms(events: Iterable[Event]) -> list[int]:
    """Return every term whose beginning is told, ascending."""
    return sorted({inner(e)["term"] for e in events if kind_of(e) == "MasterElected" and "term" in inner(e)})


def explain(events: Sequence[Event], term: int) -> Explanation | None:
    """Return the change of roles that began `term`; None when no event tells of it."""
    change = _Change(events, term)
    if change.elected is None:
        return None
    elected = inner(change.elected)
    return Explanation(
        term=term,
        how=str(elected.get("how", "")),
        former=change.former,
        to=change.to,
        cause=str(elected.get("cause", "")),
        in_service=change.serving is not None,
        sentences=change.sentences(),
        phases=change.phases(),
        events=change.told,
    )


def explain_event(events: Sequence[Event], node: str, number: int) -> tuple[Event, Event | None] | None:
    """Return an event and the decision behind it, if one was kept (an event of a decision is its own); None: there
    is no such event."""
    found = [e for e in events if e.get("node") == node and e.get("number") == number]
    if not found:
        return None
    event = found[-1]
    if kind_of(event) == "Decided":
        return event, event
    rules = _BEHIND.get(kind_of(event), ())
    near = [
        e
        for e in events
        if kind_of(e) == "Decided"
        and inner(e).get("rule") in rules
        and e.get("node") == node
        and e.get("incarnation") == event.get("incarnation")
    ]
    same = [e for e in near if abs(inner(e).get("term", 0) - inner(event).get("term", 0)) <= 1]
    return event, min(same, key=lambda e: abs(e["number"] - number), default=None)


def decision_lines(event: Event) -> list[str]:
    """Return a kept decision as sentences: what was decided, and everything that it looked at."""
    told = inner(event)
    lines = [f"{told.get('node', '?')} decided {told.get('decision', '?')} (rule `{told.get('rule', '?')}`)"]
    return lines + [f"  - {line}" for line in account(str(told.get("rule")), told.get("inputs") or {})]


class _Change:
    """The events of one change, found once."""

    def __init__(self, events: Sequence[Event], term: int) -> None:
        self._events, self.term = events, term
        self.elected = self._first("MasterElected", term)
        self.to = str(inner(self.elected).get("node", "")) if self.elected else ""
        earlier = [e for e in events if kind_of(e) == "MasterElected" and inner(e).get("term", 0) < term]
        before = max(earlier, key=lambda e: inner(e).get("term", 0), default=None)
        self.former = str(inner(before).get("node", "")) if before else ""
        self.former_term = int(inner(before).get("term", 0)) if before else 0
        self.serving = self._first("InService", term, self.to)
        self.claim = self._last("ClaimBegan", term, self.to)
        decided = [
            e
            for e in events
            if kind_of(e) == "Decided" and inner(e).get("rule") in ("claim", "form", "force", "rescue")
        ]
        self.decided = next(
            (e for e in reversed(decided) if self._began(e) and inner(e).get("rule") != "rescue"), None
        ) or next(
            (e for e in reversed(decided) if inner(e).get("rule") == "rescue" and self._ended_former(e)), None
        )
        self.permitted = self._permitted()
        self.told = [e for e in events if self._belongs(e)]

    # ---- finding ----

    def _of(self, name: str, term: int, node: str = "") -> list[Event]:
        return [
            e
            for e in self._events
            if kind_of(e) == name and inner(e).get("term") == term and node in ("", e.get("node"))
        ]

    def _first(self, name: str, term: int, node: str = "") -> Event | None:
        return next(iter(self._of(name, term, node)), None)

    def _last(self, name: str, term: int, node: str = "") -> Event | None:
        return next(reversed(self._of(name, term, node)), None)

    def _began(self, event: Event) -> bool:
        """Whether this decision made the new master claim: taken by this life of it, in a term before."""
        elected, result = self.elected, inner(event).get("result") or {}
        acts = result.get("type") in ("Claim", "Form", "Force") and inner(event).get("term", 0) < self.term
        if elected is None or not acts or inner(elected).get("how") == "switchover":
            return False
        same = all(event.get(name) == elected.get(name) for name in ("node", "incarnation"))
        return same and event["number"] < elected["number"]

    def _ended_former(self, event: Event) -> bool:
        result = inner(event).get("result") or {}
        acts = result.get("type") in ("HandOver", "GoOn")
        return acts and inner(event).get("term") == self.former_term and event.get("node") == self.former

    def _belongs(self, event: Event) -> bool:
        term = inner(event).get("term", 0)
        if kind_of(event) in ("LinkChanged", "NodeChanged", "SchedulingGap"):
            return False
        if term == self.term:
            return True
        if kind_of(event) not in _BEFORE or not self.former_term <= term < self.term:
            return False
        if kind_of(event) == "ObituaryHeard":
            return inner(event).get("node") == self.former
        if kind_of(event).startswith("Function") or kind_of(event) == "LevelCompleted":
            return inner(event).get("function") == "switchover" and event.get("node") == self.former
        if kind_of(event) != "Decided":
            return True
        return event is self.decided or event is self.permitted or inner(event).get("rule") == "drop"

    def _permitted(self) -> Event | None:
        """The former master's decision to carry out the function that made it give its place up."""
        gives_up = self._gives_up("FunctionBegan")
        if self.decided is not None or gives_up is None:
            return None
        found = [
            e
            for e in self._of("Decided", self.former_term, self.former)
            if inner(e).get("rule") == "request"
            and (inner(e).get("result") or {}).get("type") == "Permit"
            and e["number"] < gives_up["number"]
        ]
        return found[-1] if found else None

    def _gives_up(self, name: str) -> Event | None:
        """The former master's way out of service, the last before it gave its place up."""
        found = [
            e
            for e in self._of(name, self.former_term, self.former)
            if inner(e).get("function") == "switchover"
        ]
        return found[-1] if found else None

    def _levels(self) -> Event | None:
        """The end of the sequence that took the new master into service."""
        assert self.elected is not None
        return next(
            (
                e
                for e in self._of("FunctionEnded", self.term, self.to)
                if inner(e).get("function") in ("failover", "switchover", "initialize")
                and e["number"] > self.elected["number"]
                and (self.serving is None or e["number"] < self.serving["number"])
            ),
            None,
        )

    def _obituary(self) -> Event | None:
        """The former master's obituary, as the new master heard it before it claimed."""
        found = [
            e
            for e in self._events
            if kind_of(e) == "ObituaryHeard"
            and e.get("node") == self.to
            and inner(e).get("node") == self.former
            and inner(e).get("term") == self.former_term
            and (self.claim is None or e["number"] < self.claim["number"])
        ]
        return found[-1] if found else None

    def _died(self) -> Event | None:
        return self._last("ServerDied", self.former_term, self.former) if self.decided_rescue else None

    @property
    def decided_rescue(self) -> bool:
        """Whether the former master's coordinator brought it about: a primary was lost there."""
        return self.decided is not None and inner(self.decided).get("rule") == "rescue"

    # ---- telling ----

    def phases(self) -> list[Phase]:
        """Return every phase that the events tell of."""
        return [*self._before_the_term(), *self._in_the_term()]

    def _before_the_term(self) -> list[Phase]:
        elected, claim = self.elected, self.claim
        assert elected is not None
        found: list[Phase | None] = []
        if claim is not None and inner(claim).get("silence_ns"):
            obituary = self._obituary()
            last_beat_ns = claim["wall_ns"] - inner(claim)["silence_ns"]
            noticed = obituary if obituary is not None else claim
            what = "its obituary" if obituary is not None else "the end of the grace"
            found.append(
                _span(
                    "detect",
                    last_beat_ns,
                    noticed["wall_ns"],
                    f"from the last beat of {self.former} to {what}",
                )
            )
            found.append(_between("decide", noticed, claim, "to the claim"))
        elif claim is not None:
            started = [
                e
                for e in self._events
                if kind_of(e) == "NodeStarted" and e.get("incarnation") == claim.get("incarnation")
            ]
            found.append(_between("decide", started[-1] if started else None, claim, "from the node's start"))
        if claim is not None:
            found.append(_between("claim", claim, elected, "the ledger's answer to the claim"))
            return [p for p in found if p is not None]
        left = self._last("MasterDeposed", self.term, self.former) or elected
        if self.decided_rescue:
            assert self.decided is not None
            found.append(_between("decide", self._died(), self.decided, "from the loss of the primary"))
            found.append(_between("claim", self.decided, left, "the ledger's answer to the hand-over"))
            return [p for p in found if p is not None]
        asked = self._last("OperationBegan", self.former_term)
        gives_up = self._gives_up("FunctionBegan")
        gave_up = self._gives_up("FunctionEnded")
        found.append(_between("decide", asked, gives_up, "from the intent to quiesced primaries"))
        found.append(_between("give up", gives_up, gave_up, f"the levels of {self.former}"))
        found.append(_between("claim", gave_up, left, "drained, and the ledger's answer to the hand-over"))
        return [p for p in found if p is not None]

    def _in_the_term(self) -> list[Phase]:
        levels = self._levels()
        serving = self.serving
        found = [
            _between("levels", self.elected, levels, f"the levels of {self.to} to its last"),
            _between("serving", levels or self.elected, serving, "to service"),
        ]
        back = [e for e in self._of("FunctionEnded", self.term) if inner(e).get("function") == "reconnect"]
        if back:
            longest = max(float(inner(e).get("duration_ms", 0.0)) for e in back)
            found.append(Phase("reconnect", longest, f"the longest of {len(back)} nodes, by its own clock"))
        return [p for p in found if p is not None]

    def sentences(self) -> list[str]:
        """Return the change as an operator reads it."""
        assert self.elected is not None
        elected = inner(self.elected)
        before = f", after {self.former} (term {self.former_term})" if self.former else ""
        lines = [f"{self.to} became master of term {self.term} by {elected.get('how')}{before}."]
        lines.append(f"Cause, as the record has it: {elected.get('cause')}.")
        if self.decided is not None:
            lines += decision_lines(self.decided)
        elif elected.get("how") == "switchover":
            lines.append(f"{self.former} handed over in order, because it was asked to.")
            lines += decision_lines(self.permitted) if self.permitted is not None else []
        lines += self._noticed()
        lines += self._aftermath()
        return lines

    def _noticed(self) -> list[str]:
        """Return what else was noticed in the term before that bears on the change."""
        found = self._of("ViceDropped", self.former_term) + self._of("LeaseLapsed", self.former_term)
        return [f"Before that: {e.get('sentence')}." for e in found[-1:]]

    def _aftermath(self) -> list[str]:
        if self.serving is None:
            return [f"No event tells that {self.to} serves term {self.term} yet."]
        start = self.claim["wall_ns"] - inner(self.claim).get("silence_ns", 0) if self.claim else None
        lines = []
        if start is not None and inner(self.claim or {}).get("silence_ns"):
            total_ns = self.serving["wall_ns"] - start
            lines.append(
                f"{ms(total_ns)} after the last beat of {self.former} the cluster was in service again."
            )
        for name, what in (("ViceAppointed", "was appointed vice"), ("ViceInStep", "was the ready vice")):
            event = self._first(name, self.term, self.to)
            if event is not None:
                after = ms(event["wall_ns"] - self.serving["wall_ns"])
                lines.append(f"{inner(event).get('node')} {what} {after} after service began.")
        later = self._of("ViceDropped", self.term, self.to)
        lines += [f"Since then: {e.get('sentence')}." for e in later[-1:]]
        return lines


def _between(phase: str, begins: Event | None, ends: Event | None, what: str) -> Phase | None:
    """A phase between two events of one node; None when one is missing, or they are of two clocks."""
    if begins is None or ends is None or begins.get("node") != ends.get("node"):
        return None
    return _span(phase, begins["wall_ns"], ends["wall_ns"], what)


def _span(phase: str, from_ns: int, to_ns: int, what: str) -> Phase:
    return Phase(phase, round(max(0, to_ns - from_ns) / MS, 3), what)
