"""Shortening: the least list that still fails, within its time, and only of a test that is the same run twice."""

from __future__ import annotations

from primacy.sim.authors.kept import Drawn
from primacy.sim.authors.shorten import shorten

LONG = tuple(
    Drawn(100 * number, "power", f"n{number % 3}", for_ms=10, call=number % 2) for number in range(1, 20)
)


def both(faults: tuple[Drawn, ...]) -> bool:
    """Fails by two faults of different calls."""
    return {(fault.node, fault.call) for fault in faults} >= {("n1", 0), ("n2", 1)}


def test_what_is_left_is_needed() -> None:
    shortened = shorten(LONG, both, 60)
    assert len(shortened.faults) == 2
    assert both(shortened.faults)
    assert shortened.sentence().startswith("2 of the 19 faults that chaos drew are enough (")
    assert shortened.in_time


def test_nothing_is_left_when_nothing_is_needed() -> None:
    shortened = shorten(LONG, lambda faults: True, 60)
    assert shortened.faults == ()
    assert (
        "none of the 19 faults that chaos drew is needed: it fails without chaos, too (2 runs"
        in shortened.sentence()
    )
    assert "chaos has drawn no fault" in shorten((), lambda faults: True, 60).sentence()


def test_a_test_that_is_not_the_same_run_twice_is_left_alone() -> None:
    shortened = shorten(LONG, lambda faults: False, 60)
    assert (shortened.again, shortened.runs, shortened.faults) == (False, 1, LONG)
    assert "is not the same from run to run" in shortened.sentence()


def test_when_the_time_is_up_the_best_so_far_is_told() -> None:
    shortened = shorten(LONG, both, 0)
    assert (shortened.in_time, shortened.runs, shortened.faults) == (False, 1, LONG)
    assert "the time was up: --primacy-shorten=SECONDS gives more" in shortened.sentence()
