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

    def view(self, service: str, limits: Limits, *, primary: bool, escalated: bool) -> View:
        """What the ladder looks at after the last failure. primary: of a server whose place is primary."""
        return View(service, self.failures, self.switchovers, limits, primary, escalated)

    def rung(self, verdict: Step) -> Rung:
        """Note a hand-over, and return the rung."""
        if verdict.rung is Rung.SWITCHOVER:
            self.switchovers += 1
        return verdict.rung


class View(Struct, frozen=True):
    """What a recovery looks at. failures: the last one counted; switchovers: hand-overs for them so far. escalated: the
    policy of the callback that failed wants the vice to take over, without a restart first."""

    service: str
    failures: int
    switchovers: int
    limits: Limits
    primary: bool
    escalated: bool


class Step(Struct, frozen=True, tag=True):
    """The rung that a failure calls for."""

    rung: Rung
    cause: str


def decide(view: View) -> Step:
    """Return what the last failure calls for."""
    rung = _rung(view)
    return Step(rung, f"{rung.value}, after failure {view.failures} of {view.service}")


def _rung(view: View) -> Rung:
    limits = view.limits
    if view.failures == limits.node_out:
        return Rung.NODE_OUT
    if not view.primary or (view.failures <= limits.restarts and not view.escalated):
        return Rung.RESTART
    return Rung.SWITCHOVER if view.switchovers < limits.switchovers else Rung.FAILED
