"""Planted bugs in how the configuration of a running cluster is changed."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import MACHINES, Mutant

_APPLYING, _CHANGES, _LEASE, _TIMING = (
    f"{MACHINES}.{name}" for name in ("applying", "change_record", "lease", "timing")
)

_AT_ONCE = Edit(_LEASE, "now_ns, max(self._promised_ns, now_ns + self.grace_ns)", "now_ns, self._promised_ns")
"""What was promised does not stand: a shorter grace counts at once."""

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "times-in-one-step",
        "changes of times go by way of what lies between",
        "B1 has a shorter grace already, A1 still counts the longer lease that B1 gave it: two primaries",
        (
            _AT_ONCE,
            Edit(_TIMING, "lease_ms=min(old.lease_ms, new.lease_ms)", "lease_ms=new.lease_ms"),
            Edit(_TIMING, "grace_ms=max(old.grace_ms, new.grace_ms)", "grace_ms=new.grace_ms"),
        ),
        scenario="new-times",
    ),
    Mutant(
        "former-lease-kept",
        "a shorter lease counts at once",
        "A1 goes on with a lease of the former times; B1 has the grace of the new ones: two primaries",
        (_AT_ONCE, Edit(_LEASE, "        self.until_ns = min(self.until_ns, now_ns + lease_ns)\n", "")),
        scenario="new-times",
    ),
    Mutant(
        "promise-cut-short",
        "a promise stands for the grace with which it was made",
        "shorter times come when A1 has just lost B1; B1 claims by them, A1 counts what B1 had promised: two primaries",
        (_AT_ONCE,),
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
