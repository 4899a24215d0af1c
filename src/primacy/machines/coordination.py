"""Inputs and effects of the system services coordinator (SSC), the machine in `coordinator.py`.

The driver feeds one input at a time and obeys the effects in their order. `Feed` effects go to the membership monitor
of the same node; the monitor's effects that concern services come back as `Membership` inputs. Each is a tagged array
to msgspec, so that a record of what a machine was given and answered can be read again.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from primacy.machines import host_wire, membership, peer_wire
from primacy.machines.events import Event
from primacy.machines.records import Mastership
from primacy.machines.rungs import UNLIMITED, Limits


class Input(Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Base: `now_ns` is the reading of the local boot-time clock."""

    now_ns: int


class Started(Input, frozen=True, kw_only=True):
    """The agent is up: start the hosts."""


class Tick(Input, frozen=True, kw_only=True):
    """Time has passed."""


class HostSaid(Input, frozen=True, kw_only=True):
    """A host's message."""

    service: str
    message: host_wire.ToAgent


class HostExited(Input, frozen=True, kw_only=True):
    """The process of a host ended; everything that it had said before was fed before."""

    service: str
    reason: str


class Membership(Input, frozen=True, kw_only=True):
    """An effect of the membership monitor that concerns services."""

    effect: (
        membership.Adopted
        | membership.Became
        | membership.Appointed
        | membership.ViceReady
        | membership.Alone
        | membership.Served
        | membership.Closed
    )


class PeerSaid(Input, frozen=True, kw_only=True):
    """A message of another node's coordinator."""

    node: str
    incarnation: str
    message: peer_wire.ToCoordinator


class MembersChanged(Input, frozen=True, kw_only=True):
    """The nodes that can be reached now, this one included."""

    nodes: tuple[str, ...]


class NodesChanged(Input, frozen=True, kw_only=True):
    """The nodes of the configuration table with their records, this one included."""

    nodes: tuple[membership.NodeEntry, ...]


class SettingsChanged(Input, frozen=True, kw_only=True):
    """What the configuration table says changed: where each node's hosts listen, and `auto_promote` (None: not)."""

    addresses: dict[str, dict[str, list[tuple[str, int]]]]
    auto_promote: bool | None = None


class RecordChanged(Input, frozen=True, kw_only=True):
    """A record of the ledger other than the mastership, as it stands since `revision` (value None: deleted)."""

    key: str
    revision: int
    value: bytes | None


class KeySwapped(Input, frozen=True, kw_only=True):
    """The ledger's answer to the `SwapKey` with this token; exactly one for each."""

    token: int
    answer: membership.SwapAnswer
    revision: int = 0


class ServicesGone(Input, frozen=True, kw_only=True):
    """These services were taken out of the table: their servers here end, all else goes on."""

    services: tuple[str, ...]


class Maintained(Input, frozen=True, kw_only=True):
    """What is in maintenance from now on. cluster: mastership does not move by itself, for this reason (empty: it may);
    nodes: these are given no role."""

    cluster: str = ""
    nodes: frozenset[str] = frozenset()


class Facts(Struct, frozen=True):
    """What the membership monitor knows at the moment of a request: the inputs of its preconditions."""

    role: str
    term: int
    master: str
    vice: str
    vice_ready: bool
    lease_held: bool
    swap_open: bool
    members: tuple[str, ...]
    nodes: tuple[membership.NodeEntry, ...]

    @property
    def eligible(self) -> tuple[str, ...]:
        """The eligible nodes of the table."""
        return tuple(n.id for n in self.nodes if n.eligible)

    @property
    def available(self) -> tuple[str, ...]:
        """The eligible nodes that are not kept back."""
        return tuple(n.id for n in self.nodes if n.may_lead)


def facts_from(
    record: Mastership | None,
    role: str,
    members: tuple[str, ...],
    nodes: tuple[membership.NodeEntry, ...],
    *,
    lease_held: bool,
    swap_open: bool,
) -> Facts:
    """Return the facts that follow from the known record, beside what only the monitor knows."""
    vice = record.vice if record is not None else None
    return Facts(
        role=role,
        term=record.term if record is not None else 0,
        master=record.master.node if record is not None else "",
        vice=vice.node if vice is not None else "",
        vice_ready=vice is not None and vice.ready,
        lease_held=lease_held,
        swap_open=swap_open,
        members=members,
        nodes=nodes,
    )


class Asked(Input, frozen=True, kw_only=True):
    """An operator's request for a function of the cluster. verb: see preconditions.py; arguments: node (None: all, or
    for switchover the vice), reason, dry_run, and `operation`, the id under which it is known."""

    id: int
    verb: str
    arguments: dict[str, Any]
    facts: Facts


class Terminate(Input, frozen=True, kw_only=True):
    """The system wants this node to leave in order (SIGTERM)."""

    reason: str
    facts: Facts


class ServiceEntry(Struct, frozen=True):
    """One service of the configuration table, as far as the coordinator minds it."""

    id: str
    local: bool = False
    restart_in_place: bool = False
    volatile: bool = False  # `memory` durability
    callbacks: tuple[host_wire.Callback, ...] = ()  # beside those that it registers itself
    recovery: Limits = Limits()

    @property
    def limits(self) -> Limits:
        """How its failures are recovered from; `restart_in_place` alone: always where it is."""
        if self.restart_in_place and not self.recovery.restarts:
            return msgspec.structs.replace(self.recovery, restarts=UNLIMITED)
        return self.recovery


# ---- effects ----


class Order(Struct, frozen=True, array_like=True, tag=True):
    """Base of all effects."""


class Spawn(Order, frozen=True):
    """Start the host process of this service and send it `Open`."""

    service: str


class KillHost(Order, frozen=True):
    """Kill the host process (its exit is reported, and is expected)."""

    service: str


class ToHost(Order, frozen=True):
    """Send a message to a host; with `page_term` the lease page of (service, term) goes along."""

    service: str
    message: host_wire.ToHost
    page_term: int | None = None


class SwapKey(Order, frozen=True):
    """Swap a record of the ledger other than the mastership (value None deletes it); answered by one `KeySwapped`."""

    token: int
    key: str
    expect: int
    value: bytes | None


class EditTable(Order, frozen=True):
    """Take this node out of the configuration table; what comes of it is told as `NodesChanged`."""

    remove: str


class Feed(Order, frozen=True):
    """Give this input to the membership monitor."""

    input: membership.Input


class TellNode(Order, frozen=True):
    """Send to a node's coordinator (None: to all). A `Progress` to all is sent again to every node that joins."""

    node: str | None
    message: peer_wire.ToCoordinator


class Publish(Order, frozen=True):
    """An event for operators."""

    event: Event


class Answer(Order, frozen=True):
    """The outcome of an `Asked`: done (result) | refused (all reasons) | failed (reasons)."""

    id: int
    kind: str
    result: dict[str, Any]
    reasons: tuple[str, ...] = ()


class End(Order, frozen=True):
    """Every service has ended: end this agent in order, and then halt or reboot the machine (`then`), or not."""

    reason: str
    then: peer_wire.Then = ""


class Abandon(Order, frozen=True):
    """End this life of the node at once, as if its processes had died: nobody here may go on."""

    reason: str


class Wake(Order, frozen=True):
    """Give a `Tick` at this instant at the latest."""

    at_ns: int


Effect = (
    Spawn
    | KillHost
    | ToHost
    | SwapKey
    | EditTable
    | Feed
    | TellNode
    | Publish
    | Answer
    | End
    | Abandon
    | Wake
)
