"""Makes a failing list of faults shorter: delta debugging (Zeller and Hildebrandt, 2002), then shorter durations.

A list is accepted only if the run with it violates the same clause. The result is a list from which no single
fault can be taken away.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from primacy.sim.faults import Fault

RUNS_MAX = 400


class Shrinker:
    """fails: whether the run with these faults still fails in the same way. runs: how many were tried."""

    def __init__(self, fails: Callable[[tuple[Fault, ...]], bool], runs_max: int = RUNS_MAX) -> None:
        self._fails = fails
        self._runs_max = runs_max
        self.runs = 0

    def shrink(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        """Return a shorter list that fails, too (or the same one)."""
        faults = self._fewer(faults)
        return self._simpler(faults)

    def _try(self, faults: tuple[Fault, ...]) -> bool:
        if self.runs >= self._runs_max:
            return False
        self.runs += 1
        return self._fails(faults)

    def _fewer(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        if self._try(()):
            return ()
        parts = 2
        while len(faults) >= 2:
            size = -(-len(faults) // parts)
            for begin in range(0, len(faults), size):
                rest = faults[:begin] + faults[begin + size :]
                if self._try(rest):
                    faults, parts = rest, max(parts - 1, 2)
                    break
            else:
                if parts >= len(faults):
                    break
                parts = min(2 * parts, len(faults))
        return faults

    def _simpler(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        for index, fault in enumerate(faults):
            while fault.for_ms >= 20:
                shorter = msgspec.structs.replace(fault, for_ms=fault.for_ms // 2)
                candidate = (*faults[:index], shorter, *faults[index + 1 :])
                if not self._try(candidate):
                    break
                fault, faults = shorter, candidate
        return faults
