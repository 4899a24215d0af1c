"""What the failure of a callback means: for each function, and each policy that a callback may be registered with.

A callback fails when it refuses, raises, runs past its time-out, or its process ends.  `retry` tries it again first;
when all tries have failed it counts as `refuse`.  The table below is the whole rule; `runs.py` asks it, `recovery.py`
and the functions themselves carry it out.  Undoing is best effort: a callback that fails while it is undone is
reported, and with `restart` and `escalate` its server is treated as the table says.  Pure.
"""

from __future__ import annotations

from enum import Enum

from primacy.machines.ids import Function, ServerState

POLICIES = ("refuse", "retry", "restart", "escalate")


class Part(Enum):
    """The functions, as far as a failure means the same in them."""

    INITIALIZE = "initialize"
    GIVING_UP = "switchover, at the old primary"
    TAKING_OVER = "switchover and failover, at the new primary"
    RECONNECT = "reconnect"
    SHUTDOWN = "shutdown"
    UP = "qualify, promote"
    DOWN = "demote, disqualify, remove"


class Meaning(Enum):
    """What is done about a callback that has failed for good."""

    UNDONE = "the function is undone, level by level in reverse, and refused; the refusal names the callback"
    RESTARTED = "the server is ended and started again; a function that can be undone is undone and refused"
    RECOVERED = "the primary is ended and the recovery ladder applies: restart in place, then hand-over"
    HANDED_ON = "the primary is ended and its vice takes over at once, without a restart first"
    GOES_ON = "reported; the service goes on with its next level, since it ends anyway"
    ENDED = "the server is ended at once; its lower levels are left out"
    CUT_SHORT = "the levels that are left are left out, for all services; the servers are told to stop"
    NODE_OUT = "this life of the node ends; the others go on, and the node begins anew"


TABLE: dict[Part, tuple[Meaning, Meaning, Meaning]] = {  # refuse (and retry, at last), restart, escalate
    Part.INITIALIZE: (Meaning.RESTARTED, Meaning.RESTARTED, Meaning.NODE_OUT),
    Part.GIVING_UP: (Meaning.UNDONE, Meaning.RECOVERED, Meaning.HANDED_ON),
    Part.TAKING_OVER: (Meaning.RECOVERED, Meaning.RECOVERED, Meaning.HANDED_ON),
    Part.RECONNECT: (Meaning.RESTARTED, Meaning.RESTARTED, Meaning.NODE_OUT),
    Part.SHUTDOWN: (Meaning.GOES_ON, Meaning.ENDED, Meaning.CUT_SHORT),
    Part.UP: (Meaning.UNDONE, Meaning.RESTARTED, Meaning.NODE_OUT),
    Part.DOWN: (Meaning.UNDONE, Meaning.RESTARTED, Meaning.NODE_OUT),
}

_PARTS = {
    Function.INITIALIZE: Part.INITIALIZE,
    Function.FAILOVER: Part.TAKING_OVER,
    Function.RECONNECT: Part.RECONNECT,
    Function.SHUTDOWN: Part.SHUTDOWN,
    Function.QUALIFY: Part.UP,
    Function.PROMOTE: Part.UP,
    Function.DEMOTE: Part.DOWN,
    Function.DISQUALIFY: Part.DOWN,
    Function.REMOVE: Part.DOWN,
}


def part(function: str, new_state: str) -> Part:
    """Return where a callback stands; in a switchover the new state tells the two halves apart."""
    if function == Function.SWITCHOVER:
        return Part.TAKING_OVER if new_state == ServerState.PRIMARY else Part.GIVING_UP
    return _PARTS[Function(function)]


def meaning(function: str, new_state: str, policy: str, *, abortable: bool, undo: bool = False) -> Meaning:
    """Return what a failure means. abortable: this sequence can be undone; undo: it was the undoing that failed."""
    refuse, restart, escalate = TABLE[part(function, new_state)]
    if policy == "restart":
        return restart
    if policy == "escalate":
        return escalate
    if undo:
        return Meaning.GOES_ON
    return Meaning.RESTARTED if refuse is Meaning.UNDONE and not abortable else refuse
