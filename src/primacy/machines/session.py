"""Client sessions: the part of the replicated state that makes a repeated call harmless.

A session numbers its calls 1, 2, ...; the replies that the client has not yet said it received are kept with
the state itself, so a repeat after a failover finds the old reply, on whichever server it arrives. A call
executes at most once per (session, number), even if its entry is in the log twice: `begin` decides when the
entry is applied, in the same way on every replica. `check` is the primary's question before it logs anything;
it changes nothing.

A session ends when no sign of life was logged for ten minutes of the service's *uptime*: a clock that every
entry carries, that only a primary advances, and that stands still while there is none (so neither an outage
nor a clock set wrong on one machine can end a session). A call in an ended session is `EXPIRED`, never
executed. Limits: 10,000 sessions; 1,024 calls of a session that are executed and not yet acknowledged by the
client.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

LIMIT_SESSIONS = 10_000
LIMIT_OUTSTANDING = 1_024
SILENCE_NS = 600 * 1_000_000_000
SWEEP_NS = 10 * 1_000_000_000

Reply = tuple[int, bytes]
"""(outcome, payload) as of `call_wire.Reply`."""


class Verdict(Enum):
    """What is to be done with a call."""

    EXECUTE = "execute"  # new: log it; when applied: execute it and store its reply
    CACHED = "cached"  # executed before: the old reply answers
    EXPIRED = "expired"  # its session has ended: never executed
    FULL = "full"  # too many outstanding calls: refused, nothing was done
    STALE = "stale"  # the client has said that it has the reply: a late duplicate, to be dropped


class Session(Struct, array_like=True):
    """One client's session. heard_ns: uptime of its last logged sign of life; replies: by call number."""

    heard_ns: int
    acknowledged: int = 0
    replies: dict[int, Reply] = {}


class Sessions(Struct, array_like=True):
    """All sessions of a service, by id (unique for ever: see `Replica.next_session`). Encodes as it is."""

    sessions: dict[int, Session] = {}
    swept_ns: int = 0

    def __len__(self) -> int:
        return len(self.sessions)

    def __contains__(self, id: int) -> bool:
        return id in self.sessions

    # ---- before logging: pure questions ----

    def check(self, id: int, number: int, acknowledged: int) -> Verdict:
        """Say what a call would come to. EXECUTE is a proposal: its entry's `begin` has the last word.

        CACHED and EXPIRED are answers from the present state: they leave like a read of it.
        """
        session = self.sessions.get(id)
        if session is None:
            return Verdict.EXPIRED
        return _judge(session, number, acknowledged)

    def reply(self, id: int, number: int) -> Reply:
        """Return the kept reply of a call that `check` or `begin` called CACHED."""
        return self.sessions[id].replies[number]

    def needs_touch(self, id: int, uptime_ns: int) -> bool:
        """Say whether a sign of life of this session should be logged (a tenth of the silence has passed)."""
        session = self.sessions.get(id)
        return session is not None and uptime_ns - session.heard_ns >= SILENCE_NS // 10

    # ---- when an entry is applied: the same on every replica ----

    def open(self, id: int, uptime_ns: int) -> bool:
        """Begin session `id`; False when there are too many."""
        if len(self.sessions) >= LIMIT_SESSIONS:
            self._sweep(uptime_ns)
            if len(self.sessions) >= LIMIT_SESSIONS:
                return False
        self.sessions[id] = Session(uptime_ns)
        return True

    def begin(self, id: int, number: int, acknowledged: int, uptime_ns: int) -> Verdict:
        """Decide on a logged call, note the sign of life and forget the replies that the client has."""
        if uptime_ns - self.swept_ns >= SWEEP_NS:
            self._sweep(uptime_ns)
        session = self.sessions.get(id)
        if session is None:
            return Verdict.EXPIRED
        if uptime_ns - session.heard_ns >= SILENCE_NS:
            del self.sessions[id]
            return Verdict.EXPIRED
        session.heard_ns = uptime_ns
        if acknowledged > session.acknowledged:
            _forget(session, acknowledged)
        return _judge(session, number, acknowledged)

    def store(self, id: int, number: int, outcome: int, payload: bytes) -> None:
        """Keep the reply of a call that was executed."""
        self.sessions[id].replies[number] = (outcome, payload)

    def touch(self, ids: list[int], uptime_ns: int) -> None:
        """Note a logged sign of life of sessions that made no call."""
        for id in ids:
            session = self.sessions.get(id)
            if session is not None and uptime_ns - session.heard_ns < SILENCE_NS:
                session.heard_ns = uptime_ns
        self._sweep(uptime_ns)

    def end(self, id: int) -> None:
        """End a session in order."""
        self.sessions.pop(id, None)

    def _sweep(self, uptime_ns: int) -> None:
        self.swept_ns = uptime_ns
        silent = [id for id, session in self.sessions.items() if uptime_ns - session.heard_ns >= SILENCE_NS]
        for id in silent:
            del self.sessions[id]


def _judge(session: Session, number: int, acknowledged: int) -> Verdict:
    received = max(acknowledged, session.acknowledged)
    if number <= received:
        return Verdict.STALE
    if number in session.replies:
        return Verdict.CACHED
    return Verdict.EXECUTE if number - received <= LIMIT_OUTSTANDING else Verdict.FULL


def _forget(session: Session, acknowledged: int) -> None:
    """Drop the replies up to `acknowledged`; a client that claims far more than it was told costs no time."""
    replies = session.replies
    if acknowledged - session.acknowledged <= len(replies):
        for number in range(session.acknowledged + 1, acknowledged + 1):
            replies.pop(number, None)
    else:
        for number in [number for number in replies if number <= acknowledged]:
            del replies[number]
    session.acknowledged = acknowledged
