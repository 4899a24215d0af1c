"""What a simulated primary does with one message of a client: evaluate it, or apply it as the next entry.

It never answers: an answer is handed over with the position that it depends on, and leaves when that may be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.call_wire import (
    BUSY,
    DONE,
    EXPIRED,
    Answer,
    Call,
    KeepAlive,
    OpenSession,
    Query,
    Reply,
    SessionOpened,
    ToClient,
    ToHost,
)
from primacy.machines.entries import Entry, SessionEnded, SessionsTouched
from primacy.machines.session import Verdict
from primacy.sim.logbook import Append
from primacy.sim.network import Stream

if TYPE_CHECKING:
    from primacy.sim.host import Host


class Waiting:
    """An answer that may not leave yet: everything up to `position` must be released first."""

    __slots__ = ("message", "names", "position", "sent_ns", "stream")

    def __init__(
        self, position: int, stream: Stream, message: ToClient, sent_ns: int, names: tuple[str, ...] = ()
    ) -> None:
        self.position, self.stream, self.message = position, stream, message
        self.sent_ns, self.names = sent_ns, names


def take(host: Host, stream: Stream, message: ToHost, sent_ns: int, times: tuple[int, int]) -> Entry | None:
    """Execute one message; return the entry that it made, if it changed the state. times: as of `Replica.turn`."""
    replica = host.replica
    match message:
        case Call():
            return _call(host, stream, message, sent_ns, times)
        case Query(request=request, arguments=arguments):
            answer = Answer(request, DONE, host.term, host.logbook.read(arguments.decode()))
            host.wait(Waiting(replica.sequence, stream, answer, sent_ns))
        case OpenSession(request=request):
            replica.turn(host.term, *times)
            begun = replica.next_session()
            room = replica.note(begun)
            opened = SessionOpened(request, begun.id if room else 0, host.term)
            host.wait(Waiting(replica.sequence, stream, opened, sent_ns))
            return begun
        case KeepAlive(session=session, end=True):
            ended = SessionEnded(session)
            replica.turn(host.term, *times)
            replica.note(ended)
            return ended
        case KeepAlive(session=session) if replica.sessions.needs_touch(session, times[1]):
            touched = SessionsTouched([session])
            replica.turn(host.term, *times)
            replica.note(touched)
            return touched
    return None


def _call(host: Host, stream: Stream, call: Call, sent_ns: int, times: tuple[int, int]) -> Entry | None:
    replica = host.replica
    verdict = replica.sessions.check(call.session, call.number, call.acknowledged)
    if verdict is Verdict.STALE:
        return None
    prepared = host.logbook.prepare(call.operation, call.arguments)
    assert isinstance(prepared, Append), prepared
    entry: Entry | None = None
    if verdict is Verdict.EXECUTE:
        replica.turn(host.term, *times)
        reply = replica.execute(call, prepared)
        entry = call
    elif verdict is Verdict.CACHED:
        reply = replica.sessions.reply(call.session, call.number)
    else:
        reply = (EXPIRED if verdict is Verdict.EXPIRED else BUSY, b"")
    if reply is not None:
        outcome, payload = reply
        names = (prepared.name,) if outcome == DONE else ()
        message = Reply(call.session, call.number, outcome, host.term, payload)
        host.wait(Waiting(replica.sequence, stream, message, sent_ns, names))
    return entry
