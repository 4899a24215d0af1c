"""Planted bugs in what makes a repeated call, and a repeated datagram, harmless; and in what watches are told."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.manners import Manners
from primacy.sim.planted.mutant import MACHINES, REPLICA, SESSION, Mutant

_HURRIED = Manners(deadline_ms=(100, 1_000))
_HASTY = Manners(every_ms=40, uptime_times=500)
_BUSY = Manners(names=3, names_every_ms=(5, 30))
_RESTLESS = Manners(every_ms=15, watch_ms=(1_000, 1_500), names=3, names_every_ms=(5, 30))

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "no-reply-table",
        "sessions",
        "no reply table in the replicated state: an operation is in the log twice",
        (
            Edit(
                SESSION,
                "    if number in session.replies:\n        return Verdict.CACHED\n",
                "",
            ),
        ),
    ),
    Mutant(
        "reply-cache-lost-on-failover",
        "section 6, exactly once",
        "the replies are forgotten when a new primary begins: a repeat is executed again",
        (
            Edit(
                REPLICA,
                "        self.term = term\n        self.time_ns = max(",
                "        if term != self.term:\n"
                "            for session in self.sessions.sessions.values():\n"
                "                session.replies.clear()\n"
                "        self.term = term\n"
                "        self.time_ns = max(",
            ),
        ),
    ),
    Mutant(
        "snapshot-without-session-table",
        "section 6, sessions are state",
        "a joiner that was given a snapshot knows no session: repeats are refused, or executed again",
        (
            Edit(
                REPLICA,
                "            self.sessions.sessions,\n            self.sessions.swept_ns,\n",
                "            {},\n            self.sessions.swept_ns,\n",
            ),
        ),
        {"nodes": 3, "think_ms": (80, 400), "snapshot_every": 40},
    ),
    Mutant(
        "session-twice",
        "R9, sessions",
        "entries lost by force come again with the same numbers: two clients have one session",
        (
            Edit(
                REPLICA,
                "            return self.sessions.open(entry.id or self.sequence, self.uptime_ns)\n",
                "            return self.sessions.open(self.sequence, self.uptime_ns)\n",
            ),
            Edit(
                REPLICA,
                "        return SessionBegun(self.term << _SEQUENCE_BITS | self.sequence + 1)\n",
                "        return SessionBegun(self.sequence + 1)\n",
            ),
        ),
        scenario="late-clients",
    ),
    Mutant(
        "uncommitted-watch-event-pushed",
        "section 6 (a), events",
        "a watch is told of a change that the vice does not have yet; the change is lost: nobody keeps that event",
        (
            Edit(
                f"{MACHINES}.watching",
                "        while self._unpushed and self._unpushed[0].sequence <= committed:\n",
                "        while self._unpushed:\n",
            ),
        ),
        {"manners": _BUSY},
        scenario="late-mirror",
    ),
    Mutant(
        "watch-begins-behind-what-was-told",
        "section 6, watches",
        "replies wait for a joiner; a watch begins behind what the others were told long before: it misses that",
        (
            Edit(
                f"{MACHINES}.watching",
                "        self._committed = max(self._committed, upto)\n",
                "        self._committed = upto\n",
            ),
        ),
        {"manners": _RESTLESS},
    ),
    Mutant(
        "out-of-time-taken-for-failed",
        "section 8, deadlines",
        "a caller whose call ran out of time is told that it was not carried out: it was, or will be",
        (
            Edit(
                f"{MACHINES}.client_calls",
                'no answer before the deadline; {told}", maybe_applied=changes)\n',
                'no answer before the deadline; {told}", maybe_applied=False)\n',
            ),
        ),
        {"manners": _HURRIED},
    ),
    Mutant(
        "expired-taken-for-refused",
        "section 8, repeats in an ended session",
        "a repeat comes after its session has ended; its caller is told that the call was not carried out: it was",
        (Edit(f"{MACHINES}.client_calls", "    if pending.sends > 1:", "    if False:"),),
        {"manners": _HASTY},
    ),
    Mutant(
        "duplicate-window-too-small",
        "section 3, the window against duplicates",
        "a datagram that was overtaken is taken for a repetition, or a repetition for a new one",
        (Edit(f"{MACHINES}.dedup", "WIDTH = 1024\n", "WIDTH = 8\n"),),
    ),
)
