"""The description of a log: runs are extended, cut and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.history import Run, common_prefix, cut, extend, last_of


def test_runs_are_extended_and_cut() -> None:
    runs: list[Run] = []
    extend(runs, 1, 1, 4)
    extend(runs, 1, 5, 5)
    extend(runs, 3, 6, 9)
    assert runs == [(1, 1, 5), (3, 6, 9)]
    assert cut(runs, 7) == [(1, 1, 5), (3, 6, 7)]
    assert cut(runs, 5) == [(1, 1, 5)]
    assert cut(runs, 0) == []


@pytest.mark.parametrize(("term", "first", "last"), [(3, 11, 12), (3, 9, 9), (2, 10, 10), (3, 10, 9)])
def test_what_does_not_follow_is_a_bug(term: int, first: int, last: int) -> None:
    with pytest.raises(AssertionError):
        extend([(3, 1, 9)], term, first, last)


def entries_of(runs: list[Run]) -> list[tuple[int, int]]:
    return [(term, sequence) for term, first, last in runs for sequence in range(first, last + 1)]


@st.composite
def logs(draw: st.DrawFn) -> list[Run]:
    runs: list[Run] = []
    for term in sorted(draw(st.sets(st.integers(1, 5), max_size=4))):
        first = last_of(runs)[1] + 1
        extend(runs, term, first, first + draw(st.integers(0, 4)))
    return runs


@given(logs(), logs())
def test_the_common_prefix_is_that_of_the_entries(mine: list[Run], theirs: list[Run]) -> None:
    same = 0
    for one, other in zip(entries_of(mine), entries_of(theirs), strict=False):
        if one != other:
            break
        same += 1
    assert common_prefix(mine, theirs) == same
    assert entries_of(cut(mine, same)) == entries_of(mine)[:same]
