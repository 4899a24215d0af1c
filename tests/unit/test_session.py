"""Sessions: each number executes once, replies are kept until they were received, silence ends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.session import (
    LIMIT_OUTSTANDING,
    LIMIT_SESSIONS,
    SILENCE_NS,
    SWEEP_NS,
    Sessions,
    Verdict,
)  # fmt: skip


def opened(uptime_ns: int = 0) -> Sessions:
    sessions = Sessions()
    assert sessions.open(1, uptime_ns)
    return sessions


def executed(sessions: Sessions, number: int, acknowledged: int = 0, uptime_ns: int = 0) -> None:
    assert sessions.begin(1, number, acknowledged, uptime_ns) is Verdict.EXECUTE
    sessions.store(1, number, 0, b"%d" % number)


def test_a_repeat_gets_the_old_reply() -> None:
    sessions = opened()
    executed(sessions, 1)
    assert sessions.check(1, 1, 0) is Verdict.CACHED
    assert sessions.begin(1, 1, 0, 0) is Verdict.CACHED
    assert sessions.reply(1, 1) == (0, b"1")


def test_a_duplicate_in_the_log_executes_nothing() -> None:
    sessions = opened()
    executed(sessions, 2)
    executed(sessions, 1)
    assert sessions.begin(1, 2, 0, 0) is Verdict.CACHED


def test_received_replies_are_forgotten_and_never_executed_again() -> None:
    sessions = opened()
    for number in (1, 2, 3):
        executed(sessions, number)
    executed(sessions, 4, acknowledged=2)
    assert sorted(sessions.sessions[1].replies) == [3, 4]
    assert sessions.check(1, 2, 0) is Verdict.STALE
    assert sessions.begin(1, 1, 0, 0) is Verdict.STALE


def test_an_older_acknowledgement_takes_nothing_back() -> None:
    sessions = opened()
    executed(sessions, 1)
    executed(sessions, 2, acknowledged=1)
    assert sessions.begin(1, 1, 0, 0) is Verdict.STALE


def test_a_huge_acknowledgement_costs_no_time() -> None:
    sessions = opened()
    executed(sessions, 1)
    assert sessions.begin(1, 5, 1 << 60, 0) is Verdict.STALE
    assert sessions.sessions[1].replies == {}


def test_outstanding_calls_are_limited() -> None:
    sessions = opened()
    assert sessions.check(1, LIMIT_OUTSTANDING, 0) is Verdict.EXECUTE
    assert sessions.check(1, LIMIT_OUTSTANDING + 1, 0) is Verdict.FULL
    assert sessions.check(1, LIMIT_OUTSTANDING + 1, 1) is Verdict.EXECUTE
    assert sessions.begin(1, LIMIT_OUTSTANDING + 1, 0, 0) is Verdict.FULL


def test_an_unknown_session_is_expired() -> None:
    assert Sessions().check(9, 1, 0) is Verdict.EXPIRED
    assert Sessions().begin(9, 1, 0, 0) is Verdict.EXPIRED


def test_silence_ends_a_session_when_the_entry_is_applied() -> None:
    sessions = opened()
    executed(sessions, 1, uptime_ns=5)
    assert sessions.begin(1, 2, 0, 4 + SILENCE_NS) is Verdict.EXECUTE
    late = 4 + 2 * SILENCE_NS
    assert sessions.check(1, 3, 0) is Verdict.EXECUTE, "the log has the last word"
    assert sessions.begin(1, 3, 0, late) is Verdict.EXPIRED
    assert sessions.begin(1, 4, 0, late) is Verdict.EXPIRED
    assert len(sessions) == 0


def test_logged_signs_of_life_keep_it() -> None:
    sessions = opened()
    assert not sessions.needs_touch(1, SILENCE_NS // 10 - 1)
    assert sessions.needs_touch(1, SILENCE_NS // 10)
    assert not sessions.needs_touch(2, SILENCE_NS)
    sessions.touch([1, 77], SILENCE_NS - 1)
    assert sessions.begin(1, 1, 0, 2 * SILENCE_NS - 2) is Verdict.EXECUTE
    sessions.touch([], 4 * SILENCE_NS)
    assert 1 not in sessions


def test_a_session_that_has_ended_is_not_revived_by_a_sign_of_life() -> None:
    sessions = opened()
    sessions.touch([1], SILENCE_NS)
    assert 1 not in sessions


def test_others_calls_sweep() -> None:
    sessions = opened()
    sessions.open(2, SILENCE_NS)
    assert sessions.begin(2, 1, 0, SILENCE_NS + SWEEP_NS) is Verdict.EXECUTE
    assert 1 not in sessions


def test_an_ended_session_is_gone() -> None:
    sessions = opened()
    sessions.end(1)
    sessions.end(1)
    assert sessions.check(1, 1, 0) is Verdict.EXPIRED


def test_sessions_are_limited_and_the_silent_make_room() -> None:
    sessions = Sessions()
    for id in range(1, LIMIT_SESSIONS + 1):
        assert sessions.open(id, 0)
    assert not sessions.open(LIMIT_SESSIONS + 1, 1)
    assert sessions.open(LIMIT_SESSIONS + 2, SILENCE_NS)
    assert len(sessions) == 1


@pytest.mark.parametrize("codec", [msgspec.msgpack, msgspec.json])
def test_it_encodes_as_it_is(codec: object) -> None:
    sessions = opened(7)
    executed(sessions, 1)
    encoded = codec.encode(sessions)  # type: ignore[attr-defined]
    assert codec.decode(encoded, type=Sessions) == sessions  # type: ignore[attr-defined]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=40))
def test_no_number_executes_twice_whatever_is_logged(calls: list[tuple[int, int]]) -> None:
    sessions, done = opened(), set[int]()
    for number, acknowledged in calls:
        proposed = sessions.check(1, number, acknowledged)
        verdict = sessions.begin(1, number, acknowledged, 0)
        assert verdict is proposed
        if verdict is Verdict.EXECUTE:
            assert number not in done
            done.add(number)
            sessions.store(1, number, 0, b"")
    assert all(number > sessions.sessions[1].acknowledged for number in sessions.sessions[1].replies)


def test_a_session_that_was_silent_too_long_ends_with_its_next_call_though_nobody_has_swept_yet() -> None:
    sessions = opened(uptime_ns=SWEEP_NS // 2)
    other = SILENCE_NS  # it is swept for another session, when this one still had some time
    assert sessions.open(2, other)
    assert sessions.begin(2, 1, 0, other) is Verdict.EXECUTE
    assert 1 in sessions
    assert sessions.begin(1, 1, 0, SILENCE_NS + SWEEP_NS // 2) is Verdict.EXPIRED
    assert 1 not in sessions
    assert 2 in sessions
