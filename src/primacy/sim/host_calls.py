"""What a simulated primary does with one message of a client: evaluate it, or apply it as the next entry.

It never answers: an answer is handed over with the position that it depends on, and leaves when that may be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from primacy.machines.call_wire import (
    BUSY,
    DONE,
    EXPIRED,
    INVALID,
    Answer,
    Call,
    KeepAlive,
    OpenSession,
    Query,
    Reply,
    SessionOpened,
    ToClient,
    ToHost,
    Unwatch,
    Watch,
)
from primacy.machines.entries import Entry, SessionEnded, SessionsTouched
from primacy.machines.session import Verdict
from primacy.sim import logbook
from primacy.sim.callbacks import OwnCall
from primacy.sim.network import Stream

if TYPE_CHECKING:
    from primacy.sim.host import Host

Sink = Stream | OwnCall
_encode = msgspec.msgpack.Encoder().encode


class Waiting:
    """An answer that may not leave yet: everything up to `position` must be released first."""

    __slots__ = ("message", "names", "position", "sent_ns", "stream")

    def __init__(
        self, position: int, stream: Sink, message: ToClient, sent_ns: int, names: tuple[str, ...] = ()
    ) -> None:
        self.position, self.stream, self.message = position, stream, message
        self.sent_ns, self.names = sent_ns, names


def take(host: Host, stream: Sink, message: ToHost, sent_ns: int, times: tuple[int, int]) -> Entry | None:
    """Execute one message; return the entry that it made, if it changed the state. times: as of `Replica.turn`."""
    replica = host.replica
    match message:
        case Call():
            return _call(host, stream, message, sent_ns, times)
        case Query(request=request, operation=operation, arguments=arguments):
            outcome, payload = host.model.answer(operation, arguments)
            host.observer.evaluated(host, message, outcome, payload)
            answer = Answer(request, outcome, host.term, payload)
            confirmed = message.confirm or host.model.confirms(operation)
            leave = host.confirm if confirmed else host.wait
            leave(Waiting(replica.sequence, stream, answer, sent_ns))
        case OpenSession(request=request):
            replica.turn(host.term, *times)
            begun = replica.next_session()
            room = replica.note(begun)
            host.heard[begun.id] = host.clock.now_ns
            opened = SessionOpened(request, begun.id if room else 0, host.term)
            host.wait(Waiting(replica.sequence, stream, opened, sent_ns))
            return begun
        case KeepAlive(session=session) if session not in replica.sessions:
            pass  # it has ended
        case KeepAlive(session=session, end=True):
            ended = SessionEnded(session)
            replica.turn(host.term, *times)
            replica.note(ended)
            host.heard.pop(session, None)
            return ended
        case KeepAlive(session=session):
            host.heard[session] = host.clock.now_ns
            if replica.sessions.needs_touch(session, times[1]):
                touched = SessionsTouched([session])
                replica.turn(host.term, *times)
                replica.note(touched)
                return touched
        case Watch() | Unwatch():
            assert isinstance(stream, Stream)
            host.pushing.take(stream, message)
    return None


def _call(host: Host, stream: Sink, call: Call, sent_ns: int, times: tuple[int, int]) -> Entry | None:
    replica, id = host.replica, call.session
    verdict = Verdict.EXECUTE  # a call of the service's own is executed always
    if id:
        host.heard[id] = host.clock.now_ns
        verdict = replica.sessions.check(id, call.number, call.acknowledged)
    if verdict is Verdict.STALE:
        return None
    prepared = host.model.prepare(call.operation, call.arguments)
    entry: Entry | None = None
    reply: tuple[int, bytes] | None
    if type(prepared) is str:
        reply = (INVALID, _encode(prepared))
    elif verdict is Verdict.EXECUTE:
        replica.turn(host.term, *times)
        reply = replica.execute(call, prepared)
        entry = call
    elif verdict is Verdict.CACHED:
        reply = replica.sessions.reply(id, call.number)
    else:
        reply = (EXPIRED if verdict is Verdict.EXPIRED else BUSY, b"")
    if reply is not None:
        outcome, payload = reply
        names: tuple[str, ...] = ()
        if outcome == DONE and isinstance(host.object, logbook.Logbook):
            names = (logbook.name_of(call.arguments),)
        message = Reply(id, call.number, outcome, host.term, payload)
        host.wait(Waiting(replica.sequence, stream, message, sent_ns, names))
    return entry
