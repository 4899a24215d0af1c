"""What two agents tell each other over their CGTP stream: keys, progress of levels, functions, questions.

Nothing here decides about roles; beats and announcements travel as datagrams (messages.py).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from primacy.errors import WireError

Then = Literal["", "halt", "reboot"]
"""What a machine does when its node has left."""


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: an array whose first element is the class's name."""


class Greeting(Wire, frozen=True):
    """First frame of each side: which life of the node speaks, and the key under which it will send datagrams.

    key: 32 random bytes for datagrams from the sender's incarnation to the receiver's (`to`); new for each pair of
    incarnations, so that no nonce ever recurs under one key. at: where this life listens, one address per link; while
    nodes move, that may be another place than the table says (empty: what the table says).
    """

    node: str
    incarnation: str
    to: str
    key: bytes
    wire_min: int
    wire_max: int
    at: list[tuple[str, int]] = []


class Progress(Wire, frozen=True):
    """The sender's servers have completed this level; `complete`: the whole function. Others keep step."""

    term: int
    function: str
    level: int
    complete: bool


class EndNode(Wire, frozen=True):
    """Master to a node: shut down in order. stopped: the orderly stop of the whole cluster is in the record.

    then: what its machine does afterwards. operation: the function that this belongs to (empty: to none). life: the
    incarnation that is to leave; a later life of the node has nothing to do, and says so. Empty: any.
    """

    reason: str
    stopped: bool
    then: Then = ""
    operation: str = ""
    life: str = ""


class Do(Wire, frozen=True):
    """Master to a node: run your part of this operation (a function of the ladder). Sent again until it is answered."""

    operation: str
    function: str
    reason: str


class FunctionDone(Wire, frozen=True):
    """Node to its master: my part of the operation has ended. outcome: done | refused | failed, with all reasons."""

    operation: str
    outcome: str
    reasons: list[str] = []


class Leave(Wire, frozen=True):
    """Node to its master: I leave in order; appoint another vice if I am it. Sent before the services shut down."""

    reason: str


class Ask(Wire, frozen=True):
    """A question to the other agent; the verbs are those of `control_wire` and `local` (its own part of `status`)."""

    id: int
    verb: str
    arguments: dict[str, Any]


class Tell(Wire, frozen=True):
    """Answer to `Ask`; kinds as of `control_wire.Response`."""

    id: int
    kind: str
    result: Any
    reasons: list[str]


ToCoordinator = Progress | EndNode | Do | FunctionDone | Leave
Message = Greeting | ToCoordinator | Ask | Tell

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Message)


def decode(frame: bytes) -> Message:
    """Return the message in a frame of another agent; WireError when there is none."""
    try:
        message: Message = _decoder.decode(frame)
    except (ValueError, RecursionError) as error:
        raise WireError(f"frame of another agent cannot be read: {error}") from error
    return message
