"""Planted bugs in how the configuration of a running cluster is changed."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import MACHINES, MASTER, Mutant

_APPLYING, _CHANGES, _TIMING = f"{MACHINES}.applying", f"{MACHINES}.change_record", f"{MACHINES}.timing"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "times-in-one-step",
        "changes of times go by way of what lies between",
        "B1 has a shorter grace already, A1 still counts the longer lease that B1 gave it: two primaries",
        (
            Edit(_TIMING, "lease_ms=min(old.lease_ms, new.lease_ms)", "lease_ms=new.lease_ms"),
            Edit(_TIMING, "grace_ms=max(old.grace_ms, new.grace_ms)", "grace_ms=new.grace_ms"),
        ),
        scenario="new-times",
    ),
    Mutant(
        "former-lease-kept",
        "a shorter lease counts at once",
        "A1 goes on with a lease of the former times; B1 has the grace of the new ones: two primaries",
        (
            Edit(
                MASTER,
                "        self.lease.until_ns = min(self.lease.until_ns, self._cmm.now_ns + self.lease.lease_ns)\n",
                "",
            ),
        ),
        scenario="new-times",
    ),
    Mutant(
        "table-known-by-memory",
        "a step looks whether it is done",
        "who follows the master that wrote the table takes it for another's: told as refused, and carried out",
        (
            Edit(
                _APPLYING,
                "        if change_record.stamp(self._writer.value(CONFIG)) == change.id:\n",
                "        if getattr(self, '_wrote', '') == change.id != '' and not self._writer.busy:\n",
            ),
            Edit(
                _APPLYING,
                '            self.waits = "the table is being written"\n',
                '            self.waits = "the table is being written"\n            self._wrote = change.id\n',
            ),
        ),
        scenario="change-and-death",
    ),
    Mutant(
        "replaced-without-a-word",
        "every change has an outcome",
        "a change takes the place of another one, and nothing is left of that: who asked for it never hears",
        (
            Edit(
                _CHANGES,
                "        return Changes(change, self.dropped(change.sentence).ended)\n",
                "        return Changes(change, self.ended)\n",
            ),
        ),
        scenario="two-changes",
    ),
)
