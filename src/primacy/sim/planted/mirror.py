"""Planted bugs in replication: what is shipped, acknowledged, kept and waited for."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import HISTORY, MIRROR, Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "reply-before-ack",
        "section 6 (a)",
        "a reply leaves before the vice has the write, or a read of such a state: lost write",
        (
            Edit(
                MIRROR,
                "            committed = min(committed, max(self.acknowledged_upto, 0))\n",
                "            pass\n",
            ),
        ),
        scenario="late-mirror",
    ),
    Mutant(
        "ready-swapped-before-writes-wait-for-the-vice",
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
        "joined-before-it-has-caught-up",
        "R6, caught up",
        "a vice counts as in step as soon as replies wait for it; it claims without what was before: lost write",
        (
            Edit(
                MIRROR,
                "        if self.held and not self._said_joined and self.acknowledged_upto >= self._hold_position:\n",
                "        if self.held and not self._said_joined:\n",
            ),
        ),
        scenario="slow-mirror",
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
        "log-not-cut-on-rejoin",
        "section 6, cut at the first difference",
        "a joiner keeps entries that its primary never had, in the place of others: lost write",
        (
            Edit(
                MIRROR,
                "            self.runs = cut(self.runs, after)\n"
                "            self.sequence = after\n"
                "            self.journaled_upto = min(self.journaled_upto, after)\n"
                "            effects.append(Cut(after))\n",
                "            after = self.sequence\n",
            ),
        ),
    ),
    Mutant(
        "append-of-an-old-term-accepted",
        "section 6, appends of an older term",
        "what a former primary shipped arrives late, and takes the place of a new entry: lost write",
        (
            Edit(
                MIRROR,
                "        return term == self.term and appointment == self.appointment\n",
                "        return True\n",
            ),
            Edit(
                "primacy.sim.host_mirror",
                "        elif stream is not self._stream:\n"
                "            return\n"
                "        elif isinstance(machine, Primary):\n",
                "        elif isinstance(machine, Primary):\n",
            ),
        ),
        scenario="late-append",
    ),
    Mutant(
        "acknowledged-before-it-is-journaled",
        "section 6 (b), the secondary syncs first",
        "B1 acknowledges what its disk does not have yet; the power fails: lost write",
        (
            Edit(
                MIRROR,
                "        return [Journal(batch), Apply(batch)]\n",
                "        self.journaled_upto = batch.last\n"
                "        return [Journal(batch), Apply(batch), Acknowledge(self.term, self.appointment, batch.last)]\n",
            ),
        ),
        {"durability": "disk"},
        scenario="power-fails",
    ),
    Mutant(
        "reply-before-the-own-sync",
        "section 6 (b), the primary syncs first",
        "A1 replies with what only its vice has on disk; the power fails, A2 forms: lost write",
        (Edit(MIRROR, "        if self._disk or not self.is_ready:\n", "        if not self.is_ready:\n"),),
        {"durability": "disk"},
        scenario="power-fails",
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
        "read-of-unacknowledged-state",
        "section 6 (a), reads",
        "a read shows a write that the vice does not have yet; the write is lost: the read was of nothing",
        (
            Edit(
                "primacy.sim.host_calls",
                "            leave(Waiting(replica.sequence, stream, answer, sent_ns))\n",
                "            host._waiting.appendleft(Waiting(0, stream, answer, sent_ns))\n",
            ),
        ),
        {"reads": 0.7},
        scenario="late-mirror",
    ),
)
