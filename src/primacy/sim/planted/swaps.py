"""Planted bugs in how a change of the record is sent, settled and learned."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import MASTER, MASTERSHIP, Mutant

_DUE = "        elif swap.due(self.now_ns):\n"
_UNCERTAIN = "                swap.unclear(again_ns)\n"


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
        "uncertain-taken-for-failed",
        "R7, uncertain is not failed",
        "a swap whose answer is lost counts as not written; it was, or will be: two primaries",
        (
            Edit(
                MASTERSHIP,
                "                swap.unclear(again_ns)\n",
                "                self._close(swap, Outcome.NOT_WRITTEN)\n",
            ),
        ),
        scenario="claim-times-out",
    ),
    Mutant(
        "uncertain-taken-for-done",
        "R7, uncertain is not done",
        "a swap whose answer is lost counts as written; it never was: rights that no record gives",
        (
            Edit(
                MASTERSHIP,
                "                swap.unclear(again_ns)\n",
                "                self._learn(swap.expect + 1, swap.record)\n",
            ),
        ),
    ),
    Mutant(
        "conflict-taken-for-lost",
        "R5, Conflict is no outcome",
        "A1's hand-over loses to its own first try; A1 goes on as before, and so does B1: two primaries",
        (
            Edit(
                MASTERSHIP,
                "                swap.conflict()\n",
                "                self._close(swap, Outcome.LOST)\n",
            ),
        ),
        scenario="switchover-in-doubt",
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
        "drop-of-the-vice-not-confirmed-before-answering",
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
    Mutant(
        "solo-answers-while-a-swap-to-ready-is-unsettled",
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
        "answers-while-handing-over",
        "R7, quiesced until it is settled",
        "the swap of a hand-over is under way, or was written; A1 still answers: two primaries",
        (
            Edit(
                MASTER,
                "_SILENT = {Purpose.HANDOVER, Purpose.RENEW, Purpose.STOP}",
                "_SILENT = {Purpose.RENEW, Purpose.STOP}",
            ),
        ),
    ),
    Mutant(
        "page-written-after-the-swap",
        "R3, order",
        "ready=true is sent before the lease page counts it; A1 stops in between, B1 claims: two primaries",
        (
            Edit(
                MASTERSHIP,
                "        self.regrant()\n        self.emit(SwapRecord(self.revision, record, self._token))\n",
                "        self.emit(SwapRecord(self.revision, record, self._token))\n",
            ),
        ),
        scenario="stops-at-the-page",
    ),
    Mutant(
        "stale-watch-event-acted-on",
        "4.1, older news is no news",
        "a late event of the watch brings back an old record, and with it rights that are over: two primaries",
        (
            Edit(
                MASTERSHIP,
                "        if revision <= self.revision:\n            return\n        swap = self.swap\n",
                "        if revision == self.revision:\n            return\n        swap = self.swap\n",
            ),
        ),
        scenario="stale-news",
    ),
    Mutant(
        "hand-over-to-a-vice-that-is-not-ready",
        "R2, ready at a hand-over",
        "a master whose primary has died hands over to a vice that is still catching up: lost write",
        (
            Edit(
                MASTER,
                "        to = self._record.ready_vice if possible else None\n",
                "        to = self._record.vice.member if possible and self._record.vice else None\n",
            ),
        ),
    ),
)
