"""One service as a client sees it: who serves, which calls are outstanding, what goes to whom.  Pure.

A client keeps a stream to the host of the service on every eligible node.  Hosts say by `HostRole` whether
they serve.  Calls go to the *target*: the host that serves with the highest term.  When another target is
found, all that is outstanding goes there again at once: calls under the session and number that they had,
so that the session's reply cache makes them exactly-once; queries change nothing and are simply asked
again; watches go on after the last position that arrived.  While there is no target, calls are held, within
their deadline and a limit.

Invariants.  The term of the target never decreases.  At most one `OpenSession` is outstanding.  Each call
ends exactly once.  Duplicates are harmless by design: on any doubt (a stream was opened anew, a host serves
again) the machine repeats.  Source: Liskov, Cowling, *Viewstamped Replication Revisited*, section 4 (the
client table).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from primacy.errors import CallError
from primacy.machines.call_wire import (
    EXPIRED,
    Answer,
    Call,
    Changed,
    HostRole,
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
from primacy.machines.client_calls import (
    OUTSTANDING_MAX,
    Pending,
    Session,
    closed,
    expired,
    no_room,
    overdue,
    too_late,
    too_many,
)
from primacy.machines.ids import FOREVER_NS, SECOND

KEEP_ALIVE_NS = 3 * SECOND
"""A session that was silent for so long gives a sign of life."""


class Watching(Struct):
    """A watch; `position` is the last one that arrived (0 = none yet: from now on)."""

    token: Any
    topic: str
    position: int
    request: int = 0
    begun: bool = False  # a host has answered it: from there on nothing is missed
    unsure: bool = False  # something may have been missed, but no position says so


# ---- effects, to be obeyed in order ----


class Send(Struct, frozen=True, gc=False):
    """Send a message on the stream to this node's host."""

    node: str
    message: ToHost


class Finished(Struct, frozen=True):
    """A call or query has its answer; outcomes as of `call_wire.Reply`, but never 2 (that is `Failed`)."""

    pending: Pending
    reply: Reply | Answer


class Failed(Struct, frozen=True):
    """A call or query ends without an answer."""

    pending: Pending
    error: CallError


class Pushed(Struct, frozen=True):
    """Events of a watch, in order, each once; the first time perhaps none: the watch has begun.

    lost: some before them are gone for good; list again.
    """

    watching: Watching
    items: list[tuple[int, str, bytes]]
    lost: bool


Effect = Send | Finished | Failed | Pushed


class ServiceSession:
    """The machine; one for each service that a client uses.  Any input may bring `wake_ns` forward."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.target = ""
        """The node to which calls go now, or "" while nobody serves."""
        self.term = 0
        """The highest term in which a host was seen to serve."""
        self.wake_ns = FOREVER_NS
        """When `tick` wants to be called, at the latest."""
        self.resent = 0
        """How many messages were sent again because the target had changed."""
        self._target_term = 0
        self._roles: dict[str, HostRole] = {}
        self._session: Session | None = None
        self._ended: dict[int, Session] = {}  # expired ones whose last calls have no answer yet
        self._queries: dict[int, Pending] = {}
        self._watches: dict[int, Watching] = {}
        self._requests = 0

    # ---- inputs from the user ----

    def call(self, pending: Pending, now_ns: int) -> list[Effect]:
        """Begin a call; it is sent now, or held until there is a target and a session."""
        effects: list[Effect] = []
        session = self._session or self._begin(effects)
        if session.last - session.acknowledged >= OUTSTANDING_MAX:
            return [Failed(pending, too_many(self.service, "calls"))]
        session.add(pending)
        if pending.deadline_ns < self.wake_ns:
            self.wake_ns = pending.deadline_ns
        if session.id and self.target:
            effects.append(self._send_call(session, pending, now_ns))
        return effects

    def query(self, pending: Pending, now_ns: int) -> list[Effect]:
        """Begin a query; it is sent now, or held until there is a target."""
        if len(self._queries) >= OUTSTANDING_MAX:
            return [Failed(pending, too_many(self.service, "queries"))]
        self._requests = pending.number = self._requests + 1
        self._queries[pending.number] = pending
        if pending.deadline_ns < self.wake_ns:
            self.wake_ns = pending.deadline_ns
        return [self._send_query(pending, now_ns)] if self.target else []

    def watch(self, watching: Watching) -> list[Effect]:
        """Begin a watch; it goes on over any change of the target until `unwatch`."""
        self._requests = watching.request = self._requests + 1
        self._watches[watching.request] = watching
        return [self._send_watch(watching)] if self.target else []

    def unwatch(self, watching: Watching) -> list[Effect]:
        """End a watch; nothing more of it is pushed."""
        known = self._watches.pop(watching.request, None)
        return [Send(self.target, Unwatch(watching.request))] if known and self.target else []

    def abandon(self, pending: Pending) -> None:
        """The caller wants no answer any more (the call may still be carried out): the next tick ends it."""
        pending.deadline_ns = self.wake_ns = 0

    def close(self, reason: str) -> list[Effect]:
        """End every call, and the session in order: what is tied to it is released now."""
        effects: list[Effect] = []
        for session in self._sessions():
            for pending in session.calls.values():
                effects.append(Failed(pending, closed(self._name(pending), pending, reason, changes=True)))
        for pending in self._queries.values():
            effects.append(Failed(pending, closed(self._name(pending), pending, reason, changes=False)))
        if self._session and self._session.id and self.target:
            effects.append(Send(self.target, KeepAlive(self._session.id, end=True)))
        self._session = None
        self._ended.clear()
        self._queries.clear()
        return effects

    # ---- inputs from the hosts and the clock ----

    def receive(self, node: str, messages: list[ToClient], now_ns: int) -> list[Effect]:
        """Take what the host on `node` has sent, in its order."""
        effects: list[Effect] = []
        for message in messages:
            if isinstance(message, Reply):
                self._replied(message, effects)
            elif isinstance(message, Answer):
                if asked := self._queries.pop(message.request, None):
                    asked.term = message.term
                    effects.append(Finished(asked, message))
            elif isinstance(message, Changed):
                self._changed(node, message, effects)
            elif isinstance(message, SessionOpened):
                self._opened(message, now_ns, effects)
            else:
                self._roles[node] = message
                self._choose(now_ns, effects)
        return effects

    def gone(self, node: str, now_ns: int) -> list[Effect]:
        """The stream to the host on `node` has ended: what it said holds no longer."""
        effects: list[Effect] = []
        if self._roles.pop(node, None) is not None:
            self._choose(now_ns, effects)
        return effects

    def tick(self, now_ns: int) -> list[Effect]:
        """End the calls whose deadline has come, keep the session alive, and set `wake_ns` anew."""
        effects: list[Effect] = []
        self.wake_ns = FOREVER_NS
        for session in self._sessions():
            late, next_ns = overdue(session.calls, now_ns)
            self.wake_ns = min(self.wake_ns, next_ns)
            for pending in late:
                session.end(pending.number)
                effects.append(self._too_late(pending, changes=True))
        late, next_ns = overdue(self._queries, now_ns)
        self.wake_ns = min(self.wake_ns, next_ns)
        for pending in late:
            del self._queries[pending.number]
            effects.append(self._too_late(pending, changes=False))
        self._ended = {id: session for id, session in self._ended.items() if session.calls}
        self._keep_alive(now_ns, effects)
        return effects

    # ---- what the machine tells about itself ----

    def outstanding(self) -> tuple[int, int, int]:
        """Return the numbers of calls, queries and watches that have not ended."""
        return sum(len(session.calls) for session in self._sessions()), len(self._queries), len(self._watches)

    def watches(self) -> list[Watching]:
        """Return the watches that have not ended."""
        return list(self._watches.values())

    def session(self) -> int:
        """Return the session's id, or 0 while there is none."""
        return self._session.id if self._session else 0

    # ---- the rules ----

    def _sessions(self) -> list[Session]:
        return [*self._ended.values(), *([self._session] if self._session else [])]

    def _begin(self, effects: list[Effect]) -> Session:
        self._requests += 1
        session = self._session = Session(request=self._requests)
        if self.target:
            effects.append(Send(self.target, OpenSession(session.request)))
        return session

    def _opened(self, message: SessionOpened, now_ns: int, effects: list[Effect]) -> None:
        session = self._session
        if session is None or session.id or session.request != message.request:
            return  # the answer to a repetition: that session is an orphan and ends by itself
        if not message.session:
            self._session = None
            effects += [Failed(pending, no_room(self.service)) for pending in session.calls.values()]
            return
        session.id, session.touched_ns = message.session, now_ns
        self.wake_ns = min(self.wake_ns, now_ns + KEEP_ALIVE_NS)
        if self.target:
            effects += [self._send_call(session, pending, now_ns) for pending in session.calls.values()]

    def _replied(self, reply: Reply, effects: list[Effect]) -> None:
        session = self._session
        if session is None or session.id != reply.session:
            session = self._ended.get(reply.session)
            if session is None:
                return
        if reply.outcome == EXPIRED:
            self._expired(session, effects)
        pending = session.end(reply.number)
        if pending is None:
            return  # the answer to a repetition, or its caller has given up
        if reply.outcome == EXPIRED:
            effects.append(Failed(pending, expired(self._name(pending), pending)))
        else:
            pending.term = reply.term
            effects.append(Finished(pending, reply))

    def _expired(self, session: Session, effects: list[Effect]) -> None:
        """Note that the host knows the session no more; what was sent in it still awaits its answer."""
        if session is not self._session:
            return
        self._session = None
        for pending in [pending for pending in session.calls.values() if not pending.sends]:
            session.end(pending.number)
            effects.append(Failed(pending, expired(self._name(pending), pending)))
        if session.calls:
            self._ended[session.id] = session

    def _changed(self, node: str, message: Changed, effects: list[Effect]) -> None:
        watching = self._watches.get(message.request)
        if watching is None or node != self.target:
            return  # an older target's words: the new one tells them again, in order
        items, position = [], watching.position
        for item in message.items:
            if item[0] > position:  # positions ascend; a repeated one was told already
                items.append(item)
                position = item[0]
        lost = message.lost or watching.unsure
        if items or lost or not watching.begun:
            effects.append(Pushed(watching, items, lost))
        watching.begun, watching.unsure = True, False
        watching.position = max(position, message.upto)

    def _choose(self, now_ns: int, effects: list[Effect]) -> None:
        """Find the target anew; when it is another one, or serves in another term, send everything there."""
        best = ""
        for node, role in self._roles.items():
            if role.serving and role.term >= self.term:
                best, self.term = node, role.term
        if best == self.target and (not best or self.term == self._target_term):
            return
        self.target, self._target_term = best, self.term
        if best:
            before = len(effects)
            self._send_all(now_ns, effects)
            self.resent += len(effects) - before

    def _send_all(self, now_ns: int, effects: list[Effect]) -> None:
        session = self._session
        if session is not None and not session.id:
            effects.append(Send(self.target, OpenSession(session.request)))
        elif session is not None and not session.calls:
            session.touched_ns = now_ns
            effects.append(Send(self.target, KeepAlive(session.id)))
        for each in self._sessions():
            if each.id:
                effects += [self._send_call(each, pending, now_ns) for pending in each.calls.values()]
        effects += [self._send_query(pending, now_ns) for pending in self._queries.values()]
        for watching in self._watches.values():
            watching.unsure |= watching.begun and not watching.position
            effects.append(self._send_watch(watching))

    def _send_call(self, session: Session, pending: Pending, now_ns: int) -> Send:
        if not pending.sends:
            pending.sent_ns = now_ns
        pending.sends += 1
        session.touched_ns = now_ns
        number, acknowledged = pending.number, session.acknowledged
        return Send(self.target, Call(session.id, number, acknowledged, pending.operation, pending.arguments))

    def _send_query(self, pending: Pending, now_ns: int) -> Send:
        if not pending.sends:
            pending.sent_ns = now_ns
        pending.sends += 1
        return Send(self.target, Query(pending.number, pending.operation, pending.arguments, pending.confirm))

    def _send_watch(self, watching: Watching) -> Send:
        return Send(self.target, Watch(watching.request, watching.topic, watching.position))

    def _keep_alive(self, now_ns: int, effects: list[Effect]) -> None:
        session = self._session
        if session is None or not session.id or not self.target:
            return  # a new target hears of the session at once
        if now_ns - session.touched_ns >= KEEP_ALIVE_NS:
            session.touched_ns = now_ns
            effects.append(Send(self.target, KeepAlive(session.id)))
        self.wake_ns = min(self.wake_ns, session.touched_ns + KEEP_ALIVE_NS)

    def _name(self, pending: Pending) -> str:
        return f"{self.service}.{pending.operation}"

    def _too_late(self, pending: Pending, *, changes: bool) -> Failed:
        roles = sorted(self._roles.items())
        known = ", ".join(f"{node} does not serve in term {role.term}" for node, role in roles)
        error = too_late(self._name(pending), pending, changes=changes, target=self.target, known=known)
        return Failed(pending, error)
