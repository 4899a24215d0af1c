"""Planted bugs in lease, grace, seal and the order in which a vice becomes ready."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import MACHINES, MASTER, RULINGS, VICE, Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "lease-counted-from-arrival",
        "R4, counted from sending",
        "the lease is counted from the arrival of the acknowledgement: two primaries",
        (
            Edit(
                MASTER,
                "            self.lease.echoed(echo.sent_ns)\n",
                "            self.lease.echoed(cmm.now_ns)\n",
            ),
        ),
        scenario="slow-echoes",
    ),
    Mutant(
        "lease-adds-up",
        "R4, end of the lease",
        "each answer adds a lease to the one before: a silent vice claims while A1 still answers: two primaries",
        (
            Edit(
                f"{MACHINES}.lease",
                "        self.until_ns = max(self.until_ns, sent_ns + lease_ns)\n",
                "        self.until_ns = max(self.until_ns + self.lease_ns // 4, sent_ns + lease_ns)\n",
            ),
        ),
    ),
    Mutant(
        "grace-equals-lease",
        "R4, grace > lease",
        "grace = lease with unequal clock rates: two primaries",
        (
            Edit(f"{MACHINES}.timing", "return int(self.grace_ms * MS)", "return int(self.lease_ms * MS)"),
            Edit(f"{MACHINES}.timing", "return grace_ns >= lease_ns * (1 + DRIFT)", "return True"),
        ),
    ),
    Mutant(
        "no-seal-before-a-claim",
        "R4, seal",
        "B1 claims and still acknowledges a beat: two primaries",
        (Edit(VICE, "        if self.sealed:\n            return False\n", ""),),
        scenario="beats-come-back",
    ),
    Mutant(
        "sealed-mirror-appends-still-acknowledged",
        "R4, seal of the mirror",
        "B1 claims and still acknowledges what the old primary ships",
        (
            Edit(
                VICE,
                "        self.sealed = True\n        self._cmm.emit(Seal(self._term))\n",
                "        self.sealed = True\n",
            ),
        ),
        scenario="mirror-goes-on",
    ),
    Mutant(
        "sealed-for-ever",
        "R4, end of the seal",
        "B1's claim is lost; it stays deaf; A1 appoints, readies and drops it for ever",
        (
            Edit(VICE, '        if self.sealed and self._cmm.role == "vice":\n', "        if False:\n"),
            Edit(
                VICE,
                "        self.sealed = False\n        self._term = record.term\n",
                "        self._term = record.term\n",
            ),
            Edit(
                VICE,
                "            self._cmm.emit(Seal(self._term))\n        self.sealed = False\n",
                "            self._cmm.emit(Seal(self._term))\n",
            ),
        ),
        {"nodes": 2},
    ),
    Mutant(
        "claim-by-a-vice-that-is-not-ready",
        "R2, ready",
        "a vice that is not ready claims: lost write",
        (Edit(VICE, "        ready = record.ready_vice == cmm.me\n", "        ready = True\n"),),
        scenario="slow-mirror",
    ),
    Mutant(
        "ready-without-lease",
        "R6, lease before ready",
        "A1 alone sends ready=true for a B1 that is dead: needless silence",
        (
            Edit(
                RULINGS,
                '    return MakeReady(f"{view.vice} is in step") if view.lease_held else _SILENT\n',
                '    return MakeReady(f"{view.vice} is in step")\n',
            ),
        ),
        scenario="filtered",
    ),
    Mutant(
        "page-before-result",
        "section 6 (c), order",
        "the page is checked, the process freezes, B1 claims and writes, then the read is evaluated: stale read",
        (
            Edit(
                "primacy.sim.host",
                '        if self.stopped_before("Evaluate"):\n',
                '        self._may = getattr(self, "_may", False) or self.answers()\n'
                '        if self.stopped_before("Evaluate"):\n',
            ),
            Edit(
                "primacy.sim.host",
                "        self._leave_due = False\n        machine = self.machine\n",
                "        self._leave_due = False\n        machine = self.machine\n"
                '        may, self._may = getattr(self, "_may", False) or self.answers(), False\n',
            ),
            Edit("primacy.sim.host", "            if not self.answers() or", "            if not may or"),
        ),
        scenario="stale-reader",
    ),
    Mutant(
        "read-without-lease-check",
        "section 6 (c), reads",
        "a read is answered without a look at the lease page: stale read",
        (
            Edit(
                "primacy.sim.host",
                "            if not self.answers() or",
                "            if not (self.answers() or not self._waiting[0].names) or",
            ),
        ),
        scenario="stale-reader",
    ),
)
