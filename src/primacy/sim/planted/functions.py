"""Planted bugs in the functions of the cluster: levels, undo, intents."""

from __future__ import annotations

from primacy.sim.planted.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = ()
