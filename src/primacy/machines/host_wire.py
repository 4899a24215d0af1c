"""What the agent and a host of one service tell each other over their socketpair.

One message per packet, MessagePack of a tagged array; unknown trailing fields are ignored, so that either side may
be one version newer. The channel is in order and reliable; a host that does not read for long is judged stalled by
its health check, never waited for. The lease page travels beside `Assign` as a file descriptor.
"""

from __future__ import annotations

import msgspec

from primacy.errors import WireError
from primacy.machines.ids import Member


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: an array whose first element is the class's name."""


class Callback(msgspec.Struct, frozen=True):
    """One registered callback: which function and level, how long it may take, what its failure means."""

    function: str
    level: int
    name: str
    timeout_s: float = 5.0
    on_failure: str = "refuse"  # refuse | retry | restart | escalate
    retries: int = 0
    delay_s: float = 0.0


class Context(msgspec.Struct, frozen=True):
    """What every callback is told. `clean`: was the hand-over complete? `deadline_s`: seconds from its start.

    again: this callback was begun before in this term, on this life of the node: it is retried, its server was started
    again, or the function was asked for again after it was undone. Otherwise it runs once for (term, function, level).
    """

    function: str
    level: int
    term: int
    cause: str
    old_state: str
    new_state: str
    peer: str | None
    clean: bool
    deadline_s: float
    node: str = ""
    again: bool = False


class Peer(msgspec.Struct, frozen=True):
    """The other side of a mirror: which life of which node, and where its host of this service listens."""

    member: Member
    addresses: list[tuple[str, int]]  # one per link


# ---- agent to host ----


class Open(Wire, frozen=True):
    """First message: what to run and where. `target` is `builtin:naming` or `module-or-file.py:Class`."""

    cluster: str
    node: str
    incarnation: str
    service: str
    target: str
    path: str  # directory put first on sys.path for the import
    directory: str  # the service's own directory on this node (journal, working files)
    durability: str  # disk | memory
    listen: list[tuple[str, int]]  # one per link
    certificate: str  # PEM files: this node's certificate, its key, the cluster's authority
    key: str
    authority: str
    mirror_timeout_s: float = 2.0
    local: bool = False  # a local service: no state, no mirror, no listening sockets


class Assign(Wire, frozen=True):
    """The server's state from now on. A lease page for (service, term) comes with it for primary and secondary.

    role: available | secondary | primary. `appointment` is the ledger revision that appointed the vice (0 = no vice).
    As primary: `peer` is the vice that all replies must wait for from the start (`in_step`: after a switchover), or
    None: alone. As secondary: `peer` is the primary to mirror from; `in_step` true: this server was the primary until
    the switchover and is complete as it is (its journal need not be compared, its process need not be new).
    A primary is not yet open for calls: `Serve` opens it.
    """

    term: int
    role: str
    appointment: int = 0
    peer: Peer | None = None
    in_step: bool = False


class Appoint(Wire, frozen=True):
    """To a primary: this vice will join; ship to it; once caught up hold every reply for it and say `Joined`."""

    term: int
    appointment: int
    peer: Peer


class Ready(Wire, frozen=True):
    """To a primary: the record names the vice of this appointment as ready (settled)."""

    term: int
    appointment: int


class Alone(Wire, frozen=True):
    """To a primary: no vice is named any more (settled): sync, reply alone, forget the appointment."""

    term: int


class Serve(Wire, frozen=True):
    """To a primary: the last level is complete; answer calls (the lease page still decides) and tell the clients."""

    term: int


class Quiesce(Wire, frozen=True):
    """To a primary: hold new calls, finish and acknowledge all accepted ones, then say `Quiesced`.

    handing_over: for a switchover, which may be undone; else for the orderly stop of the cluster.
    """

    term: int
    handing_over: bool = False


class Resume(Wire, frozen=True):
    """To a quiesced primary: the switchover was undone; go on, held calls first."""

    term: int


class Run(Wire, frozen=True):
    """Run one callback. Answered by one `Ran` with the same id."""

    id: int
    name: str
    context: Context


class Cancel(Wire, frozen=True):
    """Cancel a running callback (its term ended or its time is over)."""

    id: int


class Ping(Wire, frozen=True):
    """Health check through the host's event loop; answered by `Pong`."""

    number: int


class Confirmed(Wire, frozen=True):
    """Answer to `Confirm`: the vice has echoed a beat that was sent after the question."""

    id: int
    valid: bool


class Members(Wire, frozen=True):
    """The nodes that are members now as the master sees them (sent to primaries on every change)."""

    nodes: list[str]


class Primaries(Wire, frozen=True):
    """To local services: who is master of which term, and where each centralized service's primary listens."""

    term: int
    node: str
    services: dict[str, list[tuple[str, int]]]


class LinkState(Wire, frozen=True):
    """An operator took a link of this node down or up: drop or take up all traffic on it."""

    link: int
    up: bool


class Stop(Wire, frozen=True):
    """End in order: sync the journal, answer `Stopped`, close everything and exit 0."""


# ---- host to agent ----


class Opened(Wire, frozen=True):
    """The service is imported and its journal recovered: its callbacks, and the journal's last (term, sequence).

    incomplete: the journal may lack entries that were acknowledged (what was there before could not be used, and was
    set aside, or is gone): this server can only join a primary.
    """

    service: str
    callbacks: list[Callback]
    term: int
    sequence: int
    incomplete: bool = False


REFUSED = "refused"


class Failed(Wire, frozen=True):
    """The host cannot go on (import error, journal error...): the text holds what, where, what to do. Then it exits.

    kind: REFUSED when a node must not start with what it has on its disk; else the name of an error.
    """

    kind: str
    text: str


class Ran(Wire, frozen=True):
    """The outcome of a callback: done | refused | failed | timeout | cancelled, and the reason in words."""

    id: int
    outcome: str
    reason: str = ""


class Joined(Wire, frozen=True):
    """From a primary: all replies wait for the vice of this appointment, and it acknowledged up to `sequence`."""

    term: int
    appointment: int
    sequence: int


class Quiesced(Wire, frozen=True):
    """From a primary: every accepted call is acknowledged and answered; new ones are held.

    sequence, entry_term: number and term of the journal's last entry (its term is older than the mastership's, or 0,
    when nothing was written in this one). handing_over: as of the `Quiesce` that this answers.
    """

    term: int
    sequence: int
    entry_term: int = 0
    handing_over: bool = False


class MirrorStalled(Wire, frozen=True):
    """From a primary: a reply has waited `mirror_timeout` for the vice of this appointment."""

    term: int
    appointment: int


class Confirm(Wire, frozen=True):
    """From a primary: a query wants an echo of the vice that was sent after now."""

    id: int


class Pong(Wire, frozen=True):
    """Answer to `Ping`."""

    number: int


class Progress(Wire, frozen=True):
    """At most once a second, when changed: last sequence here, acknowledged by the vice (-1 = none), synced here."""

    term: int
    sequence: int
    acknowledged: int
    synced: int
    calls: int = 0
    sessions: int = 0


class Unhealthy(Wire, frozen=True):
    """From a serving primary: the service's own health check has failed so often in a row; `reason` is the last one."""

    term: int
    failures: int
    reason: str


class Note(Wire, frozen=True):
    """Something an operator may care about: journal set aside, snapshot sent, digests differ..."""

    kind: str
    text: str


class Stopped(Wire, frozen=True):
    """The journal is synced up to here; the host exits now."""

    term: int
    sequence: int


ToHost = (
    Open | Assign | Appoint | Ready | Alone | Serve | Quiesce | Resume | Run | Cancel | Ping | Confirmed | Members
    | Primaries | LinkState | Stop
)  # fmt: skip
ToAgent = (
    Opened
    | Failed
    | Ran
    | Joined
    | Quiesced
    | MirrorStalled
    | Confirm
    | Pong
    | Progress
    | Unhealthy
    | Note
    | Stopped
)

encode = msgspec.msgpack.Encoder().encode
_to_host = msgspec.msgpack.Decoder(ToHost)
_to_agent = msgspec.msgpack.Decoder(ToAgent)


def decode_to_host(data: bytes) -> ToHost:
    """Return the message that a host received; WireError when no message is in `data`."""
    try:
        message: ToHost = _to_host.decode(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"message from the agent cannot be read: {error}") from error
    return message


def decode_to_agent(data: bytes) -> ToAgent:
    """Return the message that an agent received from a host; WireError when no message is in `data`."""
    try:
        message: ToAgent = _to_agent.decode(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"message from a host cannot be read: {error}") from error
    return message
