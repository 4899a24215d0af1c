"""What an operator's command or a client tells an agent over a CGTP stream, and what the agent answers.

Requests are a verb with arguments; answers carry a result or all the reasons against. An agent that is not master
passes the functions of the cluster on to the master's. Topology and events are pushed to those who asked for them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from primacy.errors import WireError


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: an array whose first element is the class's name."""


class Request(Wire, frozen=True):
    """verb: see `primacy.agent.control` for the list, its arguments and results."""

    id: int
    verb: str
    arguments: dict[str, Any] = {}


class Response(Wire, frozen=True):
    """kind: done | refused (reasons) | failed (reasons[0] says why) | unavailable (no master: try again)."""

    id: int
    kind: str
    result: Any = None
    reasons: list[str] = []


class NodeEntry(msgspec.Struct, frozen=True):
    """A node as a client needs it: where its agent listens, and where its hosts of centralized services do."""

    id: str
    eligible: bool
    agent: list[tuple[str, int]]
    services: dict[str, list[tuple[str, int]]]


class Topology(Wire, frozen=True):
    """Pushed on every change to those who subscribed: the nodes, the term, who is master; `serving`: in service."""

    cluster: str
    term: int
    master: str
    vice: str
    serving: bool
    nodes: list[NodeEntry]


class EventPushed(Wire, frozen=True):
    """One event of this node (see `primacy.machines.events`), as its plain dictionary."""

    event: dict[str, Any]


ToAgent = Request
ToCaller = Response | Topology | EventPushed

encode = msgspec.msgpack.Encoder().encode
_to_agent = msgspec.msgpack.Decoder(ToAgent)
_to_caller = msgspec.msgpack.Decoder(ToCaller)


def decode_to_agent(frame: bytes) -> Request:
    """Return the request in `frame`; WireError when there is none."""
    try:
        request: Request = _to_agent.decode(frame)
    except (ValueError, RecursionError) as error:
        raise WireError(f"request cannot be read: {error}") from error
    return request


def decode_to_caller(frame: bytes) -> Response | Topology | EventPushed:
    """Return the answer in `frame`; WireError when there is none."""
    try:
        message: ToCaller = _to_caller.decode(frame)
    except (ValueError, RecursionError) as error:
        raise WireError(f"answer of the agent cannot be read: {error}") from error
    return message
