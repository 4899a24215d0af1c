"""The window against duplicates and replays, against a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.dedup import WIDTH, Verdict, Window

NEW, SEEN, TOO_OLD = Verdict.NEW, Verdict.SEEN, Verdict.TOO_OLD


@pytest.mark.parametrize(
    ("accepted", "number", "verdict"),
    [
        ([], 1, NEW),
        ([], 10**12, NEW),
        ([1], 1, SEEN),
        ([5], 4, NEW),
        ([5, 4], 4, SEEN),
        ([1, WIDTH], 1, SEEN),
        ([1, WIDTH + 1], 1, TOO_OLD),
        ([1, WIDTH + 1], 2, NEW),
        ([3, 3 + 5 * WIDTH], 3 + 4 * WIDTH, TOO_OLD),
        ([3, 3 + 5 * WIDTH], 4 + 4 * WIDTH, NEW),
        ([10**12], 0, NEW),
        ([0], 0, SEEN),
        ([0, 10**12], 0, SEEN),
        ([10**12, 0], 10**12, SEEN),
    ],
)
def test_what_a_number_is(accepted: list[int], number: int, verdict: Verdict) -> None:
    window = Window()
    assert [window.accept(each) for each in accepted] == [True] * len(accepted)
    assert window.judge(number) is verdict
    assert window.accept(number) is (verdict is NEW)


def test_judging_changes_nothing() -> None:
    window = Window()
    window.accept(7)
    assert [window.judge(10**9) for _ in range(3)] == [NEW] * 3
    assert window.judge(6) is NEW
    assert window.highest == 7


@given(
    st.lists(
        st.one_of(st.integers(0, 50), st.integers(0, 3 * WIDTH), st.integers(10**9, 10**9 + 2 * WIDTH)),
        max_size=200,
    )
)
def test_against_a_memory_of_everything(numbers: list[int]) -> None:
    window, seen, highest = Window(), set[int](), 0
    for number in numbers:
        too_old = number != 0 and number <= highest - WIDTH
        expected = TOO_OLD if too_old else SEEN if number in seen else NEW
        assert window.judge(number) is expected
        assert window.accept(number) is (expected is NEW)
        if expected is NEW:
            seen.add(number)
            highest = max(highest, number)
    assert window.highest == highest
