"""The whole cluster in one thread, on virtual time, from one seed: what the claims of safety rest on.

The machines of `primacy.machines` run here as they run in production; around them are models of what
production gives them: clocks with rates of their own, a network with two links, disks that lose what is not
synced, processes that freeze and die between any two instructions, a ledger whose answers may be lost. Faults
are a list drawn from the seed, so that a failure can be replayed, and shortened. `checkers.py` says what must
be true after every step, `world.py` what must be true in the end, and `mutants.py` holds a planted bug for
every clause of the protocol: a checker that finds none of them would be worth nothing.

Authors of services test theirs with `Cluster` (authors/), by hand or by the pytest fixture `primacy_cluster`.

Start with `python -m primacy.sim --seed 1 --trace`; then read world.py, node.py, agent.py, host.py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from primacy.sim.authors.cluster import Cluster as Cluster
    from primacy.sim.authors.report import Report as Report
    from primacy.sim.authors.report import Violated as Violated
    from primacy.sim.authors.sequential import Sequential as Sequential
    from primacy.sim.faults import Fault as Fault

_HOME_OF = {
    "Cluster": "primacy.sim.authors.cluster",
    "Fault": "primacy.sim.faults",
    "Report": "primacy.sim.authors.report",
    "Sequential": "primacy.sim.authors.sequential",
    "Violated": "primacy.sim.authors.report",
}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605 (strings, from the table above)


def __getattr__(name: str) -> Any:
    """Import a name's home module when the name is first used: planted bugs must come before the machines."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'primacy.sim' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
