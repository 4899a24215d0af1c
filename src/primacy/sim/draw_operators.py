"""Draws what operators and users' code do to a cluster: requests, orderly departures, maintenance, callbacks that fail.

Two requests mostly come close together, for one at a time is easy; what is taken down is often put up again; and
callbacks fail mostly while somebody asks for a function that runs them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from primacy.sim.callbacks import MOODS
from primacy.sim.faults import Fault
from primacy.sim.settings import DOOR, LOGBOOK, NAMING

_VERBS = {
    "switchover": 6,
    "demote": 4,
    "promote": 3,
    "qualify": 2,
    "disqualify": 4,
    "shutdown": 4,
    "remove": 1,
}
_BACK = {"demote": ("promote",), "disqualify": ("qualify", "promote")}
_SERVICES = (LOGBOOK, LOGBOOK, LOGBOOK, DOOR)


def draw_operators(
    source: random.Random, nodes: Sequence[str], grace_ms: float, begin_ms: int, end_ms: int
) -> tuple[Fault, ...]:
    """Draw a list between two instants; a part of it may happen to nobody, and then does nothing."""
    drawer = _Drawer(source, nodes, grace_ms)
    faults: list[Fault] = []
    at_ms = begin_ms
    for _ in range(source.choice((1, 1, 2, 3, 5))):
        near = faults and source.random() < 0.5
        at_ms = at_ms + drawer.soon_ms() if near else source.randrange(begin_ms, end_ms)
        faults += drawer.event(at_ms)
    return tuple(sorted((fault for fault in faults if fault.at_ms < end_ms), key=lambda fault: fault.at_ms))


class _Drawer:
    def __init__(self, source: random.Random, nodes: Sequence[str], grace_ms: float) -> None:
        self._random, self._nodes, self._grace_ms = source, nodes, grace_ms

    def soon_ms(self) -> int:
        """A time that is short beside what a function takes, or of its order."""
        return int(self._random.choice((0, 5, 40, 2 * self._grace_ms)) * self._random.random())

    def event(self, at_ms: int) -> list[Fault]:
        """Draw one thing that somebody does."""
        source = self._random
        match source.choices(("ask", "leave", "maintain", "mood", "kill"), (12, 2, 2, 3, 2))[0]:
            case "leave":
                return self._leave(at_ms)
            case "maintain":
                return self._maintained(at_ms)
            case "mood":
                return [self._mood(at_ms)]
            case "kill":
                return [self._kill(at_ms, self._who())]
        return self._asked(at_ms)

    def _leave(self, at_ms: int) -> list[Fault]:
        """A node leaves; sometimes a host of it is just starting again."""
        who, started = self._who(), self._random.random() < 0.4
        killed = [self._kill(at_ms - self.soon_ms(), who)] if started else []
        return [*killed, Fault(at_ms, "leave", who, for_ms=self._long_ms())]

    def _maintained(self, at_ms: int) -> list[Fault]:
        """Maintenance; in half of them a primary fails, and sometimes somebody wants the vice to take over."""
        source = self._random
        scope, who = source.choice(("cluster", "cluster", *self._nodes)), self._who()
        ends_ms = float(self._long_ms()) if source.random() < 0.4 else 0.0
        faults = [Fault(at_ms, "maintain", who, scope, for_ms=self._long_ms(), amount=ends_ms)]
        for _ in range(source.choice((0, 0, 1, 3))):
            at_ms += int(source.uniform(0.05, 2) * self._grace_ms)
            faults.append(self._kill(at_ms, source.choice(("master", "master", "vice"))))
        if len(faults) > 1 and source.random() < 0.4:
            faults.append(self._ask(at_ms + self.soon_ms(), "switchover", ""))
        return faults

    def _kill(self, at_ms: int, who: str) -> Fault:
        return Fault(at_ms, "kill", who, what=self._random.choice((NAMING, LOGBOOK, LOGBOOK, DOOR)))

    def _asked(self, at_ms: int) -> list[Fault]:
        source, subject = self._random, self._who()
        verb = source.choices(list(_VERBS), list(_VERBS.values()))[0]
        faults = [self._ask(at_ms, verb, subject)]
        if source.random() < 0.35:
            faults.insert(0, self._mood(at_ms - self.soon_ms()))
        if source.random() < 0.6:
            later_ms = at_ms
            for back in _BACK.get(verb, ()):
                later_ms += int(source.uniform(0.1, 6) * self._grace_ms)
                faults.append(self._ask(later_ms, back, subject))
        if source.random() < 0.3:  # somebody else, at the same time
            other = source.choices(list(_VERBS), list(_VERBS.values()))[0]
            faults.append(self._ask(at_ms + self.soon_ms(), other, self._who()))
        return faults

    def _ask(self, at_ms: int, verb: str, subject: str) -> Fault:
        if verb == "switchover":
            subject = self._random.choice(("", "", "vice", subject))
        elif verb == "shutdown" and self._random.random() < 0.15:
            subject = ""  # all nodes
        asked = self._random.choice(self._nodes)
        return Fault(at_ms, "ask", asked, subject, what=verb, for_ms=self._long_ms())

    def _mood(self, at_ms: int) -> Fault:
        who, service = self._random.choice((*self._nodes, "master", "vice")), self._random.choice(_SERVICES)
        return Fault(
            at_ms, "mood", who, service, what=self._random.choice(MOODS), for_ms=self._long_ms() // 3
        )

    def _who(self) -> str:
        return self._random.choice(("master", "vice", *self._nodes))

    def _long_ms(self) -> int:
        return int(self._grace_ms * self._random.uniform(1, 12))
