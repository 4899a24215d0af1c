"""Numbers, acknowledgement, deadlines and the words of failures."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.errors import Busy, Deadline, NoPrimary, OperationFailed, Refused, SessionExpired
from primacy.machines import client_calls as calls
from primacy.machines.call_wire import BUSY, INVALID, RAISED, Answer, Reply
from primacy.machines.ids import FOREVER_NS


def pending(deadline_ns: int = 10, sends: int = 0) -> calls.Pending:
    return calls.Pending("token", "add", b"", 0, deadline_ns, sends=sends)


@given(st.permutations(range(1, 9)))
def test_acknowledged_is_the_longest_prefix_of_ended_numbers(order: list[int]) -> None:
    session = calls.Session(request=1)
    for _ in order:
        session.add(pending())
    for ended, number in enumerate(order, 1):
        session.end(number)
        alive = set(order[ended:])
        assert session.acknowledged == min(alive, default=9) - 1
        assert set(session.calls) == alive


def test_a_number_ends_once() -> None:
    session = calls.Session(request=1)
    session.add(first := pending())
    assert session.end(1) is first
    assert session.end(1) is None
    assert session.acknowledged == 1


def test_overdue_returns_the_late_ones_and_the_next_deadline() -> None:
    waiting = {1: pending(5), 2: pending(9), 3: pending(12)}
    assert calls.overdue(waiting, 9) == ([waiting[1], waiting[2]], 12)
    assert calls.overdue({}, 9) == ([], FOREVER_NS)


@pytest.mark.parametrize(
    ("sends", "changes", "target", "kind", "maybe_applied"),
    [
        (1, True, "n1", Deadline, True),
        (2, True, "", Deadline, True),
        (1, False, "n1", Deadline, False),
        (0, True, "n1", Deadline, False),
        (0, True, "", NoPrimary, None),
        (0, False, "", NoPrimary, None),
    ],
)
def test_what_a_deadline_means(
    sends: int, changes: bool, target: str, kind: type, maybe_applied: bool | None
) -> None:
    error = calls.too_late("s.add", pending(sends=sends), changes=changes, target=target, known="")
    assert type(error) is kind
    assert str(error).startswith("s.add: ")
    assert getattr(error, "maybe_applied", None) is maybe_applied


def test_an_expired_session_is_certain_only_for_what_was_sent_once() -> None:
    assert isinstance(calls.expired("s.add", pending(sends=1)), SessionExpired)
    repeated = calls.expired("s.add", pending(sends=2))
    assert isinstance(repeated, Deadline)
    assert repeated.maybe_applied


def test_the_limits_name_the_service() -> None:
    assert isinstance(calls.too_many("stock", "calls"), Busy)
    assert "stock" in str(calls.too_many("stock", "calls"))
    assert "stock" in str(calls.no_room("stock"))


def test_arguments_that_are_too_large_are_refused_with_their_size() -> None:
    [reason] = calls.too_large("s.add", 300_000).reasons
    assert reason.startswith("s.add: 300000 bytes of arguments")
    assert str(calls.ARGUMENTS_BYTES_MAX) in reason


@pytest.mark.parametrize(
    ("outcome", "said", "kind", "told"),
    [
        (RAISED, ["ValueError", "too few"], OperationFailed, "too few"),
        (BUSY, None, Busy, "s.add: a limit of the service is reached; nothing was done"),
        (BUSY, "10000 sessions", Busy, "s.add: 10000 sessions; nothing was done"),
        (INVALID, "no operation add", Refused, "s.add: no operation add"),
    ],
)
def test_what_a_reply_that_is_no_result_means(outcome: int, said: object, kind: type, told: str) -> None:
    payload = msgspec.msgpack.encode(said) if said is not None else b""
    for reply in (Reply(1, 1, outcome, 1, payload), Answer(1, outcome, 1, payload)):
        error = calls.failure_of("s.add", reply)
        assert type(error) is kind
        assert told in str(error)
