"""The checker itself: histories that are known to be linearizable, and histories that are known not to be."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primacy.sim.linearizability import Finding, Log, Record, Register, Verdict, check


def record(
    client: str,
    operation: str,
    argument: Any,
    invoked: int,
    completed: int | None,
    result: Any = None,
    key: str = "k",
) -> Record:
    return Record(client, key, operation, argument, invoked, completed, result)


GOOD = {
    "empty": [],
    "one after the other": [record("a", "write", 1, 0, 1), record("b", "read", None, 2, 3, 1)],
    "a read that overlaps a write may see the old value": [
        record("a", "write", 1, 0, 10),
        record("b", "read", None, 1, 2, None),
    ],
    "a read that overlaps a write may see the new value": [
        record("a", "write", 1, 0, 10),
        record("b", "read", None, 1, 2, 1),
    ],
    "an unknown write may have happened": [
        record("a", "write", 1, 0, None),
        record("b", "read", None, 5, 6, 1),
    ],
    "an unknown write may never happen": [
        record("a", "write", 1, 0, None),
        record("b", "read", None, 5, 6, None),
    ],
    "an unknown write may happen late": [
        record("a", "write", 1, 0, None),
        record("b", "read", None, 5, 6, None),
        record("b", "read", None, 7, 8, 1),
    ],
    "touching ends overlap": [record("a", "write", 1, 0, 5), record("b", "read", None, 5, 6, None)],
    "concurrent writes in the order that the reads show": [
        record("a", "write", 1, 0, 10),
        record("b", "write", 2, 0, 10),
        record("c", "read", None, 11, 12, 1),
        record("c", "read", None, 13, 14, 1),
    ],
    "a swap that fails": [record("a", "write", 1, 0, 1), record("b", "swap", (2, 3), 2, 3, False)],
    "keys are independent": [
        record("a", "write", 1, 0, 1, key="x"),
        record("b", "read", None, 2, 3, None, key="y"),
    ],
}

BAD = {
    "a stale read": [
        record("a", "write", 1, 0, 1),
        record("a", "write", 2, 2, 3),
        record("b", "read", None, 4, 5, 1),
    ],
    "a lost write": [record("a", "write", 1, 0, 1), record("b", "read", None, 2, 3, None)],
    "a value out of nowhere": [record("a", "read", None, 0, 1, 7)],
    "reads that go back": [
        record("a", "write", 1, 0, 100),
        record("b", "read", None, 1, 2, 1),
        record("c", "read", None, 3, 4, None),
    ],
    "two readers see two orders": [
        record("a", "write", 1, 0, 10),
        record("b", "write", 2, 0, 10),
        record("c", "read", None, 11, 12, 1),
        record("d", "read", None, 13, 14, 2),
    ],
    "an unknown write undone": [
        record("a", "write", 1, 0, None),
        record("b", "read", None, 5, 6, 1),
        record("b", "read", None, 7, 8, None),
    ],
    "both of two swaps from one value": [
        record("a", "swap", (None, 1), 0, 10, True),
        record("b", "swap", (None, 2), 0, 10, True),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name: str) -> None:
    assert check(GOOD[name], Register()).verdict is Verdict.LINEARIZABLE


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str) -> None:
    finding = check(BAD[name], Register())
    assert finding.verdict is Verdict.VIOLATED
    assert finding.stuck
    assert finding.sentence().startswith("key k: ")


def test_a_log_tells_a_repeated_append_by_its_length() -> None:
    twice = [record("a", "append", "x", 0, 1, (1, "x")), record("b", "read", None, 2, 3, (2, "x"))]
    assert check(twice, Log()).verdict is Verdict.VIOLATED
    once = [record("a", "append", "x", 0, 1, (1, "x")), record("b", "read", None, 2, 3, (1, "x"))]
    assert check(once, Log()).verdict is Verdict.LINEARIZABLE


def test_names_the_key_and_the_operation_that_does_not_fit() -> None:
    finding = check([*GOOD["one after the other"], record("c", "read", None, 4, 5, 9, key="z")], Register())
    assert finding.key == "z"
    assert [r.client for r in finding.stuck] == ["c"]


def test_says_so_when_the_search_is_too_long() -> None:
    history = [record(f"c{i}", "write", i, 0, 100) for i in range(12)]
    history.append(record("r", "read", None, 101, 102, "never written"))
    finding = check(history, Register(), steps_max=1000)
    assert finding.verdict is Verdict.UNDECIDED
    assert "nothing is known" in finding.sentence()


def test_many_reads_at_one_time_do_not_make_the_search_long() -> None:
    reads = [record(f"r{number}", "read", None, number, 100 + number, 1) for number in range(60)]
    broken = [
        record("w", "write", 1, 0, 1),
        *reads,
        record("w", "write", 2, 200, 201),
        record("r", "read", None, 202, 203, 1),
    ]
    assert check(broken, Register(), steps_max=10_000).verdict is Verdict.VIOLATED


def test_a_thousand_operations_of_eight_clients_take_less_than_a_second() -> None:
    source, now, state = random.Random(7), 0, (0, "")
    history = []
    for number in range(1000):
        now += 10
        state = (state[0] + 1, str(number))
        history.append(
            record(f"c{number % 8}", "append", str(number), now - source.randrange(60), now + 1, state)
        )
    assert check(history, Log(), steps_max=100_000).verdict is Verdict.LINEARIZABLE


def brute_force(history: list[Record]) -> bool:
    """Try every order of every choice of unknown operations."""
    known = [r for r in history if r.completed_ns is not None]
    unknown = [r for r in history if r.completed_ns is None]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *chosen]):
                if _follows_time(order) and _replays(order):
                    return True
    return False


def _follows_time(order: tuple[Record, ...]) -> bool:
    return not any(
        later.completed_ns is not None and later.completed_ns < earlier.invoked_ns
        for index, earlier in enumerate(order)
        for later in order[index + 1 :]
    )


def _replays(order: tuple[Record, ...]) -> bool:
    model, state = Register(), Register.initial
    for r in order:
        state, result = model.apply(state, r.operation, r.argument)
        if r.completed_ns is not None and result != r.result:
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    history = []
    for number in range(draw(st.integers(0, 5))):
        invoked = draw(st.integers(0, 8))
        completed = draw(st.none() | st.integers(invoked, 10))
        operation = draw(st.sampled_from(["read", "write", "swap"]))
        small = st.integers(0, 1)
        argument: Any = {"read": st.none(), "write": small, "swap": st.tuples(small, small)}[operation]
        result: Any = {"read": st.none() | small, "write": st.none(), "swap": st.booleans()}[operation]
        history.append(record(f"c{number}", operation, draw(argument), invoked, completed, draw(result)))
    return history


@given(histories())
@settings(deadline=None, max_examples=300)
def test_agrees_with_trying_every_order(history: list[Record]) -> None:
    finding: Finding = check(history, Register())
    assert (finding.verdict is Verdict.LINEARIZABLE) == brute_force(history)
