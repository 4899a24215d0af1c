"""Draws health checks that fail: mostly of the primary, mostly for long enough that something follows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from primacy.sim.faults import Fault
from primacy.sim.host_health import SICK
from primacy.sim.settings import LOGBOOK

SHARE = 0.2
"""Of the lists that are drawn; the others are empty."""


def draw_health(source: random.Random, nodes: Sequence[str], begin_ms: int, end_ms: int) -> tuple[Fault, ...]:
    """Draw a list between two instants."""
    if source.random() >= SHARE:
        return ()
    faults = []
    for _ in range(source.choice((1, 1, 2, 4))):
        who = source.choice(("master", "master", "vice", *nodes))
        for_ms = source.choice((300, 900, 2_500, 6_000))
        at_ms = source.randrange(begin_ms, end_ms)
        faults.append(Fault(at_ms, "mood", who, LOGBOOK, what=source.choice(SICK), for_ms=for_ms))
    return tuple(faults)
