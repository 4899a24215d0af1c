"""The rungs of the recovery ladder: what a server's failure calls for, by how often it has failed lately.

    restart in place ──▶ switchover ──▶ failed (kept back here, tried again after longer and longer pauses)
                                └──▶ node out, where the configuration says so

Failures count until the server has lived for a whole window in the state in which it had failed, or in a higher one,
or has not failed at all for ten windows after its last rest.  So a node that could not run a service, and gets the
mastership back from one that could not either, does not hand it over for ever: when its hand-overs are used up it keeps
the mastership, and tries the service again after a pause that doubles up to a limit.  Pure; times are nanoseconds of
the node's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from msgspec import Struct

from primacy.machines.ids import SECOND, ServerState

FREE_FAILURES = 2  # so many in a row, and as many as may be restarted in place, cost no pause
FORGET_WINDOWS = 10
UNLIMITED = 1 << 30
_ORDER = {state: place for place, state in enumerate(ServerState)}


class Rung(Enum):
    """What a failure calls for."""

    RESTART = "restart"
    SWITCHOVER = "switchover"
    FAILED = "failed"
    NODE_OUT = "node out"


class Limits(Struct, frozen=True):
    """[services.x.recovery] of the table. restarts: of a primary in place before anything else; switchovers: hand-overs
    before the server is kept back as failed; node_out: the failure that ends this life of the node (0: none)."""

    restarts: int = 0
    window_ns: int = 60 * SECOND
    switchovers: int = 3
    pause_ns: int = SECOND
    pause_ns_max: int = 60 * SECOND
    node_out: int = 0


@dataclass(slots=True)
class History:
    """The failures of one server on this node, since it was last well."""

    failures: int = 0
    switchovers: int = 0
    worst: ServerState = ServerState.OFFLINE  # the highest state in which it failed
    last_ns: int = 0
    until_ns: int = 0  # the node takes no role before

    def failed(self, limits: Limits, state: ServerState, since_ns: int, now_ns: int) -> None:
        """Count one more failure, of a server that was in this state since then."""
        lived = now_ns - since_ns >= limits.window_ns and _ORDER[state] >= _ORDER[self.worst]
        if lived or now_ns - max(self.last_ns, self.until_ns) >= FORGET_WINDOWS * limits.window_ns:
            self.failures, self.switchovers, self.worst = 0, 0, ServerState.OFFLINE
        self.failures += 1
        self.last_ns = now_ns
        self.worst = max(self.worst, state, key=_ORDER.__getitem__)
        self.until_ns = now_ns + self.pause_ns(limits)

    def recall(self, limits: Limits, failures: int, switchovers: int, now_ns: int) -> None:
        """Begin with what an earlier life of the node has counted."""
        self.failures, self.switchovers, self.worst = failures, switchovers, ServerState.PRIMARY
        self.last_ns = now_ns
        self.until_ns = now_ns + self.pause_ns(limits)

    def pause_ns(self, limits: Limits) -> int:
        """How long the server rests: nothing at first, then longer with each failure, up to the limit."""
        free = limits.restarts if FREE_FAILURES < limits.restarts < UNLIMITED else FREE_FAILURES
        over = self.failures - free
        return min(limits.pause_ns << min(over - 1, 30), limits.pause_ns_max) if over > 0 else 0

    def rung(self, limits: Limits, *, primary: bool, escalated: bool) -> Rung:
        """Return what the last failure calls for, and note a hand-over. primary: of a server whose place is primary."""
        if self.failures == limits.node_out:
            return Rung.NODE_OUT
        if not primary or (self.failures <= limits.restarts and not escalated):
            return Rung.RESTART
        if self.switchovers < limits.switchovers:
            self.switchovers += 1
            return Rung.SWITCHOVER
        return Rung.FAILED
