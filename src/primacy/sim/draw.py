"""Draws a list of faults from a source of randomness.

It is coincidences that break things, so most faults come shortly after another one, durations are of every
order of magnitude around the grace, each list uses some kinds of faults only (a search over all kinds at once
finds less), and half of the lists hold a *pattern*: a few faults that meddle with one change of the
mastership, for example a master that falls silent while its vice's line to the ledger is uncertain.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from primacy.sim.faults import FROZEN, LEDGER, OBITUARY, STOPS, THEN, Fault

_WEIGHTS = {
    "crash": 5, "power": 3, "freeze": 6, "stop": 6, "kill": 3, "cut": 4, "isolate": 4, "loss": 2, "delay": 3,
    "duplicate": 1, "clients": 1, "client": 1, "filter": 2, "ledger": 6, "watch": 2, "disk": 2, "obituary": 2,
    "switchover": 4,
}  # fmt: skip
_UNCERTAIN = ("uncertain", "written", "late", "never", "deaf", "deaf", "partition", "unavailable")


def draw(
    source: random.Random, nodes: Sequence[str], grace_ms: float, begin_ms: int, end_ms: int
) -> tuple[Fault, ...]:
    """Draw a list of faults between two instants. grace_ms: the measure of all durations."""
    return _Drawer(source, nodes, grace_ms, begin_ms, end_ms).draw()


def draw_force(
    source: random.Random, nodes: Sequence[str], grace_ms: float, begin_ms: int, end_ms: int
) -> tuple[Fault, ...]:
    """Draw what makes an operator use force: all who have the state are gone for long, or seem to be."""
    at_ms, long_ms = source.randrange(begin_ms, (begin_ms + end_ms) // 2), int(8 * grace_ms + 3000)
    who, word = source.choice(nodes), source.choice(("word", "word", ""))
    faults = [_gone(source, at_ms, "vice", long_ms)]
    at_ms += source.choice((0, 0, int(source.uniform(0, 4) * grace_ms)))
    faults.append(_gone(source, at_ms, "master", long_ms))
    at_ms += int(source.uniform(0, 10) * grace_ms)
    for node in (who, *(source.choices(nodes) if source.random() < 0.3 else ())):
        faults.append(Fault(at_ms, "force", node, what=word, for_ms=max(end_ms - at_ms, 0)))
    if source.random() < 0.5:  # and the one that is asked has a bad line to the ledger
        begin_ms, for_ms = at_ms + source.randrange(500), int(grace_ms * source.uniform(0.2, 6))
        faults.append(Fault(begin_ms, "ledger", who, what=source.choice(LEDGER), for_ms=for_ms))
    return tuple(faults)


def _gone(source: random.Random, at_ms: int, who: str, for_ms: int) -> Fault:
    kind, what = source.choice((("power", ""), ("isolate", ""), ("freeze", "node"), ("crash", "sent")))
    return Fault(at_ms, kind, who, what=what, for_ms=for_ms)


class _Drawer:
    def __init__(
        self, source: random.Random, nodes: Sequence[str], grace_ms: float, begin_ms: int, end_ms: int
    ) -> None:
        self._random, self._nodes, self._grace_ms = source, nodes, grace_ms
        self._begin_ms, self._end_ms = begin_ms, end_ms
        self._patterns: tuple[Callable[[int], list[Fault]], ...] = (
            self._silent_master,
            self._silent_master,
            self._silent_vice,
            self._silent_vice,
            self._uncertain_switchover,
            self._new_vice,
            self._new_vice,
            self._quick_return,
            self._lost_writes,
            self._stale_reader,
        )

    def draw(self) -> tuple[Fault, ...]:
        """Draw some single faults, some patterns, or both."""
        source = self._random
        kinds = [kind for kind in _WEIGHTS if source.random() < 0.55] or ["crash"]
        faults: list[Fault] = []
        patterns = source.choice((0, 1, 1, 2, 3))
        for _ in range(patterns):
            at_ms = self._instant()
            faults += source.choice(self._patterns)(at_ms)
        at_ms = self._instant()
        for _ in range(source.randint(0 if patterns else 1, 10)):
            near = faults and source.random() < 0.6
            at_ms = at_ms + int(source.expovariate(2 / self._grace_ms)) if near else self._instant()
            kind = source.choices(kinds, [_WEIGHTS[kind] for kind in kinds])[0]
            faults.append(self._fault(kind, at_ms))
        return tuple(sorted(faults, key=lambda fault: fault.at_ms))

    # ---- amounts ----

    def _instant(self) -> int:
        return self._random.randrange(self._begin_ms, self._end_ms)

    def _ms(self, low: float, high: float) -> int:
        """A time in graces."""
        return int(self._grace_ms * self._random.uniform(low, high))

    def _any_ms(self) -> int:
        """A time of any order of magnitude between a beat and many graces."""
        return max(5, int(self._grace_ms * 10 ** self._random.uniform(-1.3, 1.0)))

    def _who(self) -> str:
        return self._random.choice(("master", "master", "vice", "vice", *self._nodes))

    # ---- single faults ----

    def _fault(self, kind: str, at_ms: int) -> Fault:
        source, who, for_ms = self._random, self._who(), self._any_ms()
        match kind:
            case "crash":
                return self._crash(at_ms, who, for_ms)
            case "power" | "isolate" | "clients":
                return Fault(at_ms, kind, who, for_ms=for_ms)
            case "client":
                return Fault(at_ms, kind, who, peer=source.choice(("c1", "c2", "c3")), for_ms=for_ms)
            case "freeze":
                return Fault(at_ms, kind, who, what=source.choice(FROZEN), for_ms=for_ms)
            case "stop":
                process, effect = source.choice(STOPS)
                return Fault(
                    at_ms, kind, who, what=f"{process}:{effect}", then=source.choice(THEN), for_ms=for_ms
                )
            case "cut" | "loss" | "delay" | "duplicate" | "filter":
                return self._spoilt(kind, at_ms, who, for_ms)
            case "ledger":
                return Fault(
                    at_ms, kind, source.choice((who, who, "*")), what=source.choice(LEDGER), for_ms=for_ms
                )
            case "watch":
                return Fault(at_ms, kind, who, for_ms=for_ms, amount=float(source.randint(50, 3000)))
            case "disk":
                return Fault(
                    at_ms, kind, who, for_ms=for_ms, amount=float(source.choice((10, 100, 500, 5000)))
                )
        return Fault(at_ms, kind, who)  # kill, obituary, switchover

    def _crash(self, at_ms: int, who: str, for_ms: int) -> Fault:
        late_ms = self._random.randint(20, 4000)
        return Fault(at_ms, "crash", who, what=self._random.choice(OBITUARY), for_ms=for_ms, amount=late_ms)

    def _spoilt(self, kind: str, at_ms: int, who: str, for_ms: int) -> Fault:
        source = self._random
        peer = source.choice([node for node in (*self._nodes, "vice", "master") if node != who])
        link = source.choice((-1, -1, 0, 1))
        amounts = {"loss": source.uniform(0.05, 0.9), "duplicate": 0.5, "delay": self._ms(0.05, 3)}
        return Fault(
            at_ms, kind, who, peer, for_ms=for_ms, link=link, amount=round(amounts.get(kind, 0.0), 2)
        )

    # ---- patterns ----

    def _silence(self, at_ms: int, who: str, for_ms: int) -> Fault:
        """One of the ways to fall silent: frozen, cut off in both directions or in one, very late, dead."""
        source, peer = self._random, "master" if who == "vice" else "vice"
        way = source.choice(
            ("freeze", "freeze", "agent", "isolate", "cut", "back", "delay", "crash", "power")
        )
        match way:
            case "freeze" | "agent":
                what = "node" if way == "freeze" else "agent"
                return Fault(at_ms, "freeze", who, what=what, for_ms=for_ms)
            case "isolate" | "power":
                return Fault(at_ms, way, who, for_ms=for_ms)
            case "cut":
                return Fault(at_ms, "cut", who, peer, for_ms=for_ms)
            case "back":
                return Fault(at_ms, "cut", peer, who, for_ms=for_ms)
            case "delay":
                late_ms = float(self._ms(0.5, 3))
                return Fault(at_ms, "delay", who, peer, for_ms=for_ms, amount=late_ms)
        return self._crash(at_ms, who, for_ms)

    def _ledger(self, at_ms: int, who: str, for_ms: int) -> Fault:
        return Fault(at_ms, "ledger", who, what=self._random.choice(_UNCERTAIN), for_ms=for_ms)

    def _silent_master(self, at_ms: int) -> list[Fault]:
        """The master falls silent for about a grace while a line to the ledger is bad."""
        silence = self._silence(at_ms, "master", self._ms(0.5, 2.5))
        ledger = self._ledger(
            at_ms - self._ms(0, 0.3), self._random.choice(("vice", "vice", "*")), self._ms(0.5, 3)
        )
        more = [self._ledger(at_ms, "master", self._ms(1, 5))] if self._random.random() < 0.5 else []
        return [silence, ledger, *more]

    def _silent_vice(self, at_ms: int) -> list[Fault]:
        """The vice falls silent for about a lease while the master's line to the ledger is bad."""
        ledger = self._ledger(at_ms, "master", self._ms(0.3, 3))
        silence = self._silence(at_ms + self._ms(0, 0.3), "vice", self._ms(0.5, 2.5))
        more = [self._silence(at_ms + self._ms(0.5, 2), "master", self._ms(0.5, 3))]
        return [ledger, silence, *(more if self._random.random() < 0.5 else [])]

    def _uncertain_switchover(self, at_ms: int) -> list[Fault]:
        """A switchover whose swap is uncertain; perhaps the vice's news come late."""
        faults = [
            self._ledger(at_ms, "master", self._ms(0.2, 3)),
            Fault(at_ms + self._ms(0, 0.2), "switchover"),
        ]
        if self._random.random() < 0.6:
            faults.append(
                self._silence(
                    at_ms + self._ms(0, 1), self._random.choice(("master", "vice")), self._ms(0.3, 3)
                )
            )
        return faults

    def _new_vice(self, at_ms: int) -> list[Fault]:
        """The vice dies, another is appointed and made ready; then the master's line is bad, then it is silent."""
        faults = [Fault(at_ms, "crash", "vice", what="sent", for_ms=self._ms(0.05, 1.5))]
        soon_ms = at_ms + self._random.choice((self._ms(0, 0.5), self._random.randint(0, 700)))
        faults.append(self._ledger(soon_ms, "master", self._ms(0.5, 8)))
        if self._random.random() < 0.7:
            later_ms = soon_ms + self._random.choice((self._ms(0, 2), self._random.randint(0, 900)))
            who = self._random.choice(("master", "master", "vice"))
            faults.append(self._silence(later_ms, who, self._ms(0.8, 4)))
        return faults

    def _quick_return(self, at_ms: int) -> list[Fault]:
        """A node dies without being mourned, and is back within a grace; the other is frozen meanwhile."""
        who, other = self._random.choice((("vice", "master"), ("master", "vice")))
        obituary = self._random.choice(("lost", "late"))
        crash = Fault(
            at_ms, "crash", who, what=obituary, for_ms=self._ms(0, 0.5), amount=float(self._ms(0.2, 6))
        )
        freeze = Fault(at_ms - self._ms(0, 0.3), "freeze", other, what="node", for_ms=self._ms(0.2, 3))
        return [crash, freeze] if self._random.random() < 0.5 else [crash]

    def _lost_writes(self, at_ms: int) -> list[Fault]:
        """The master's disk is slow or its vice cut off, then its power fails."""
        slow = Fault(
            at_ms,
            "disk",
            "master",
            for_ms=self._ms(2, 8),
            amount=float(self._random.choice((100, 500, 5000))),
        )
        silence = self._silence(at_ms + self._ms(0, 1), "vice", self._ms(1, 4))
        how = self._random.choice(("power", "power", "kill", "crash"))
        later_ms = at_ms + self._ms(0.2, 5)
        last = Fault(later_ms, how, "master", what="sent" if how == "crash" else "", for_ms=self._ms(0.1, 1))
        return [slow, silence, last] if self._random.random() < 0.7 else [slow, last]

    def _stale_reader(self, at_ms: int) -> list[Fault]:
        """The primary stops in the middle of its work, and one client does not hear of the next one."""
        effect = self._random.choice(("Evaluate", "Evaluate", "Reply"))
        stop = Fault(at_ms, "stop", "master", what=f"host:{effect}", then="freeze", for_ms=self._ms(1.2, 5))
        client = self._random.choice(("c1", "c2", "c3"))
        return [stop, Fault(at_ms - 5, "client", "vice", peer=client, for_ms=self._ms(3, 8))]
