"""Draws what operators do to the configuration of a running cluster: changes of the table, two at once, in bad moments.

Most changes meet something else: another change, a function that somebody asks for, a node that dies.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from primacy.sim.faults import Fault
from primacy.sim.operator_changes import LOOKED, REPLACE
from primacy.sim.settings import DOOR, LOGBOOK, MORE

_EDITS = {
    "slower": 6,
    "alter": 4,
    "hook": 2,
    "ineligible": 3,
    "eligible": 2,
    "priority": 2,
    "renumber": 2,
    "relink": 2,
    "options": 1,
    "leave": 2,
    "add": 3,
    "drop": 2,
}
_WITH_SPARES = {"enter": 4, "enter-ineligible": 3}
_TIMES = (0.6, 0.8, 1.5, 2.0, 3.0)
_BACK = {
    "ineligible": "eligible",
    "add": "drop",
    "enter": "leave",
    "enter-ineligible": "eligible",
    "drop": "add",
}
_FUNCTIONS = ("switchover", "demote", "disqualify", "qualify", "shutdown", "remove")


def draw_changes(
    source: random.Random,
    nodes: Sequence[str],
    spares: Sequence[str],
    grace_ms: float,
    begin_ms: int,
    end_ms: int,
) -> tuple[Fault, ...]:
    """Draw a list between two instants. spares: machines that may be added."""
    drawer = _Drawer(source, nodes, spares, grace_ms)
    faults: list[Fault] = []
    at_ms = source.randrange(begin_ms, begin_ms + (end_ms - begin_ms) // 2)
    for _ in range(source.choice((1, 1, 2, 3))):
        faults += drawer.event(at_ms)
        at_ms += drawer.soon_ms() if source.random() < 0.6 else source.randrange(500, 3_000)
    return tuple(sorted((fault for fault in faults if fault.at_ms < end_ms), key=lambda fault: fault.at_ms))


class _Drawer:
    def __init__(
        self, source: random.Random, nodes: Sequence[str], spares: Sequence[str], grace_ms: float
    ) -> None:
        self._random, self._nodes, self._spares, self._grace_ms = source, nodes, spares, grace_ms

    def soon_ms(self) -> int:
        """A time that is short beside what a change takes, or of its order."""
        return int(self._random.choice((0, 10, 100, 500, 4 * self._grace_ms)) * self._random.random())

    def event(self, at_ms: int) -> list[Fault]:
        """Draw one change, and what meets it."""
        source = self._random
        change = self._change(at_ms)
        faults = [change]
        if source.random() < 0.4:
            faults.append(self._meets(at_ms + self.soon_ms()))
        back = _BACK.get(change.what)
        if back is not None and source.random() < 0.6:
            later_ms = at_ms + source.randrange(200, 3_000)
            faults.append(Fault(later_ms, "configure", source.choice(self._nodes), change.peer, back))
        return faults

    def _change(self, at_ms: int) -> Fault:
        source = self._random
        edits = _EDITS | (_WITH_SPARES if self._spares else {})
        what = source.choices(list(edits), list(edits.values()))[0]
        about, amount = self._about(what)
        if source.random() < 0.15:
            what += source.choice(("+options", "+priority" if about in self._nodes else "+options"))
        then = source.choices(("", LOOKED, REPLACE), (3, 2, 2))[0]
        asked = source.choice(self._nodes)
        return Fault(at_ms, "configure", asked, about, what, then, amount=amount)

    def _about(self, what: str) -> tuple[str, float]:
        """Return who or what an edit is about, and by how much."""
        source = self._random
        match what:
            case "slower":
                return "", source.choice(_TIMES)
            case "add" | "drop":
                return source.choice([row.id for row in MORE] * 2 + [DOOR] * (what == "drop")), 0.0
            case "alter" | "hook":
                return LOGBOOK, float(source.randint(3, 30)) if what == "alter" else 0.0
            case "enter" | "enter-ineligible":
                return source.choice(self._spares), 0.0
            case "options":
                return "", 0.0
        who = source.choice(("master", "vice", *self._nodes, *self._nodes, *self._spares))
        return who, float(source.randint(0, 3)) if what in ("priority", "renumber", "relink") else 0.0

    def _meets(self, at_ms: int) -> Fault:
        """Something else that happens while a change is under way."""
        source = self._random
        who = source.choice(("master", "vice", *self._nodes, *self._spares))
        match source.choices(("crash", "power", "ask", "ledger", "isolate", "unlink"), (8, 4, 6, 6, 2, 1))[0]:
            case "crash":
                late_ms = source.randrange(50, 2_000)
                return Fault(
                    at_ms, "crash", who, what=source.choice(("sent", "sent", "lost")), for_ms=late_ms
                )
            case "power":
                return Fault(at_ms, "power", who, for_ms=source.randrange(50, 3_000))
            case "ledger":
                mode = source.choice(("uncertain", "late", "written", "unavailable", "never"))
                return Fault(at_ms, "ledger", who, what=mode, for_ms=source.randrange(50, 1_500))
            case "isolate" | "unlink" as kind:
                return Fault(at_ms, kind, who, for_ms=source.randrange(50, 2_000))
        verb = source.choice(_FUNCTIONS)
        subject = "" if verb == "switchover" else who
        return Fault(at_ms, "ask", source.choice(self._nodes), subject, what=verb, for_ms=2_000)
