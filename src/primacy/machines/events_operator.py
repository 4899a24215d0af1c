"""Events of what an operator decided against or instead of the automatism: force, and maintenance."""

from __future__ import annotations

from primacy.machines.event_base import Base


class MasterForced(Base, frozen=True, kw_only=True):
    """A node was made master by force, although it is not known to have everything that was acknowledged.

    former: the recorded master. proof: why it may not answer any more (obituary, present life, stopped), or `word`: an
    operator has declared it dead. by, reason: who decided so, and why. may_lose: what may be lost.
    """

    node: str
    former: str
    proof: str
    by: str
    reason: str
    may_lose: str

    def sentence(self) -> str:
        """Return the event in words."""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.by} forced {self.node} to be master of term {self.term}{why}; may be lost: {self.may_lose}"


class ClaimHeld(Base, frozen=True, kw_only=True):
    """The ready vice would claim by now, but the cluster is in maintenance."""

    node: str
    reason: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} holds its claim back: {self.reason}"


class MaintenanceBegan(Base, frozen=True, kw_only=True):
    """A node learned that the maintenance of the cluster or of a node is on, or lasts for another time now.

    scope: `cluster`, or a node's id. for_s: how long it still lasts (0: until an operator ends it).
    """

    node: str
    scope: str
    by: str
    reason: str
    for_s: float

    def sentence(self) -> str:
        """Return the event in words."""
        means = "no automatic failover" if self.scope == "cluster" else f"no role for {self.scope}"
        until = f"for {self.for_s:.0f} s" if self.for_s else "until an operator ends it"
        why = f" ({self.reason})" if self.reason else ""
        return f"maintenance of {_named(self.scope)} is on {until}: {means}; by {self.by}{why}"


class MaintenanceEndsSoon(Base, frozen=True, kw_only=True):
    """A maintenance expires by itself soon."""

    node: str
    scope: str
    left_s: float

    def sentence(self) -> str:
        """Return the event in words."""
        return f"maintenance of {_named(self.scope)} ends by itself in {self.left_s:.0f} s"


class MaintenanceEnded(Base, frozen=True, kw_only=True):
    """A maintenance is over: it has expired, or an operator has ended it."""

    node: str
    scope: str
    cause: str

    def sentence(self) -> str:
        """Return the event in words."""
        means = "failover is automatic again" if self.scope == "cluster" else f"{self.scope} may have a role"
        return f"maintenance of {_named(self.scope)} is over ({self.cause}): {means}"


def _named(scope: str) -> str:
    return "the cluster" if scope == "cluster" else scope
