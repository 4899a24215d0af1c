"""What a test is told when something is not true: the clause, the seed, the faults, the timeline in sentences."""

from __future__ import annotations

from dataclasses import dataclass

TOLD_MAX = 80
"""Lines of the timeline in a message; the error holds all of them."""


class Violated(AssertionError):
    """Something that must be true is not. clause: S1 ... S8, L1, determinism, ...; see `docs/assurance.md`."""

    def __init__(self, clause: str, text: str, seed: int, faults: list[str], timeline: list[str]) -> None:
        self.clause, self.text, self.seed = clause, text, seed
        self.faults, self.timeline = faults, timeline
        super().__init__(self._message())

    def _message(self) -> str:
        left_out = len(self.timeline) - TOLD_MAX
        told = [f"  ({left_out} lines before these)"] if left_out > 0 else []
        told += [f"  {line}" for line in self.timeline[-TOLD_MAX:]]
        faults = [f"  {fault}" for fault in self.faults] or ["  none"]
        return "\n".join([self.text, "faults:", *faults, "timeline:", *told, f"seed: {self.seed}"])


@dataclass(frozen=True, slots=True)
class Report:
    """What a cluster has come to when nothing was violated.

    calls, queries: how many were answered. recovered_s: from the healing until the cluster was whole. waits: what was
    in memory only is gone with all who had it, as it may be: the operator must decide, and only safety was judged.
    may_have_lost: by force, what was acknowledged may be gone: the history was not judged.
    """

    seed: int
    simulated_s: float
    terms: int
    faults: int
    calls: int
    queries: int
    recovered_s: float
    waits: bool = False
    may_have_lost: bool = False
