"""Names and numbers that every part shares: members, roles, server states, terms.

An *incarnation* is 16 random bytes, new at each start of an agent, written here as 32 hexadecimal digits; it is
compared for equality only. A *term* is the number of a mastership (1, 2, ...; 0 = there was none yet). Times are
integers in nanoseconds of the node's own clock and are never compared between nodes.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Member(Struct, frozen=True, array_like=False):
    """One life of one node: its id and the incarnation of its agent."""

    node: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.node}/{self.incarnation[:8]}"


class Role(StrEnum):
    """The role of a node in the cluster, as `status` shows it."""

    MASTER = "master"
    VICE = "vice"
    AVAILABLE = "available"
    SPARE = "spare"
    INELIGIBLE = "ineligible"
    OUT = "out"


class ServerState(StrEnum):
    """What a server of a centralized service is on its node."""

    OFFLINE = "offline"  # not registered
    SPARE = "spare"  # registered, not started
    AVAILABLE = "available"  # running, initialized, warm; acknowledges nothing
    SECONDARY = "secondary"  # mirrors the primary
    PRIMARY = "primary"


class Function(StrEnum):
    """The functions that the system services coordinator takes services through."""

    INITIALIZE = "initialize"
    SHUTDOWN = "shutdown"
    PROMOTE = "promote"
    DEMOTE = "demote"
    QUALIFY = "qualify"
    DISQUALIFY = "disqualify"
    SWITCHOVER = "switchover"
    FAILOVER = "failover"
    RECONNECT = "reconnect"
    REMOVE = "remove"


NEVER_NS = 0
FOREVER_NS = (1 << 63) - 1
MS = 1_000_000
SECOND = 1_000_000_000
