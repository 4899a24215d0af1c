"""How the clients of a run behave, beyond one loop each that waits for ever: drawn from the seed, stored with the plan.

Without manners every client lives as long as its run, asks one thing after the other (or a few together), and is
patient; there is one client of naming, which asks little.
"""

from __future__ import annotations

import random

import msgspec

OPEN_LOOP_MAX = 64
"""Operations of one client that may be outstanding in an open loop; while there are so many, none arrives."""


class Manners(msgspec.Struct, frozen=True, omit_defaults=True):
    """Pairs are bounds, in milliseconds, and (0, 0) means never.

    every_ms: open loop, operations arrive at random instants, so often in the mean, whatever is outstanding (0: closed
    loop). deadline_ms: how long an operation may take. life_ms: how long a client lives, before it comes again with a
    new session; killed: the share of those that die, the others close in order. watch_ms: how long a watch lasts,
    before it is ended and begun again where it was; clients of the logbook watch, too, and some watch a part only.
    abandoned: the share of operations whose callers give them up after a while. confirmed: the share of reads that wait
    for an echo of the vice. names: clients of naming; names_every_ms: their pauses; tied: the share of what they bind
    that ends with their session. uptime_times: so many times faster than its clock a service counts its uptime, by
    which sessions end: one that is left behind ends within the run.
    """

    every_ms: int = 0
    deadline_ms: tuple[int, int] = (0, 0)
    life_ms: tuple[int, int] = (0, 0)
    killed: float = 0.0
    abandoned: float = 0.0
    watch_ms: tuple[int, int] = (0, 0)
    confirmed: float = 0.0
    names: int = 1
    names_every_ms: tuple[int, int] = (200, 800)
    tied: float = 0.0
    uptime_times: int = 1

    def sentences(self) -> list[str]:
        """Return what is unusual, in words."""
        told: list[str] = []
        if self.every_ms:
            told.append(f"operations arrive every {self.every_ms} ms, whatever is outstanding")
        if self.deadline_ms != (0, 0):
            told.append(f"operations may take {_span(self.deadline_ms)}")
        if self.abandoned:
            told.append(f"{self.abandoned:.0%} of the operations are given up after a while")
        if self.life_ms != (0, 0):
            told.append(
                f"clients live for {_span(self.life_ms)}; {self.killed:.0%} of them die, the others close"
            )
        if self.watch_ms != (0, 0):
            told.append(
                f"each client watches; watches are ended and begun again after {_span(self.watch_ms)}"
            )
        if self.confirmed:
            told.append(f"{self.confirmed:.0%} of the reads are confirmed by the vice")
        if (self.names, self.names_every_ms) != (1, (200, 800)):
            told.append(f"{self.names} clients of naming, with pauses of {_span(self.names_every_ms)}")
        if self.tied:
            told.append(f"{self.tied:.0%} of the names are bound for as long as a session")
        if self.uptime_times != 1:
            told.append(f"sessions end {self.uptime_times} times sooner")
        return told


def _span(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]} to {bounds[1]} ms"


PLAIN = Manners()


def draw_manners(source: random.Random) -> Manners:
    """Draw manners for a share of the runs; the others have none."""
    if source.random() < 0.5:
        return PLAIN
    wants = [source.random() < 0.5 for _ in range(6)]
    opened, hurried, mortal, watching, confirming, naming = wants
    return Manners(
        every_ms=source.choice((15, 40, 120)) if opened else 0,
        deadline_ms=source.choice(((5, 200), (100, 1_000), (1, 3_000))) if hurried else (0, 0),
        abandoned=source.choice((0.0, 0.1)) if hurried else 0.0,
        life_ms=source.choice(((100, 900), (500, 3_000))) if mortal else (0, 0),
        killed=source.choice((0.0, 0.5, 1.0)) if mortal else 0.0,
        watch_ms=source.choice(((20, 300), (300, 4_000))) if watching else (0, 0),
        confirmed=source.choice((0.2, 1.0)) if confirming else 0.0,
        names=source.choice((1, 2, 3)) if naming else 1,
        tied=source.choice((0.0, 0.3, 1.0)) if mortal or naming else 0.0,
        names_every_ms=source.choice(((5, 30), (20, 150))) if naming else (200, 800),
        uptime_times=source.choice((1, 100)) if mortal else 1,
    )
