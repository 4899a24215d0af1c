"""Whole clusters from fresh seeds, from stored failures and from directed schedules: nothing may be violated.

A failure is told with its seed, its faults (shortened), its timeline and the command that replays it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from primacy.sim.command import failure, plan_of, reduced
from primacy.sim.plan import Plan
from primacy.sim.scenarios import SCENARIOS
from primacy.sim.scenarios import plan as scenario_plan
from primacy.sim.world import Outcome, run

STORED = sorted((Path(__file__).parent / "seeds").glob("*.json"))
FRESH, PARTS = 300, 10


def demand(outcome: Outcome) -> Outcome:
    if outcome.violation is not None:
        pytest.fail(failure(reduced(outcome)[0]), pytrace=False)
    return outcome


@pytest.mark.parametrize("part", range(PARTS))
def test_fresh_seeds(seed: int, part: int) -> None:
    each = FRESH // PARTS
    first = seed * FRESH + part * each
    outcomes = [demand(run(plan_of(number))) for number in range(first, first + each)]
    assert sum(outcome.operations for outcome in outcomes) > 10 * each


@pytest.mark.parametrize("path", STORED, ids=[path.stem for path in STORED])
def test_stored_failures(path: Path) -> None:
    demand(run(msgspec.json.decode(path.read_bytes(), type=Plan)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_directed_schedules(seed: int, name: str) -> None:
    for number in range(seed, seed + 10):
        demand(run(scenario_plan(name, number)))


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_nothing_goes_wrong_when_nothing_goes_wrong(seed: int, nodes: int) -> None:
    for number in range(seed, seed + 4):
        outcome = demand(run(plan_of(number, nodes=nodes, faults=False)))
        assert outcome.terms == 1, outcome.report()
        assert outcome.operations > 20


@pytest.mark.soak
def test_many_seeds(seed: int) -> None:
    for number in range(seed * 10_000, seed * 10_000 + 5_000):
        demand(run(plan_of(number)))
