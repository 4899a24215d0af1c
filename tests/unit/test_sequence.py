"""One callback sequence: levels in order, one end, and what was done is undone in reverse.

`Driver` plays the hosts: it holds the machine to what it may do after each step.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.host_wire import Callback
from primacy.machines.ids import MS, SECOND
from primacy.machines.sequence import (
    EVERY_LEVEL,
    SILENCE_NS,
    CancelCallback,
    Finished,
    LevelComplete,
    RunCallback,
    Sequence,
    SequenceEffect,
    Step,
    Trouble,
    Undone,
    Wait,
    patience_ns,
    plan,
)

FUNCTION = "switchover"


class Driver:
    """Runs a sequence and checks its rules: S5 (level order), ids once, one end, undo in reverse."""

    def __init__(self, steps: list[Step], *, descending: bool = False, **options: Any) -> None:
        self.machine = Sequence(FUNCTION, steps, itertools.count(1), descending=descending, **options)
        self.descending = descending
        self.now_ns = 0
        self.running: dict[int, RunCallback] = {}
        self.seen: set[int] = set()
        self.levels: list[int] = []
        self.completed: list[Step] = []
        self.undone: list[Step] = []
        self.ends: list[SequenceEffect] = []
        self.troubles: list[Trouble] = []
        self.lost: set[str] = set()
        self.obey(self.machine.start(0))

    def obey(self, effects: list[SequenceEffect]) -> None:
        for effect in effects:
            assert not self.ends, "nothing follows the end"
            match effect:
                case RunCallback(id=run, step=step, undo=undo):
                    self._ran(run, step, undo, effect)
                case CancelCallback(id=run):
                    del self.running[run]
                case LevelComplete(level=level):
                    forward = [r for r in self.running.values() if not r.undo]
                    assert not forward, "a level is complete when all its callbacks have ended"
                    assert level not in self.levels
                    self.levels.append(level)
                    assert self.levels == sorted(self.levels, reverse=self.descending)
                case Trouble():
                    self.troubles.append(effect)
                case Finished() | Undone():
                    assert not self.running, "nothing runs after the end"
                    self.ends.append(effect)
        assert self.machine.ended == bool(self.ends)

    def _ran(self, run: int, step: Step, undo: bool, effect: RunCallback) -> None:
        assert run not in self.seen
        assert step.service not in self.lost, "nothing is run on a host that is gone"
        self.seen.add(run)
        level = step.callback.level
        others = {r.step.callback.level for r in self.running.values()}
        assert others <= {level}, "callbacks of one level together, the next level waits for all (S5)"
        if undo:
            assert step in self.completed
            assert step not in self.undone, "undone once"
            if self.undone:
                last = self.undone[-1].callback.level
                assert last <= level if self.descending else last >= level
            self.undone.append(step)
        else:
            assert not self.undone, "nothing begins once the undoing has begun"
            assert level not in self.levels
        self.running[run] = effect

    def end(self, run: int, outcome: str) -> None:
        effect = self.running.pop(run)
        if outcome == "done" and not effect.undo:
            self.completed.append(effect.step)
        self.obey(self.machine.ran(run, outcome, "because", self.now_ns))

    def lose(self, service: str) -> None:
        self.lost.add(service)
        self.running = {run: r for run, r in self.running.items() if r.step.service != service}
        self.obey(self.machine.lost(service, "its host is gone", self.now_ns))

    def tick(self, ns: int) -> None:
        self.now_ns += ns
        self.obey(self.machine.tick(self.now_ns))


def step(service: str, level: int, name: str = "f", **options: Any) -> Step:
    return Step(service, Callback(FUNCTION, level, name, **options))


TWO_LEVELS = [step("a", 1), step("b", 1), step("a", 2, "g")]


def test_a_plan_has_the_functions_callbacks_by_level_service_and_name() -> None:
    callbacks = [Callback("switchover", 2, "z"), Callback("failover", 1, "x"), Callback("switchover", 1, "y")]
    assert [(s.service, s.callback.name) for s in plan("switchover", {"b": callbacks, "a": callbacks})] == [
        ("a", "y"), ("b", "y"), ("a", "z"), ("b", "z"),
    ]  # fmt: skip


@pytest.mark.parametrize(("descending", "first"), [(False, 1), (True, 2)])
def test_levels_run_in_order_and_each_waits_for_all(descending: bool, first: int) -> None:
    driver = Driver(TWO_LEVELS, descending=descending)
    assert {r.step.callback.level for r in driver.running.values()} == {first}
    while driver.running:
        assert driver.ends == []
        driver.end(min(driver.running), "done")
    assert driver.ends == [Finished()]
    assert driver.levels == ([2, 1] if descending else [1, 2])


def test_a_sequence_without_callbacks_is_finished_at_once() -> None:
    assert Driver([]).ends == [Finished()]


@pytest.mark.parametrize("outcome", ["refused", "failed", "timeout", "cancelled", "a word of a newer host"])
def test_an_abortable_sequence_undoes_what_was_completed_and_names_the_callback(outcome: str) -> None:
    driver = Driver(TWO_LEVELS, abortable=True)
    driver.end(1, "done")
    driver.end(2, "done")
    driver.end(3, outcome)
    assert {r.step.service for r in driver.running.values()} == {"a", "b"}
    assert all(r.undo for r in driver.running.values())
    for run in list(driver.running):
        driver.end(run, "done")
    assert driver.ends == [Undone((f"a.g at level 2: {outcome}: because",))]


def test_one_that_is_not_abortable_goes_on_and_reports_the_trouble() -> None:
    driver = Driver(TWO_LEVELS)
    driver.end(1, "failed")
    driver.end(2, "done")
    driver.end(3, "done")
    assert driver.ends == [Finished()]
    assert [(t.step.service, t.policy) for t in driver.troubles] == [("a", "refuse")]


def test_a_callback_is_retried_so_often_and_no_more() -> None:
    driver = Driver([step("a", 1, on_failure="retry", retries=2, delay_s=0.1)])
    for attempt in range(3):
        (run,) = driver.running
        driver.end(run, "failed")
        assert driver.running == {}
        assert [t.policy for t in driver.troubles] == ["retry"] * min(attempt + 1, 2) + ["refuse"] * (
            attempt // 2
        )
        driver.tick(99 * MS)
        assert driver.running == {}
        driver.tick(1 * MS)
    assert driver.ends == [Finished()]
    assert driver.troubles[-1].reason == "failed: because"


def test_a_host_that_is_silent_past_the_time_out_is_given_up() -> None:
    driver = Driver([step("a", 1, timeout_s=1.0)])
    assert driver.machine.next_ns() == SECOND + SILENCE_NS
    driver.tick(SECOND + SILENCE_NS - 1)
    assert driver.ends == []
    driver.tick(1)
    assert driver.ends == [Finished()]
    assert "silent" in driver.troubles[0].reason


def test_a_barrier_holds_a_level_and_names_who_is_waited_for() -> None:
    driver = Driver(TWO_LEVELS, barrier=1)
    driver.end(1, "done")
    assert driver.machine.waits_for() == ["b.f"]
    driver.end(2, "done")
    assert driver.machine.waits_for() == ["the master to complete level 2"]
    assert driver.running == {}
    driver.obey(driver.machine.open_to(1, 0))
    assert driver.running == {}
    driver.obey(driver.machine.open_to(EVERY_LEVEL, 0))
    assert driver.running.keys() == {3}


def test_who_is_waited_for_since_when_and_until_when() -> None:
    driver = Driver(
        [step("a", 1, timeout_s=2.0), step("b", 2, on_failure="retry", retries=1, delay_s=3.0)], barrier=1
    )
    driver.tick(SECOND)
    [waited] = driver.machine.waits()
    assert (waited.until_ns - waited.since_ns, waited.until_ns - driver.now_ns) == (2 * SECOND, SECOND)
    driver.end(1, "done")
    assert driver.machine.waits() == [Wait("the master to complete level 2", driver.now_ns, 0, FUNCTION, 2)]
    driver.obey(driver.machine.open_to(2, driver.now_ns))
    driver.end(2, "failed")
    assert driver.machine.waits() == [
        Wait("b.f to be tried again", 0, driver.now_ns + 3 * SECOND, FUNCTION, 2)
    ]


def test_nothing_is_retried_or_undone_on_a_host_that_is_gone() -> None:
    driver = Driver(
        [step("a", 1), step("b", 1), step("a", 2, on_failure="retry", retries=5), step("b", 2)],
        abortable=True,
    )
    driver.end(1, "done")
    driver.end(2, "done")
    driver.lose("a")
    driver.end(4, "done")
    assert [t.policy for t in driver.troubles] == ["refuse"]
    assert [(r.step.service, r.undo) for r in driver.running.values()] == [("b", True)]


@pytest.mark.parametrize("again", ["abort", "open"])
def test_what_is_undone_is_undone_once(again: str) -> None:
    driver = Driver(TWO_LEVELS, abortable=True, barrier=1)
    driver.end(1, "done")
    driver.end(2, "done")
    driver.obey(driver.machine.abort("its time is over", 0))
    undoing = dict(driver.running)
    driver.obey(driver.machine.abort("again", 0) if again == "abort" else driver.machine.open_to(9, 0))
    assert driver.running == undoing
    for run in undoing:
        driver.end(run, "failed")
    assert driver.ends == [Undone(("its time is over",))]
    driver.obey(driver.machine.abort("too late", 0))


def test_a_cancelled_sequence_says_nothing_more() -> None:
    driver = Driver([step("a", 1, on_failure="retry", retries=9), step("b", 1)])
    driver.end(1, "failed")
    assert driver.machine.cancel() == [CancelCallback(2, "b")]
    assert driver.machine.ran(2, "done", "", 0) == []
    assert driver.machine.tick(SECOND) == []
    assert driver.machine.next_ns() is None


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_is_none_does_no_harm(seconds: float) -> None:
    odd = [step("a", 1, timeout_s=seconds, on_failure="retry", retries=1, delay_s=seconds)]
    driver = Driver(odd)
    driver.end(1, "failed")
    assert driver.machine.next_ns() is not None
    assert 0 < patience_ns(odd) < 10**18


def test_patience_covers_every_try_of_every_callback() -> None:
    steps = [step("a", 1, timeout_s=2.0), step("b", 1, timeout_s=1.0, delay_s=0.5, retries=2)]
    assert patience_ns(steps) == 2 * SECOND + SILENCE_NS + 3 * (1500 * MS + SILENCE_NS)


def test_many_levels_of_a_host_that_is_gone_are_no_burden() -> None:
    driver = Driver([step("a", 1), *(step("b", n) for n in range(2, 5_000))])
    driver.lose("b")
    driver.end(1, "done")
    assert driver.ends == [Finished()]


STEPS = st.lists(
    st.builds(
        step,
        st.sampled_from("abc"),
        st.integers(1, 4),
        st.sampled_from(["f", "g"]),
        timeout_s=st.sampled_from([0.5, 1.0]),
        on_failure=st.sampled_from(["refuse", "retry", "restart", "escalate"]),
        retries=st.integers(0, 2),
        delay_s=st.sampled_from([0.0, 0.3]),
    ),
    max_size=8,
    unique=True,
)
OUTCOMES = st.sampled_from(["done", "done", "done", "refused", "failed", "timeout", "cancelled"])
MOVES = st.lists(
    st.tuples(st.just("end"), st.integers(0, 7), OUTCOMES)
    | st.tuples(st.just("tick"), st.integers(0, 2_000))
    | st.tuples(st.just("open"), st.integers(0, 5))
    | st.tuples(st.just("lose"), st.sampled_from("abc"))
    | st.tuples(st.just("abort"))
    | st.tuples(st.just("stray"), st.integers(0, 30)),
    max_size=40,
)


@given(steps=STEPS, moves=MOVES, descending=st.booleans(), abortable=st.booleans(), barrier=st.integers(0, 5))
def test_whatever_happens_the_rules_hold_and_there_is_one_end(
    steps: list[Step], moves: list[tuple[Any, ...]], descending: bool, abortable: bool, barrier: int
) -> None:
    driver = Driver(steps, descending=descending, abortable=abortable, barrier=barrier)
    aborted = False
    for move in moves:
        match move:
            case ("end", at, outcome) if driver.running:
                runs = sorted(driver.running)
                driver.end(runs[at % len(runs)], outcome)
            case ("tick", ms):
                driver.tick(ms * MS)
            case ("open", level):
                driver.obey(driver.machine.open_to(level, driver.now_ns))
            case ("lose", service):
                driver.lose(service)
            case ("abort",) if abortable:
                driver.obey(driver.machine.abort("from outside", driver.now_ns))
                aborted = True
            case ("stray", run) if run not in driver.running:
                driver.obey(driver.machine.ran(run, "done", "", driver.now_ns))
    driver.obey(driver.machine.open_to(EVERY_LEVEL, driver.now_ns))
    while not driver.ends:
        if driver.running:
            driver.end(min(driver.running), "done")
        else:
            due_ns = driver.machine.next_ns()
            assert due_ns is not None, "it waits for nothing, and has not ended"
            driver.tick(max(0, due_ns - driver.now_ns))
    (end,) = driver.ends
    if isinstance(end, Undone):
        assert abortable
        kept = [s for s in driver.completed if s.service not in driver.lost]
        assert {*kept} <= {*driver.undone}
    elif abortable:
        assert not aborted or not driver.undone
    assert driver.machine.next_ns() is None


def test_what_a_run_that_has_ended_had_completed_is_taken_back_from_its_last_level_on() -> None:
    steps = [Step("a", Callback(FUNCTION, level, f"at {level}")) for level in (1, 2)]
    machine = Sequence(FUNCTION, steps, itertools.count(1), descending=True, abortable=True)
    [first] = machine.take_back(0)
    assert (first.step.callback.level, first.undo) == (1, True)
    [second] = machine.ran(first.id, "done", "", 1)
    assert (second.step.callback.level, second.undo) == (2, True)
    assert machine.ran(second.id, "refused", "not now", 2)[-1] == Undone(())


def test_a_callback_that_gives_no_reason_is_named_with_its_outcome() -> None:
    driver = Driver([step("a", 1)], abortable=True)
    driver.obey(driver.machine.ran(driver.running.popitem()[0], "refused", "", 1))
    assert driver.ends == [Undone(("a.f at level 1: refused",))]


def test_what_is_being_undone_is_said_so_and_has_no_level_when_all_had_been_completed() -> None:
    driver = Driver(TWO_LEVELS, abortable=True, barrier=1)
    driver.end(1, "done")
    driver.obey(driver.machine.abort("its time is over", 3))
    said = [(wait.what, wait.since_ns, wait.level) for wait in driver.machine.waits()]
    assert said == [("the undoing of a.f", 3, 1)]
    machine = Sequence(FUNCTION, [step("a", 1)], itertools.count(1), abortable=True)
    machine.take_back(5)
    assert machine.level is None
    assert [(wait.what, wait.since_ns, wait.level) for wait in machine.waits()] == [
        ("the undoing of a.f", 5, None)
    ]


def test_what_is_undone_is_left_out_for_a_host_that_ends_meanwhile() -> None:
    driver = Driver([step("a", 1), step("b", 1), step("a", 2), step("b", 3)], abortable=True)
    for run in (1, 2, 3):
        driver.end(run, "done")
    driver.end(4, "refused")
    assert [(r.step.service, r.step.callback.level) for r in driver.running.values()] == [("a", 2)]
    driver.lose("a")
    assert [(r.step.service, r.step.callback.level) for r in driver.running.values()] == [("b", 1)]
    driver.end(max(driver.running), "done")
    assert driver.ends == [Undone(("b.f at level 3: refused: because",))]
