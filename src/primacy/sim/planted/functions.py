"""Planted bugs in the functions of the cluster: levels, undo, intents, and requests that come together."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import MACHINES, RECORDS, Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "level-started-before-its-barrier",
        "section 5, cluster barriers",
        "what a former life of the master has said of its levels opens them: a node starts one before its master",
        (
            Edit(
                f"{MACHINES}.initialization",
                "        return level if incarnation == member.incarnation else 0\n",
                "        return level\n",
            ),
        ),
        scenario="former-levels",
    ),
    Mutant(
        "undo-in-the-wrong-order",
        "section 5, undo in reverse",
        "a refused function undoes its first level first: a later level is undone without what it rests on",
        (
            Edit(
                f"{MACHINES}.sequence",
                "        for step in reversed(self._completed):\n",
                "        for step in self._completed:\n",
            ),
        ),
        scenario="refused-at-last",
    ),
    Mutant(
        "intent-not-cleared",
        "section 5, intents",
        "an operation that has ended stays in the ledger as the one in progress: nothing can be asked for any more",
        (
            Edit(
                RECORDS,
                "        return Operations(None, (*self.ended, ended)[-ENDED_KEPT:])\n",
                "        return Operations(self.current, (*self.ended, ended)[-ENDED_KEPT:])\n",
            ),
        ),
    ),
    Mutant(
        "two-operators-interleaved",
        "section 5, one function at a time",
        "a second request is accepted while a function is in progress: the first is never finished",
        (
            Edit(
                f"{MACHINES}.functions",
                "        elif current is not None:\n            busy =",
                "        elif False and current is not None:\n            busy =",
            ),
        ),
        scenario="two-operators",
    ),
)
