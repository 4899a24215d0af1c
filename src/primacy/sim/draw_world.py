"""Draws what a harder world does: packets that are held, half-open streams, disks that fail, clocks that are wrong.

Each of these does little alone. So most of them come with something that makes them matter: what is held outlives
the lease or the life that it was for, a journal is damaged shortly before it is opened again, a power loss tears what a
slow disk was writing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from primacy.sim.disk import DAMAGES
from primacy.sim.faults import Fault
from primacy.sim.settings import LOGBOOK, NAMING

HALF_OPEN_MS_MAX = 6_500
"""The kernel notices a connection on which nothing passes within this time."""
BEYOND = ((500_000, 750_000), (1_350_000, 2_000_000))
BEYOND_STEEP = ((350_000, 420_000), (1_500_000, 2_000_000))
"""Rates that no grace allows beside the usual ones: about true time, and with a steep profile half of it or more."""


def draw_world(
    source: random.Random, nodes: Sequence[str], grace_ms: float, begin_ms: int, end_ms: int
) -> tuple[Fault, ...]:
    """Draw a list between two instants."""
    drawer = _Drawer(source, nodes, grace_ms)
    faults: list[Fault] = []
    for _ in range(source.choice((1, 1, 2, 3))):
        faults += drawer.pattern(source.randrange(begin_ms, end_ms))
    return tuple(sorted((f for f in faults if begin_ms <= f.at_ms < end_ms), key=lambda fault: fault.at_ms))


def draw_drift(source: random.Random, rates_ppm: tuple[int, ...], *, steep: bool) -> tuple[int, ...]:
    """Return these clock rates with one that is outside of what grace and lease allow."""
    low, high = source.choice(BEYOND_STEEP if steep else BEYOND)
    index = source.randrange(len(rates_ppm))
    return (*rates_ppm[:index], source.randint(low, high), *rates_ppm[index + 1 :])


class _Drawer:
    def __init__(self, source: random.Random, nodes: Sequence[str], grace_ms: float) -> None:
        self._random, self._nodes, self._grace_ms = source, nodes, grace_ms
        self._patterns: tuple[tuple[Callable[[int], list[Fault]], int], ...] = (
            (self._held, 3),
            (self._held_for_another_life, 3),
            (self._half_open, 2),
            (self._silent_end, 2),
            (self._torn, 2),
            (self._full, 3),
            (self._damaged, 2),
            (self._wall, 2),
        )

    def pattern(self, at_ms: int) -> list[Fault]:
        """Draw one thing that happens."""
        patterns, weights = zip(*self._patterns, strict=True)
        faults: list[Fault] = self._random.choices(patterns, weights)[0](at_ms)
        return faults

    def _ms(self, low: float, high: float) -> int:
        """A time in graces."""
        return int(self._grace_ms * self._random.uniform(low, high))

    def _who(self) -> str:
        return self._random.choice(("master", "master", "vice", "vice", *self._nodes))

    def _other(self, who: str) -> str:
        return self._random.choice([n for n in ("master", "vice", "*", *self._nodes) if n != who])

    def _hold(self, at_ms: int, who: str, other: str, for_ms: int) -> Fault:
        source = self._random
        what, then = source.choice(("order", "any order")), source.choice(("", "to", "from"))
        return Fault(at_ms, "hold", who, other, what=what, then=then, for_ms=for_ms)

    def _end(self, at_ms: int, who: str) -> Fault:
        """One of the ways in which a life ends; the next one begins soon."""
        back_ms = self._ms(0.1, 3)
        how = self._random.choice(("crash", "crash", "power", "kill"))
        if how == "crash":
            obituary = self._random.choice(("sent", "late", "lost"))
            return Fault(at_ms, how, who, what=obituary, for_ms=back_ms, amount=float(self._ms(0.2, 6)))
        service = self._random.choice((NAMING, LOGBOOK)) if how == "kill" else ""
        return Fault(at_ms, how, who, what=service, for_ms=0 if how == "kill" else back_ms)

    # ---- the network ----

    def _held(self, at_ms: int) -> list[Fault]:
        """Acknowledgements, beats or news come long after they were sent; perhaps while the ledger is away."""
        who = self._who()
        other = {"master": "vice", "vice": "master"}.get(who, self._other(who))
        faults = [self._hold(at_ms, who, other, self._ms(0.2, 8))]
        if self._random.random() < 0.3:
            what = self._random.choice(("uncertain", "late", "unavailable", "deaf"))
            faults.append(Fault(at_ms, "ledger", "master", what=what, for_ms=self._ms(0.5, 4)))
        return faults

    def _held_for_another_life(self, at_ms: int) -> list[Fault]:
        """What is released was sent to a life, or by one, that has ended meanwhile."""
        who, other = self._random.choice((("master", "vice"), ("vice", "master"), (self._who(), "*")))
        dies = self._random.choice([who, *(() if other == "*" else (other,))])
        end = self._end(at_ms + self._ms(0.1, 2), dies)
        return [self._hold(at_ms, who, other, self._ms(2, 10)), end]

    def _half_open(self, at_ms: int) -> list[Fault]:
        """A route has forgotten the streams between two; a client's too."""
        source, who = self._random, self._who()
        other = source.choice((self._other(who), "c1", "c2", "d1"))
        for_ms = min(self._ms(0.5, 20), HALF_OPEN_MS_MAX)
        return [Fault(at_ms, "half-open", who, other, then=source.choice(("", "to", "from")), for_ms=for_ms)]

    def _silent_end(self, at_ms: int) -> list[Fault]:
        """A machine loses its power, and no stream to it ends."""
        what = self._random.choice(("silent", "silent torn"))
        return [Fault(at_ms, "power", self._who(), what=what, for_ms=self._ms(0.1, 10))]

    # ---- disks ----

    def _torn(self, at_ms: int) -> list[Fault]:
        """A slow disk has much to write when the power fails; perhaps that of the other one, too."""
        who, slow = self._random.choice(("master", "vice")), self._random.choice((10.0, 100.0, 500.0))
        faults = [Fault(at_ms, "disk", who, for_ms=self._ms(2, 6), amount=slow)]
        at_ms += self._ms(0.2, 3)
        faults.append(Fault(at_ms, "power", who, what="torn", for_ms=self._ms(0.1, 3)))
        if self._random.random() < 0.3:
            other = "vice" if who == "master" else "master"
            faults.append(Fault(at_ms + self._ms(0, 1), "power", other, what="torn", for_ms=self._ms(0.1, 3)))
        return faults

    def _full(self, at_ms: int) -> list[Fault]:
        """A disk is full, or those of both, as they hold the same; perhaps something is opened meanwhile."""
        who = self._who()
        for_ms = self._ms(0.5, 12)
        faults = [Fault(at_ms, "full", who, for_ms=for_ms)]
        if who in ("master", "vice") and self._random.random() < 0.4:
            other = "vice" if who == "master" else "master"
            faults.append(Fault(at_ms + self._ms(0, 1), "full", other, for_ms=for_ms))
        if self._random.random() < 0.3:
            faults.append(self._end(at_ms + self._ms(0.1, 2), who))
        return faults

    def _damaged(self, at_ms: int) -> list[Fault]:
        """A journal is damaged or deleted, and soon opened again."""
        source, who = self._random, self._who()
        service = source.choice(("", NAMING, LOGBOOK, LOGBOOK))
        damage = Fault(at_ms, "damage", who, service, what=source.choice(DAMAGES))
        return [damage, self._end(at_ms + source.choice((1, self._ms(0, 2))), who)]

    # ---- clocks ----

    def _wall(self, at_ms: int) -> list[Fault]:
        """Somebody sets a node's wall clock, and back again."""
        hours = self._random.choice((-48.0, -2.0, -0.25, 0.25, 3.0, 72.0, 9_000.0))
        return [Fault(at_ms, "wall", self._who(), for_ms=self._ms(0.5, 12), amount=hours)]
