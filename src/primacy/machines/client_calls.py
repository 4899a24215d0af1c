"""A client's calls that have not ended: their numbers, their deadlines, and the words of failures.  Pure.

Invariants.  A number is used for one call only, and a call keeps session and number for ever.  A number
counts as acknowledged once its reply has come or its caller has given up; a call that was given up is never
sent again.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from primacy.errors import (
    Busy,
    CallError,
    Deadline,
    NoPrimary,
    OperationFailed,
    Refused,
    SessionExpired,
)
from primacy.machines.call_wire import BUSY, RAISED, Answer, Reply
from primacy.machines.ids import FOREVER_NS

OUTSTANDING_MAX = 1024
"""How far a call's number may be ahead of the acknowledged ones; also the limit of outstanding queries.

It is the size of a session's reply cache at the host.
"""

ARGUMENTS_BYTES_MAX = 256 << 10
"""The limit of an operation's arguments."""

WATCHES_MAX = 64
"""Watches of one client on one service; a host takes no more."""


_decode = msgspec.msgpack.Decoder().decode


class Pending(Struct):
    """A call or a query from its beginning to its end.  Its numbers are set by the machine alone."""

    token: Any  # the caller's own; handed back with the end
    operation: str
    arguments: bytes  # MessagePack map
    invoked_ns: int
    deadline_ns: int
    confirm: bool = False  # queries only
    number: int = 0  # a call's number in its session, a query's request
    sent_ns: int = 0  # the first sending
    sends: int = 0
    term: int = 0  # the term that answered; 0 = none did yet


class Session(Struct):
    """A session at the service, with its calls by number; `id` 0 = asked for, not opened yet."""

    request: int
    id: int = 0
    last: int = 0  # the last number that was given out
    acknowledged: int = 0  # every number up to this one has ended
    touched_ns: int = 0  # the last sign of life that was sent
    calls: dict[int, Pending] = {}

    def add(self, pending: Pending) -> None:
        """Give a new call its number."""
        self.last = pending.number = self.last + 1
        self.calls[self.last] = pending

    def end(self, number: int) -> Pending | None:
        """Forget a call that has ended; None when it had ended before."""
        pending = self.calls.pop(number, None)
        if number == self.acknowledged + 1:
            self._advance()
        return pending

    def _advance(self) -> None:
        """Move `acknowledged` over every number that has ended."""
        calls, number, last = self.calls, self.acknowledged, self.last
        while number < last and number + 1 not in calls:
            number += 1
        self.acknowledged = number


def overdue(waiting: dict[int, Pending], now_ns: int) -> tuple[list[Pending], int]:
    """Return what has come to its deadline, and the earliest deadline of the rest (or `FOREVER_NS`)."""
    late, next_ns = [], FOREVER_NS
    for pending in waiting.values():
        if pending.deadline_ns <= now_ns:
            late.append(pending)
        elif pending.deadline_ns < next_ns:
            next_ns = pending.deadline_ns
    return late, next_ns


# ---- the words ----


def too_late(name: str, pending: Pending, *, changes: bool, target: str, known: str) -> CallError:
    """Return how a call ends whose deadline has come.

    name: service and operation.  changes: it is no query.  target: the node that serves, if any.  known:
    what the hosts of the service say about themselves.
    """
    if pending.sends:
        told = "it may have been carried out" if changes else "a query changes nothing"
        return Deadline(f"{name}: no answer before the deadline; {told}", maybe_applied=changes)
    if target:
        text = f"{name}: {target} opened no session before the deadline; nothing was sent"
        return Deadline(text, maybe_applied=False)
    return NoPrimary(
        f"{name}: no primary was found before the deadline ({known or 'no host of the service answers'}); "
        "nothing was sent; `primacy status` tells more"
    )


def too_large(name: str, size: int) -> Refused:
    """Return how a call ends whose arguments are more than a message takes."""
    limit = f"at most {ARGUMENTS_BYTES_MAX} are allowed; nothing was sent"
    return Refused([f"{name}: {size} bytes of arguments; {limit}"])


def failure_of(name: str, reply: Reply | Answer) -> CallError:
    """Return the error that a reply stands for which is not `DONE`."""
    text: Any = _decode(reply.payload) if reply.payload else ""
    if reply.outcome == RAISED:
        kind, message = text
        return OperationFailed(kind, message)
    if reply.outcome == BUSY:
        text = text or "a limit of the service is reached"
        return Busy(f"{name}: {text}; nothing was done, try again later")
    return Refused([f"{name}: {text}"])


def too_many(service: str, what: str, limit: int = OUTSTANDING_MAX) -> Busy:
    """Return how a call ends that would be one too many."""
    return Busy(f"{service}: {limit} {what} are outstanding; end some of them first")


def no_room(service: str) -> Busy:
    """Return how a call ends for which the service has no session left."""
    return Busy(f"{service}: it has as many sessions as it can hold; nothing was sent, try again later")


def closed(name: str, pending: Pending, reason: str, *, changes: bool) -> Deadline:
    """Return how a call ends whose client is closed before the answer has come."""
    maybe_applied = changes and pending.sends > 0
    told = "; it may have been carried out" if maybe_applied else ""
    return Deadline(f"{name}: no answer before {reason}{told}", maybe_applied)


def expired(name: str, pending: Pending) -> CallError:
    """Return how a call ends whose session the host does not know any more."""
    if pending.sends > 1:  # an earlier sending may have been executed, before the session ended
        return Deadline(f"{name}: the session ended while the call was repeated", maybe_applied=True)
    return SessionExpired(
        f"{name}: the session has ended after its time of silence, and what was tied to it is released; "
        "this call was not executed, the next one opens a new session"
    )
