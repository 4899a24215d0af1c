"""What the membership monitors tell each other in datagrams.

Every datagram names its sender and receiver incarnation in the transport's authenticated header, so the messages do
not repeat them. Beats are small and frequent; announcements carry the whole record and are repeated until
acknowledged or superseded, so that a node that was frozen cannot miss the news.
"""

from __future__ import annotations

import msgspec

from primacy.errors import WireError
from primacy.machines.ids import Member
from primacy.machines.records import Mastership

WIRE_MIN = 1
WIRE_MAX = 1


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: an array whose first element is the class's name."""


class Hello(Wire, frozen=True):
    """A node tells about itself before and after it is a member; it grants nothing.

    positions: last (term, sequence) of each service's journal, for formation; None while they are not known yet.
    priority: the larger is preferred.
    """

    member: Member
    cluster: str
    wire_min: int
    wire_max: int
    eligible: bool
    available: bool
    priority: int
    positions: dict[str, tuple[int, int]] | None
    seen: list[str] = []  # incarnations that the sender has heard since its start


class Beat(Wire, frozen=True):
    """Master to members: I live, in this term; `sent_ns` is the master's own clock, echoed by the receiver.

    lease_ns: how long the master will trust the answer; nobody promises a silence that is shorter.
    """

    term: int
    revision: int
    sent_ns: int
    lease_ns: int = 0


class Echo(Wire, frozen=True):
    """Answer to a beat. From the vice it is a promise: no claim before a grace after the beat's receipt.

    vice: the sender knows itself as vice of this term (only then is it a promise). able: its servers are
    initialized, it may be appointed. healthy: its servers mirror; false withdraws `ready` (appointment says of which).
    """

    term: int
    revision: int
    sent_ns: int
    vice: bool
    able: bool
    healthy: bool
    appointment: int


class Announce(Wire, frozen=True):
    """The newest record that the sender knows. serving: the sender is its master and every primary serves."""

    revision: int
    record: Mastership
    serving: bool
    version: int  # counts the sender's announcements; acknowledged by number


class Heard(Wire, frozen=True):
    """Acknowledges an announcement. life: of whom it was: what a former life had announced says nothing of this one."""

    version: int
    life: str


class Obituary(Wire, frozen=True):
    """A guardian's word that all processes of this member are dead."""

    member: Member


Message = Hello | Beat | Echo | Announce | Heard | Obituary

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Message)


def decode(data: bytes) -> Message:
    """Return the message in a datagram's payload; WireError when there is none."""
    try:
        message: Message = _decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"datagram cannot be read: {error}") from error
    return message
