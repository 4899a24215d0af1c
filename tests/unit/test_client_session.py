"""Routing, sessions, repetition and deadlines of a client, against hand-fed hosts and against a random
cluster."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from primacy.errors import Busy, Deadline, NoPrimary, SessionExpired
from primacy.machines.call_wire import (
    BUSY,
    DONE,
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
    Unwatch,
    Watch,
)
from primacy.machines.client_calls import OUTSTANDING_MAX, Pending
from primacy.machines.client_session import (
    KEEP_ALIVE_NS,
    Effect,
    Failed,
    Finished,
    Pushed,
    Send,
    ServiceSession,
    Watching,
)
from primacy.machines.ids import FOREVER_NS, SECOND


def role(node: str, term: int, serving: bool = True) -> HostRole:
    return HostRole("s", node, term, serving, node if serving else "")


def pending(token: Any = "t", deadline_ns: int = 30 * SECOND) -> Pending:
    return Pending(token, "add", b"args", 0, deadline_ns)


def sent(effects: list[Effect]) -> list[tuple[str, object]]:
    assert all(isinstance(effect, Send) for effect in effects), effects
    return [(effect.node, effect.message) for effect in effects if isinstance(effect, Send)]


def opened(machine: ServiceSession, node: str = "n1", term: int = 1) -> Pending:
    """Bring the machine to a session 70 at `node` with call 1 outstanding."""
    machine.receive(node, [role(node, term)], 0)
    machine.call(first := pending("first"), 0)
    machine.receive(node, [SessionOpened(1, 70, term)], 0)
    return first


# ---- sessions ----


def test_one_session_is_opened_and_calls_wait_for_it() -> None:
    machine = ServiceSession("s")
    assert sent(machine.receive("n1", [role("n1", 1)], 0)) == []
    assert sent(machine.call(pending(), 0)) == [("n1", OpenSession(1))]
    assert sent(machine.call(pending(), 0)) == []
    assert sent(machine.receive("n1", [SessionOpened(1, 70, 1)], 5)) == [
        ("n1", Call(70, 1, 0, "add", b"args")),
        ("n1", Call(70, 2, 0, "add", b"args")),
    ]
    assert sent(machine.call(pending(), 0)) == [("n1", Call(70, 3, 0, "add", b"args"))]
    assert machine.session() == 70


def test_the_open_session_is_repeated_to_another_target_and_the_second_answer_is_ignored() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    machine.call(pending(), 0)
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", OpenSession(1))]
    assert len(machine.receive("n1", [SessionOpened(1, 70, 1)], 0)) == 1
    assert machine.receive("n2", [SessionOpened(1, 71, 2)], 0) == []
    assert machine.session() == 70


def test_a_late_answer_to_an_earlier_request_opens_nothing() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    machine.call(pending(), 0)
    machine.receive("n2", [role("n2", 2), SessionOpened(1, 70, 2), Reply(70, 1, EXPIRED, 2, b"")], 0)
    machine.call(pending(), 0)
    assert machine.receive("n1", [SessionOpened(1, 69, 1)], 0) == []
    assert machine.session() == 0


def test_no_room_for_a_session_is_busy_and_the_next_call_asks_again() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    machine.call(first := pending(), 0)
    (failed,) = machine.receive("n1", [SessionOpened(1, 0, 1)], 0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, Busy)
    assert failed.pending is first
    assert sent(machine.call(pending(), 0)) == [("n1", OpenSession(2))]


def test_expired_ends_the_session_for_its_calls_and_the_next_call_opens_another() -> None:
    machine = ServiceSession("s")
    first = opened(machine)
    machine.call(second := pending("second"), 0)
    (failed,) = machine.receive("n1", [Reply(70, 1, EXPIRED, 1, b"")], 0)
    assert isinstance(failed, Failed)
    assert failed.pending is first
    assert isinstance(failed.error, SessionExpired)
    assert sent(machine.call(pending("third"), 0)) == [("n1", OpenSession(2))]
    (late,) = machine.receive("n1", [Reply(70, 2, DONE, 1, b"2")], 0)
    assert late == Finished(second, Reply(70, 2, DONE, 1, b"2")), "what was executed before is still answered"
    assert machine.receive("n1", [Reply(70, 2, DONE, 1, b"2")], 0) == []


def test_a_repeated_call_of_an_expired_session_may_have_been_applied() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.receive("n2", [role("n2", 2)], 0)
    (failed,) = machine.receive("n2", [Reply(70, 1, EXPIRED, 2, b"")], 0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, Deadline)
    assert failed.error.maybe_applied


def test_a_keep_alive_answered_with_expired_ends_the_session() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.receive("n1", [Reply(70, 1, DONE, 1, b"")], 0)
    assert machine.receive("n1", [Reply(70, 0, EXPIRED, 1, b"")], 0) == []
    assert machine.session() == 0


def test_unsent_calls_of_an_expired_session_expire_with_it() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.receive("n1", [role("n1", 1, serving=False)], 0)
    machine.call(held := pending("held"), 0)
    failed = machine.receive("n1", [Reply(70, 1, EXPIRED, 1, b"")], 0)
    assert [effect.pending.token for effect in failed if isinstance(effect, Failed)] == ["held", "first"]
    assert held.sends == 0


def test_keep_alives_are_sent_only_when_otherwise_silent() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.receive("n1", [Reply(70, 1, DONE, 1, b"")], 0)
    machine.call(pending(), SECOND)
    assert machine.tick(KEEP_ALIVE_NS) == []
    assert machine.wake_ns == SECOND + KEEP_ALIVE_NS
    assert sent(machine.tick(SECOND + KEEP_ALIVE_NS)) == [("n1", KeepAlive(70))]
    assert machine.wake_ns == SECOND + 2 * KEEP_ALIVE_NS


def test_without_a_target_nothing_is_kept_alive_and_a_new_target_hears_of_the_session_at_once() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.receive("n1", [Reply(70, 1, DONE, 1, b""), role("n1", 1, serving=False)], 0)
    assert machine.tick(KEEP_ALIVE_NS) == []
    assert machine.wake_ns == FOREVER_NS
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", KeepAlive(70))]


def test_close_ends_the_session_in_order() -> None:
    machine = ServiceSession("s")
    assert machine.close("closed") == []
    opened(machine)
    machine.receive("n1", [Reply(70, 1, DONE, 1, b"")], 0)
    assert sent(machine.close("closed")) == [("n1", KeepAlive(70, end=True))]
    assert machine.close("closed") == []


def test_close_fails_what_is_outstanding_and_tells_what_may_have_been_applied() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.query(Pending("q", "stock", b"", 0, SECOND), 0)
    call, query, end = machine.close("the client was closed")
    assert isinstance(call, Failed)
    assert isinstance(query, Failed)
    assert isinstance(call.error, Deadline)
    assert isinstance(query.error, Deadline)
    assert (call.error.maybe_applied, query.error.maybe_applied) == (True, False)
    assert end == Send("n1", KeepAlive(70, end=True))
    assert machine.outstanding() == (0, 0, 0)


# ---- targets ----


def test_calls_follow_the_highest_term_at_once_under_their_number() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.call(pending(), 0)
    machine.receive("n1", [Reply(70, 1, DONE, 1, b"")], 0)
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", Call(70, 2, 1, "add", b"args"))]
    assert machine.target == "n2"
    assert machine.resent == 1


def test_an_older_term_is_never_a_target_again() -> None:
    machine = ServiceSession("s")
    opened(machine, "n2", 5)
    machine.gone("n2", 0)
    assert machine.receive("n1", [role("n1", 4)], 0) == []
    assert machine.target == ""
    assert sent(machine.receive("n1", [role("n1", 6)], 0)) == [("n1", Call(70, 1, 0, "add", b"args"))]


def test_a_host_that_no_longer_serves_holds_the_calls() -> None:
    machine = ServiceSession("s")
    opened(machine)
    machine.receive("n1", [role("n1", 1, serving=False)], 0)
    assert machine.call(pending(), 0) == []
    assert len(sent(machine.receive("n1", [role("n1", 1)], 0))) == 2


def test_the_same_host_in_another_term_or_on_another_stream_gets_everything_again() -> None:
    machine = ServiceSession("s")
    opened(machine)
    again = [("n1", Call(70, 1, 0, "add", b"args"))]
    assert sent(machine.receive("n1", [role("n1", 1)], 0)) == []
    assert sent(machine.receive("n1", [role("n1", 3)], 0)) == again
    assert machine.gone("n1", 0) == []
    assert sent(machine.receive("n1", [role("n1", 3)], 0)) == again


def test_a_late_reply_of_the_old_target_counts_and_the_second_does_not() -> None:
    machine = ServiceSession("s")
    first = opened(machine)
    machine.receive("n2", [role("n2", 2)], 0)
    assert machine.receive("n1", [Reply(70, 1, DONE, 1, b"x")], 0) == [
        Finished(first, Reply(70, 1, DONE, 1, b"x"))
    ]
    assert machine.receive("n2", [Reply(70, 1, DONE, 2, b"x")], 0) == []


def test_replies_of_unknown_sessions_are_dropped() -> None:
    machine = ServiceSession("s")
    assert machine.receive("n1", [Reply(9, 1, DONE, 1, b"")], 0) == []


def test_queries_are_asked_again_and_answered_once() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    asked = Pending("q", "stock", b"", 0, SECOND, confirm=True)
    assert sent(machine.query(asked, 0)) == [("n1", Query(1, "stock", b"", True))]
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", Query(1, "stock", b"", True))]
    assert machine.receive("n2", [Answer(1, DONE, 2, b"")], 0) == [Finished(asked, Answer(1, DONE, 2, b""))]
    assert machine.receive("n1", [Answer(1, DONE, 1, b"")], 0) == []


def test_busy_of_the_host_is_an_answer() -> None:
    machine = ServiceSession("s")
    first = opened(machine)
    assert machine.receive("n1", [Reply(70, 1, BUSY, 1, b"")], 0) == [
        Finished(first, Reply(70, 1, BUSY, 1, b""))
    ]


# ---- limits and deadlines ----


def test_one_too_many_is_busy() -> None:
    machine = ServiceSession("s")
    for _ in range(OUTSTANDING_MAX):
        assert machine.call(pending(), 0) == []
        assert machine.query(pending(), 0) == []
    for begin in (machine.call, machine.query):
        (failed,) = begin(pending("extra"), 0)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, Busy)
    assert machine.outstanding() == (OUTSTANDING_MAX, OUTSTANDING_MAX, 0)


def test_deadlines_end_calls_and_queries_and_tell_whether_they_were_sent() -> None:
    machine = ServiceSession("s")
    machine.call(pending("held", 5), 0)
    machine.query(pending("asked", 7), 0)
    assert machine.wake_ns == 5
    (failed,) = machine.tick(5)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NoPrimary)
    assert machine.wake_ns == 7
    (failed,) = machine.tick(7)
    assert isinstance(failed, Failed)
    assert failed.pending.token == "asked"
    assert machine.outstanding() == (0, 0, 0)
    opened_machine = ServiceSession("s")
    opened(opened_machine)
    (failed,) = opened_machine.tick(30 * SECOND)[:1]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, Deadline)
    assert failed.error.maybe_applied


def test_a_call_that_was_given_up_is_never_sent_again_and_counts_as_acknowledged() -> None:
    machine = ServiceSession("s")
    first = opened(machine)
    machine.call(second := pending("second"), 0)
    machine.abandon(first)
    assert machine.wake_ns == 0
    assert [effect.pending for effect in machine.tick(1) if isinstance(effect, Failed)] == [first]
    assert sent(machine.receive("n2", [role("n2", 2)], 1)) == [("n2", Call(70, 2, 1, "add", b"args"))]
    assert machine.receive("n1", [Reply(70, 1, DONE, 1, b"")], 1) == []
    assert second.sends == 2


# ---- watches ----


def test_a_watch_goes_on_after_its_last_position_and_hears_the_target_only() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    watching = Watching("w", "a/", 4)
    assert sent(machine.watch(watching)) == [("n1", Watch(1, "a/", 4))]
    assert machine.watches() == [watching]
    items = [(5, "a/b", b"x"), (6, "a/c", b"y")]
    assert machine.receive("n1", [Changed(1, items, 6)], 0) == [Pushed(watching, items, lost=False)]
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", Watch(1, "a/", 6))]
    assert machine.receive("n1", [Changed(1, [(7, "a/b", b"z")], 7)], 0) == []
    new = (7, "a/b", b"z")
    again = Changed(1, [*items, new, new], 7)
    assert machine.receive("n2", [again], 0) == [Pushed(watching, [new], lost=False)]
    assert sent(machine.unwatch(watching)) == [("n2", Unwatch(1))]
    assert machine.receive("n2", [Changed(1, [(8, "a/b", b"")], 8)], 0) == []
    assert machine.unwatch(watching) == []
    assert machine.watches() == []


def test_a_watch_has_begun_with_the_first_answer() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    watching = Watching("w", "", 0)
    machine.watch(watching)
    assert machine.receive("n1", [Changed(1, [], 8)], 0) == [Pushed(watching, [], lost=False)]
    assert machine.receive("n1", [Changed(1, [], 9)], 0) == []
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", Watch(1, "", 9))]


def test_a_watch_says_that_events_are_lost() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    watching = Watching("w", "", 4)
    machine.watch(watching)
    assert machine.receive("n1", [Changed(1, [], 90, lost=True)], 0) == [Pushed(watching, [], lost=True)]
    assert watching.position == 90


def test_a_watch_that_began_without_a_position_may_have_lost_events_at_a_change_of_target() -> None:
    machine = ServiceSession("s")
    machine.receive("n1", [role("n1", 1)], 0)
    watching = Watching("w", "", 0)
    machine.watch(watching)
    assert sent(machine.receive("n2", [role("n2", 2)], 0)) == [("n2", Watch(1, "", 0))]
    assert machine.receive("n2", [Changed(1, [], 0)], 0) == [Pushed(watching, [], lost=False)]
    assert sent(machine.receive("n1", [role("n1", 3)], 0)) == [("n1", Watch(1, "", 0))]
    items = [(1, "a", b"")]
    assert machine.receive("n1", [Changed(1, items, 1)], 0) == [Pushed(watching, items, lost=True)]


# ---- a random cluster: two hosts that share their state, streams that break, terms that change ----


class Cluster:
    """Hosts with one replicated session table; each stream is in order; only the newest term executes."""

    def __init__(self, machine: ServiceSession) -> None:
        self.machine = machine
        self.term = 0
        self.primary = ""
        self.sessions: dict[int, dict[int, bytes]] = {}
        self.executed: list[bytes] = []
        self.to_host: dict[str, list[object]] = {"n1": [], "n2": []}
        self.to_client: dict[str, list[ToClient]] = {"n1": [], "n2": []}
        self.ended: dict[object, object] = {}

    def obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.to_host[effect.node].append(effect.message)
            elif isinstance(effect, Finished):
                assert effect.pending.token not in self.ended
                self.ended[effect.pending.token] = effect.reply.payload
            elif isinstance(effect, Failed):
                assert effect.pending.token not in self.ended
                self.ended[effect.pending.token] = effect.error

    def elect(self, node: str) -> None:
        self.term += 1
        if self.primary:
            self.to_client[self.primary].append(role(self.primary, self.term - 1, serving=False))
        self.primary = node
        self.to_client[node].append(role(node, self.term))

    def cut(self, node: str) -> None:
        self.to_host[node].clear()
        self.to_client[node].clear()
        self.obey(self.machine.gone(node, 0))
        self.to_client[node].append(role(node, self.term, serving=node == self.primary))

    def serve(self, node: str) -> None:
        """Take one message of the stream; a host that is not primary drops it."""
        if not self.to_host[node]:
            return
        message = self.to_host[node].pop(0)
        if node != self.primary:
            return
        if isinstance(message, OpenSession):
            session = 100 + len(self.sessions)
            self.sessions[session] = {}
            self.to_client[node].append(SessionOpened(message.request, session, self.term))
        elif isinstance(message, Call):
            replies = self.sessions[message.session]
            if message.number not in replies:
                self.executed.append(message.arguments)
                replies[message.number] = b"did " + message.arguments
            reply = Reply(message.session, message.number, DONE, self.term, replies[message.number])
            self.to_client[node].append(reply)

    def deliver(self, node: str) -> None:
        if self.to_client[node]:
            self.obey(self.machine.receive(node, [self.to_client[node].pop(0)], 0))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_every_call_is_executed_once_and_answered_once_whatever_breaks(seed: int) -> None:
    dice = random.Random(seed)
    machine = ServiceSession("s")
    cluster = Cluster(machine)
    made = 0
    for _ in range(dice.randrange(10, 150)):
        node = dice.choice(["n1", "n2"])
        match dice.randrange(12):
            case 0:
                cluster.elect(node)
            case 1:
                cluster.cut(node)
            case 2 | 3 | 4:
                made += 1
                begun = Pending(made, "add", str(made).encode(), 0, FOREVER_NS)
                cluster.obey(machine.call(begun, 0))
            case 5 | 6 | 7 | 8:
                cluster.serve(node)
            case _:
                cluster.deliver(node)
    cluster.elect("n1")  # heal: one primary, and everything arrives
    for _ in range(4 * made + 100):
        for node in ("n1", "n2"):
            cluster.serve(node)
            cluster.deliver(node)
    assert cluster.ended == {number: b"did " + str(number).encode() for number in range(1, made + 1)}
    assert sorted(map(int, cluster.executed)) == list(range(1, made + 1))
    assert machine.outstanding() == (0, 0, 0)
