"""What a client and a host of one service tell each other over a CGTP stream.

A client keeps one stream to the host of a service on every eligible node that it knows. Each host says by `HostRole`
whether it serves; a client sends its calls to the serving primary and, when another host begins to serve, sends its
outstanding calls there again under their session and number: the session's reply cache makes that exactly-once.
Arguments and results are MessagePack values inside bytes, so that a host can pass them on without decoding.
"""

from __future__ import annotations

import msgspec

from primacy.errors import WireError


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all messages: an array whose first element is the class's name."""


# ---- client to host ----


class OpenSession(Wire, frozen=True, gc=False, tag="o"):
    """Begin a session; repeated until `SessionOpened` with the same request comes (an orphan ends by itself)."""

    request: int


class Call(Wire, frozen=True, gc=False, tag="c"):
    """An operation, exactly once per (session, number).

    number: 1, 2, ... within the session. acknowledged: every reply with a number up to this one has arrived (the host
    forgets them). arguments: MessagePack map of the keyword arguments.
    """

    session: int
    number: int
    acknowledged: int
    operation: str
    arguments: bytes


class Query(Wire, frozen=True, gc=False, tag="q"):
    """A linearizable read; `request` is the client's own number for it. confirm: trust no clock."""

    request: int
    operation: str
    arguments: bytes
    confirm: bool = False


class Watch(Wire, frozen=True, gc=False, tag="w"):
    """Push the events published under `topic` (prefix) after `position` (0 = from now on)."""

    request: int
    topic: str
    position: int


class Unwatch(Wire, frozen=True, gc=False, tag="u"):
    """End a watch."""

    request: int


class KeepAlive(Wire, frozen=True, gc=False, tag="k"):
    """A sign of life of an otherwise silent session; sent every 3 s. end: the client closes the session in order."""

    session: int
    end: bool = False


# ---- host to client ----


class HostRole(Wire, frozen=True, gc=False, tag="R"):
    """Pushed at once and on every change: whether this host serves, in which term; whom it knows as primary."""

    service: str
    node: str
    term: int
    serving: bool
    primary: str  # node id, or ""


class SessionOpened(Wire, frozen=True, gc=False, tag="O"):
    """The session's number (0: a limit is reached, Busy); `term` is the term that answered."""

    request: int
    session: int
    term: int


class Reply(Wire, frozen=True, gc=False, tag="r"):
    """Answer to a `Call`. outcome: 0 done (payload = result) | 1 the operation raised (payload = [kind, message])
    | 2 SessionExpired | 3 Busy | 4 unknown operation or bad arguments (payload = text; nothing was executed).
    Payloads are MessagePack, or empty."""

    session: int
    number: int
    outcome: int
    term: int
    payload: bytes


class Answer(Wire, frozen=True, gc=False, tag="a"):
    """Answer to a `Query`; outcomes as of `Reply`."""

    request: int
    outcome: int
    term: int
    payload: bytes


class Changed(Wire, frozen=True, gc=False, tag="x"):
    """Events of a watch, in order: (position, topic, payload). `lost`: the position asked for is no longer kept:
    list again, the stream goes on after `position` of the first item, or after `upto` when there are none."""

    request: int
    items: list[tuple[int, str, bytes]]
    upto: int
    lost: bool = False


ToHost = OpenSession | Call | Query | Watch | Unwatch | KeepAlive
ToClient = HostRole | SessionOpened | Reply | Answer | Changed

encode = msgspec.msgpack.Encoder().encode
_to_host = msgspec.msgpack.Decoder(ToHost)
_to_client = msgspec.msgpack.Decoder(ToClient)

DONE, RAISED, EXPIRED, BUSY, INVALID = range(5)


def decode_to_host(frame: bytes) -> ToHost:
    """Return the message that a client sent; WireError when no message is in `frame`."""
    try:
        message: ToHost = _to_host.decode(frame)
    except (ValueError, RecursionError) as error:
        raise WireError(f"frame from a client cannot be read: {error}") from error
    return message


def decode_to_client(frame: bytes) -> ToClient:
    """Return the message that a host sent; WireError when no message is in `frame`."""
    try:
        message: ToClient = _to_client.decode(frame)
    except (ValueError, RecursionError) as error:
        raise WireError(f"frame from a host cannot be read: {error}") from error
    return message
