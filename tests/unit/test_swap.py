"""One swap until it is settled: by success, by a newer revision, and never by reading the expected one again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.records import Mastership
from primacy.machines.swap import Outcome, Purpose, Swap
from tests.unit.cmm_tools import N1, N2

EXPECT = 7
OURS = Mastership(2, N1, None, 3, "ours", N1)
THEIRS = Mastership(2, N2, None, 3, "theirs", N2)


def _swap() -> Swap:
    return Swap(Purpose.CLAIM, EXPECT, OURS, token=1)


@pytest.mark.parametrize(
    ("revision", "record", "outcome"),
    [
        (EXPECT - 1, THEIRS, None),
        (EXPECT, THEIRS, None),
        (EXPECT, OURS, None),
        (EXPECT + 1, OURS, Outcome.DONE),
        (EXPECT + 1, THEIRS, Outcome.LOST),
        (EXPECT + 5, THEIRS, Outcome.LOST),
    ],
)
@pytest.mark.parametrize("before", ["under way", "unclear", "conflict"])
def test_only_a_newer_revision_settles(
    before: str, revision: int, record: Mastership, outcome: Outcome | None
) -> None:
    swap = _swap()
    if before == "unclear":
        swap.unclear(repeat_ns=10)
    elif before == "conflict":
        swap.conflict()
    assert swap.learned(revision, record) is outcome


def test_an_unavailable_ledger_settles_only_what_was_never_uncertain() -> None:
    assert _swap().unavailable(10) is Outcome.NOT_WRITTEN
    swap = _swap()
    swap.unclear(10)
    assert swap.unavailable(20) is None
    assert not swap.due(19)
    assert swap.due(20)


def test_a_conflict_is_not_repeated_but_read() -> None:
    swap = _swap()
    swap.unclear(10)
    swap.conflict()
    assert not swap.due(1_000)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["unclear", "unavailable", "conflict", "read", "due"]), st.integers(0, 50)),
    max_size=30,
)


@given(EVENTS)
def test_reading_the_expected_revision_settles_nothing_whatever_came_before(
    events: list[tuple[str, int]],
) -> None:
    swap, uncertain = _swap(), False
    for what, at_ns in events:
        match what:
            case "unclear":
                swap.unclear(at_ns)
                uncertain = True
            case "unavailable":
                outcome = swap.unavailable(at_ns)
                assert (outcome is None) == uncertain
                if outcome is not None:
                    return
            case "conflict":
                swap.conflict()
            case "read":
                assert swap.learned(EXPECT, THEIRS) is None
            case "due" if swap.due(at_ns):
                assert uncertain
                assert not swap.conflicted
                swap.under_way = True
    assert swap.learned(EXPECT + 1, OURS) is Outcome.DONE
