"""Inputs and effects of the cluster membership monitor (CMM), the machine in `mastership.py`.

The driver feeds one input at a time, with the local boot-time clock's reading in it, and obeys the effects in the
order in which they stand: in particular a page is written (`Grant`, `Seal`) before the swap that follows it is sent.

Each is a tagged array to msgspec, so that a record of what a machine was given and answered can be read again.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from primacy.machines import messages
from primacy.machines.events import Event
from primacy.machines.formation import Positions
from primacy.machines.ids import Member
from primacy.machines.last_resort import Witness
from primacy.machines.records import Mastership
from primacy.machines.swap import Outcome, Purpose
from primacy.machines.timing import Timing


class NodeEntry(Struct, frozen=True):
    """One node of the configuration table, together with its record in the ledger."""

    id: str
    eligible: bool = True
    available: bool = True
    priority: int = 0

    @property
    def may_lead(self) -> bool:
        """Whether it may be master or vice: eligible, and not a spare."""
        return self.eligible and self.available


# ---- inputs ----


class Input(Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Base: `now_ns` is the reading of the local boot-time clock."""

    now_ns: int


class Tick(Input, frozen=True, kw_only=True):
    """Time has passed; also given when nothing else happened, at the latest at the instant of the last `Wake`."""


class Gap(Input, frozen=True, kw_only=True):
    """The agent itself was not scheduled for a while; its sockets are drained. It judges nobody for one beat."""


class Received(Input, frozen=True, kw_only=True):
    """A message of an authenticated sender."""

    sender: Member
    message: messages.Message


class Learned(Input, frozen=True, kw_only=True):
    """The record as a read or a watch found it. asked_ns: when the read was sent (None for a watch)."""

    revision: int
    record: Mastership | None
    asked_ns: int | None = None


class ReadFailed(Input, frozen=True, kw_only=True):
    """A read got no answer from the ledger."""


class SwapAnswer(Enum):
    """What the ledger said of one try of a swap."""

    DONE = "done"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    UNCERTAIN = "uncertain"


class Swapped(Input, frozen=True, kw_only=True):
    """The ledger's answer to the try with this token; exactly one for each `SwapRecord`."""

    token: int
    answer: SwapAnswer
    revision: int = 0


class TableChanged(Input, frozen=True, kw_only=True):
    """The nodes of the configuration table, this one included."""

    nodes: tuple[NodeEntry, ...]


class Retimed(Input, frozen=True, kw_only=True):
    """The times of the configuration table changed; each step agrees with the one before (see `timing.between`).

    availability: its `cold_start`, where that may have changed too.
    """

    timing: Timing
    availability: bool | None = None


class EchoWanted(Input, frozen=True, kw_only=True):
    """A reader waits for an echo of a beat that is sent after now: the vice's next beat goes out at once."""


class Health(Input, frozen=True, kw_only=True):
    """This node's own servers. able: initialized, may be appointed. healthy: as vice they mirror (in `appointment`).

    complete: no journal was set aside or lost. A node with an incomplete one takes no part in formation: it only joins.
    """

    able: bool
    healthy: bool
    appointment: int
    positions: Positions | None = None
    complete: bool = True


class Joined(Input, frozen=True, kw_only=True):
    """Every primary holds its replies for the vice, which acknowledged all up to that moment, in this appointment."""

    term: int
    appointment: int


class Stalled(Input, frozen=True, kw_only=True):
    """A primary has waited the mirror time-out for the vice of this appointment."""

    term: int
    appointment: int
    service: str


class Serving(Input, frozen=True, kw_only=True):
    """The last level is complete on this master: its primaries serve."""

    term: int


class HandOver(Input, frozen=True, kw_only=True):
    """The primaries are quiesced and the mirrors drained (in_step), or a primary's host died (not in step)."""

    term: int
    in_step: bool
    cause: str


class Renew(Input, frozen=True, kw_only=True):
    """A primary's host died and nobody can take over: go on here, in a new term and without a vice.

    The new process may lack entries that the dead one had shipped; numbering them again in the same term would give
    two entries one (term, sequence).
    """

    term: int
    cause: str


class Leaving(Input, frozen=True, kw_only=True):
    """A member (perhaps this one) leaves in order: it is not appointed, and dropped when it is vice."""

    member: Member


class KeepBack(Input, frozen=True, kw_only=True):
    """As master: appoint this node no more, and drop it when it is vice; why: the sentence for the record.

    An empty one: from now on as its record says again.
    """

    node: str
    why: str


class Linked(Input, frozen=True, kw_only=True):
    """Whether any link of this node carries traffic; not so when an operator took down all of them."""

    up: bool


class Maintenance(Input, frozen=True, kw_only=True):
    """What is in maintenance from now on. nodes: these are given no role. cluster: nobody claims by itself, for this
    reason (empty: no maintenance of the cluster)."""

    cluster: str = ""
    nodes: frozenset[str] = frozenset()


class Force(Input, frozen=True, kw_only=True):
    """An operator wants this node to be master though no rule makes it so; answered by one `ForceAnswered`.

    recorded: the master of the record that was known before the witnesses were asked. assume_dead: the node that the
    operator declares dead (empty: none). by, reason: for the record and the event.
    """

    id: int
    recorded: Member | None
    assume_dead: str
    by: str
    reason: str
    witnesses: tuple[Witness, ...] = ()
    dry_run: bool = False


class StopCluster(Input, frozen=True, kw_only=True):
    """All primaries are stopped and all data is synced up to these positions: write the orderly stop."""

    positions: Positions


# ---- effects ----


class Order(Struct, frozen=True, array_like=True, tag=True):
    """Base of all effects."""


class Send(Order, frozen=True):
    """Send to the present incarnation of a node, on every link."""

    node: str
    message: messages.Message


class Greet(Order, frozen=True):
    """Say hello to these nodes."""

    nodes: tuple[str, ...]
    message: messages.Hello


class Read(Order, frozen=True):
    """Read the record; answered by `Learned` with asked_ns, or `ReadFailed`."""


class SwapRecord(Order, frozen=True):
    """Swap the record; answered by exactly one `Swapped`."""

    expect: int
    record: Mastership
    token: int


class Grant(Order, frozen=True):
    """Write `valid_until_ns` into the lease pages of this node's primaries of this term."""

    term: int
    until_ns: int


class Acknowledge(Order, frozen=True):
    """Write `ack_term` into the lease pages of this node's secondaries of this term: they may acknowledge."""

    term: int


class Seal(Order, frozen=True):
    """Zero `ack_term` in all pages: nothing of this term is acknowledged any more."""

    term: int


class Adopted(Order, frozen=True):
    """A newer record is known; what it means for this node's own place follows as `Became` and its like."""

    revision: int
    record: Mastership


class Became(Order, frozen=True):
    """This node's place in the record changed. role: master | vice | member.

    how: formation | failover | switchover | restart | appointment | dropped | deposed.
    clean: after a complete hand-over.
    """

    role: str
    how: str
    revision: int
    record: Mastership
    clean: bool


class Appointed(Order, frozen=True):
    """This master's record names a vice that has to join every mirror."""

    term: int
    appointment: int
    vice: Member


class ViceReady(Order, frozen=True):
    """`ready` is settled: tell the primaries."""

    term: int
    appointment: int


class Alone(Order, frozen=True):
    """It is settled that no vice is named: the primaries go on alone."""

    term: int


class Served(Order, frozen=True):
    """The master of this term announced that every primary serves (told to all other nodes)."""

    term: int


class Closed(Order, frozen=True):
    """A swap was settled (or surely not written)."""

    purpose: Purpose
    outcome: Outcome


class ForceAnswered(Order, frozen=True):
    """The answer to a `Force`. kind: refused (all reasons; nothing was changed) | possible (a dry run) | done.

    term: the one known now, after `done` this node's own. may_lose: what force costs, in words.
    """

    id: int
    kind: str
    reasons: tuple[str, ...]
    term: int = 0
    may_lose: str = ""


class Wake(Order, frozen=True):
    """Give a `Tick` at this instant at the latest."""

    at_ns: int


class Publish(Order, frozen=True):
    """An event for operators."""

    event: Event


Effect = (
    Send | Greet | Read | SwapRecord | Grant | Acknowledge | Seal | Adopted | Became | Appointed | ViceReady
    | Alone | Served | Closed
    | ForceAnswered | Wake | Publish
)  # fmt: skip
