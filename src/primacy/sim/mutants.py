"""Planted bugs: for each clause of the protocol, the code without it. The simulator must find every one of them.

Those of mastership and mirror began as the shortest counterexamples to the protocol without that clause (found by
exhaustive search over a small model of two nodes); the others are mistakes that are easily made. A mutant counts only
if a cluster with it forms and serves as long as nothing goes wrong, and it is found by the general checkers, never by
one of its own.

This module must import nothing that it edits.
"""

from __future__ import annotations

from primacy.sim.planted import changes, formation, functions, leases, mirror, sessions, swaps
from primacy.sim.planted.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *leases.MUTANTS,
    *swaps.MUTANTS,
    *formation.MUTANTS,
    *mirror.MUTANTS,
    *sessions.MUTANTS,
    *functions.MUTANTS,
    *changes.MUTANTS,
)


def named(name: str) -> Mutant:
    """Return the mutant of this name; KeyError lists the names there are."""
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if name not in by_name:
        raise KeyError(f"no mutant {name!r}; there are: {', '.join(by_name)}")
    return by_name[name]


__all__ = ["MUTANTS", "Mutant", "named"]
