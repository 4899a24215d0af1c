"""What a planted bug is."""

from __future__ import annotations

from typing import Any, NamedTuple

from primacy.sim.loader import Edit

MACHINES = "primacy.machines"
MASTERSHIP, MASTER, VICE = f"{MACHINES}.mastership", f"{MACHINES}.master", f"{MACHINES}.vice"
RULINGS, FORMATION, RECORDS = f"{MACHINES}.rulings", f"{MACHINES}.formation", f"{MACHINES}.records"
MIRROR, HISTORY = f"{MACHINES}.mirror", f"{MACHINES}.history"
REPLICA, SESSION = f"{MACHINES}.replica", f"{MACHINES}.session"


class Mutant(NamedTuple):
    """A planted bug: one realistic mistake.

    clause: the rule that is taken out. breaks: what goes wrong then. focus: overrides of the random plans in which it
    is searched for. scenario: the directed schedule in which it is looked for first, if random plans take long.
    Neither holds anything that the checkers know of.
    """

    name: str
    clause: str
    breaks: str
    edits: tuple[Edit, ...]
    focus: dict[str, Any] = {}
    scenario: str = ""
