"""Planted bugs: for each clause of the protocol, the code without it. The simulator must find every one of them.

Each row is the shortest known counterexample to the protocol without that clause (found by exhaustive search
over a small model of two nodes). A mutant counts only if a cluster with it forms and serves as long as
nothing goes wrong, and it is found by the general checkers, never by one of its own. `focus` says in which of
the clusters that seeds mean the search is worth while, `scenario` which directed schedule is tried first;
both hold nothing that the checkers know of.

This module must import nothing that it edits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from primacy.sim.loader import Edit

MASTERSHIP, MASTER = "primacy.machines.mastership", "primacy.machines.master"
VICE, FORMATION = "primacy.machines.vice", "primacy.machines.formation"
MIRROR, HISTORY = "primacy.machines.mirror", "primacy.machines.history"

_DUE = "        elif swap.due(self.now_ns):\n"


class Mutant(NamedTuple):
    """A planted bug. breaks: what goes wrong. scenario: where it is looked for first (scenarios.py), if random
    plans take long; focus: overrides of the random plans in which it is searched for.
    """

    name: str
    clause: str
    breaks: str
    edits: tuple[Edit, ...]
    focus: dict[str, Any] = {}
    scenario: str = ""


def _gives_up(purpose: str, more: str = "") -> Edit:
    """An uncertain swap counts as not written once the old revision may have been read again."""
    replacement = (
        f"        elif swap.due(self.now_ns) and swap.purpose is Purpose.{purpose}:\n"
        f"            self._close(swap, Outcome.LOST)\n{more}"
    )
    return Edit(MASTERSHIP, _DUE, replacement + _DUE)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "claim-unsettled",
        "R7, claim",
        "B1's claim times out; it unseals and acknowledges A1's beat; the late claim is written: two primaries",
        (_gives_up("CLAIM"),),
        scenario="claim-times-out",
    ),
    Mutant(
        "switchover-unsettled",
        "R7, switchover",
        "A1's swap times out and A1 resumes with B1's lease; the late swap is written: two primaries",
        (_gives_up("HANDOVER"),),
        scenario="switchover-times-out",
    ),
    Mutant(
        "ready-unsettled",
        "R7, ready",
        "A1 undoes its ready=true and answers alone; the late swap is written, B1 claims: two primaries",
        (_gives_up("READY", "            self.master._joined = 0\n"),),
        scenario="new-vice-in-doubt",
    ),
    Mutant(
        "ready-not-counted",
        "R3, unsettled swap",
        "ready=true is written but its answer is lost; A1 answers without a lease, B1 claims: two primaries",
        (
            Edit(
                MASTER,
                "        ready = ready or (swap is not None and swap.record.ready_vice is not None)\n",
                "",
            ),
        ),
        scenario="new-vice-in-doubt",
    ),
    Mutant(
        "ready-before-hold",
        "R6, order",
        "A1 finds B1 caught up, acknowledges w1 alone, then sends ready=true; B1 claims without w1: lost write",
        (
            Edit(
                MIRROR,
                "        if self.held:\n            committed = min(committed",
                "        if self.held and self.is_ready:\n            committed = min(committed",
            ),
        ),
        scenario="new-vice-in-doubt",
    ),
    Mutant(
        "sequence-alone",
        "section 6, (term, sequence)",
        "B1 rejoins with w1 in the place of w2, is made ready and claims: lost write",
        (
            Edit(
                HISTORY,
                "    common = 0\n",
                "    return min(last_of(mine)[1], last_of(theirs)[1])\n    common = 0\n",
            ),
        ),
    ),
    Mutant(
        "vice-forms-at-once",
        "4.4, wait of a restarted vice",
        "B1 acknowledges a beat, restarts as B2 and forms; A1 gets the acknowledgement: two primaries",
        (Edit(FORMATION, "if assumed_dead or view.since_start_ns >= view.grace_ns:", "if True:"),),
    ),
    Mutant(
        "memory-in-step",
        "4.4, memory never in step",
        "w1 is acknowledged in both memories; A1 dies, A2 forms before B1 claims: lost write",
        (Edit(FORMATION, "    if view.volatile:\n", "    if False:\n"),),
        {"durability": "memory"},
    ),
    Mutant(
        "memory-unsynced-alone",
        "section 6 (b), memory alone syncs",
        "A1 alone replies unsynced, dies, A2 forms without the write: lost write",
        (Edit(MIRROR, "        if self._disk or not self.is_ready:\n", "        if self._disk:\n"),),
        {"durability": "memory", "availability": True},
        scenario="alone-and-slow",
    ),
    Mutant(
        "conflict-is-defeat",
        "R5, Conflict is not defeat",
        "A1's drop loses to its own first try; A1 steps down though the record names it: nobody serves",
        (
            Edit(
                MASTERSHIP,
                "                swap.conflict()\n",
                "                swap.conflict()\n                self._defeated = self.term\n",
            ),
            Edit(
                MASTERSHIP,
                "        if self.record.is_master(self.me):\n            return MASTER\n",
                "        if self.record.is_master(self.me) and getattr(self, '_defeated', 0) != self.record.term:\n"
                "            return MASTER\n",
            ),
        ),
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
        "ready-without-lease",
        "R6, lease before ready",
        "A1 alone sends ready=true for a B1 that is dead: needless silence",
        (
            Edit(
                "primacy.machines.rulings",
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
        "lease-from-arrival",
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
        "grace-is-lease",
        "R4, grace > lease",
        "grace = lease with unequal clock rates: two primaries",
        (
            Edit(
                "primacy.machines.timing", "return int(self.grace_ms * MS)", "return int(self.lease_ms * MS)"
            ),
            Edit("primacy.machines.timing", "return grace_ns >= lease_ns * (1 + DRIFT)", "return True"),
        ),
    ),
    Mutant(
        "no-seal",
        "R4, seal",
        "B1 claims and still acknowledges a beat: two primaries",
        (Edit(VICE, "        if self.sealed:\n            return False\n", ""),),
        scenario="beats-come-back",
    ),
    Mutant(
        "unready-claims",
        "R2, ready",
        "a vice that is not ready claims: lost write",
        (Edit(VICE, "        ready = record.ready_vice == cmm.me\n", "        ready = True\n"),),
    ),
    Mutant(
        "reply-before-acknowledgement",
        "section 6 (a)",
        "a reply leaves before the vice has the write, or a read of such a state: lost write",
        (
            Edit(
                MIRROR,
                "            committed = min(committed, max(self.acknowledged_upto, 0))\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "former-rights",
        "R8",
        "a restarted node acts on the rights of its former incarnation: two primaries, lost write",
        (
            Edit(
                "primacy.machines.records",
                "return self.master == member\n",
                "return self.master.node == member.node\n",
            ),
        ),
    ),
    Mutant(
        "old-obituary",
        "obituary",
        "an obituary of an older incarnation is believed: two primaries",
        (
            Edit(
                MASTERSHIP,
                "        if member.incarnation not in self.dead:\n",
                "        if self.record is not None and member.node == self.record.master.node:\n"
                "            member = self.record.master\n"
                "        if member.incarnation not in self.dead:\n",
            ),
        ),
    ),
    Mutant(
        "no-reply-table",
        "sessions",
        "no reply table in the replicated state: an operation is in the log twice",
        (
            Edit(
                "primacy.machines.session",
                "    if number in session.replies:\n        return Verdict.CACHED\n",
                "",
            ),
        ),
    ),
    Mutant(
        "force-unproven",
        "R9, proof",
        "B2 is made master by force although nothing proves that A1 is dead and nobody said so: two primaries",
        (
            Edit(
                "primacy.machines.last_resort",
                '    return WORD if view.assume_dead == master.node else ""\n',
                "    return WORD\n",
            ),
        ),
        scenario="last-resort",
    ),
    Mutant(
        "session-twice",
        "R9, sessions",
        "entries lost by force come again with the same numbers: two clients have one session",
        (
            Edit(
                "primacy.machines.replica",
                "            return self.sessions.open(entry.id or self.sequence, self.uptime_ns)\n",
                "            return self.sessions.open(self.sequence, self.uptime_ns)\n",
            ),
            Edit(
                "primacy.machines.replica",
                "        return SessionBegun(self.term << _SEQUENCE_BITS | self.sequence + 1)\n",
                "        return SessionBegun(self.sequence + 1)\n",
            ),
        ),
    ),
    Mutant(
        "drop-unsettled",
        "R5, settled",
        "the dropping master goes on before its drop is settled: two primaries",
        (
            Edit(
                MASTER,
                "swap.purpose is Purpose.DROP and ready:\n            return NEVER_NS\n",
                "swap.purpose is Purpose.DROP and ready:\n            return FOREVER_NS\n",
            ),
        ),
    ),
)


def named(name: str) -> Mutant:
    """Return the mutant of this name; KeyError lists the names there are."""
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if name not in by_name:
        raise KeyError(f"no mutant {name!r}; there are: {', '.join(by_name)}")
    return by_name[name]
