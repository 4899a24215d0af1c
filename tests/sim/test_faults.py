"""Fault lists: they can be stored, they say in words what they are, and a failing run is made smaller."""

from __future__ import annotations

import random

import msgspec
import pytest

from primacy.sim.draw import draw
from primacy.sim.draw_operators import draw_operators
from primacy.sim.faults import Fault, decode, encode
from primacy.sim.plan import Plan
from primacy.sim.shrink import Reducer, Shrinker

NODES = ("n1", "n2", "n3")


def drawn(count: int) -> list[tuple[Fault, ...]]:
    return [draw(random.Random(number), NODES, 300.0, 300, 7500) for number in range(count)]


def test_a_list_survives_being_stored() -> None:
    for faults in drawn(50):
        assert decode(encode(faults)) == faults


def test_the_same_source_draws_the_same_list() -> None:
    assert drawn(20) == drawn(20)


def test_every_kind_is_drawn_and_told() -> None:
    kinds = {fault.kind: fault for faults in drawn(400) for fault in faults}
    assert set(kinds) == {
        "crash", "power", "freeze", "stop", "kill", "cut", "isolate", "loss", "delay", "duplicate", "clients",
        "client", "filter", "ledger", "watch", "disk", "obituary", "switchover",
    }  # fmt: skip
    for kind, fault in kinds.items():
        assert fault.sentence().startswith(("at ", "from ")), kind
        assert not fault.sentence().endswith(f": {kind}"), kind


def test_all_that_operators_do_is_drawn_and_told() -> None:
    lists = [draw_operators(random.Random(number), NODES, 300.0, 300, 7500) for number in range(400)]
    kinds = {fault.kind: fault for faults in lists for fault in faults}
    assert set(kinds) == {"ask", "kill", "leave", "maintain", "mood"}
    verbs = {fault.what for faults in lists for fault in faults if fault.kind == "ask"}
    assert verbs == {"switchover", "demote", "promote", "qualify", "disqualify", "shutdown", "remove"}
    for kind, fault in kinds.items():
        assert fault.sentence().startswith("at "), kind
        assert not fault.sentence().endswith(f": {kind}"), kind
    assert all(decode(encode(faults)) == faults for faults in lists)


def test_lists_are_in_the_order_of_time() -> None:
    for faults in drawn(100):
        assert list(faults) == sorted(faults, key=lambda fault: fault.at_ms)


def kill(at_ms: int, for_ms: int = 0) -> Fault:
    return Fault(at_ms, "freeze", "n1", what="node", for_ms=for_ms)


@pytest.mark.parametrize("needed", [(0,), (3, 7), (0, 9), (1, 4, 8), tuple(range(10)), ()])
def test_only_what_is_needed_is_left(needed: tuple[int, ...]) -> None:
    faults = tuple(kill(at_ms) for at_ms in range(10))
    shrinker = Shrinker(lambda some: set(needed) <= {fault.at_ms for fault in some})
    assert tuple(fault.at_ms for fault in shrinker.shrink(faults)) == needed


def test_durations_are_made_shorter() -> None:
    shrinker = Shrinker(lambda some: any(fault.for_ms >= 300 for fault in some))
    assert shrinker.shrink((kill(1, 2400), kill(2, 10))) == (kill(1, 300),)


def test_a_search_ends_within_its_runs() -> None:
    faults = tuple(kill(at_ms) for at_ms in range(200))
    shrinker = Shrinker(lambda some: len(some) >= 150, runs_max=50)
    shrinker.shrink(faults)
    assert shrinker.runs == 50


def test_times_are_rounded_as_far_as_they_do_not_matter() -> None:
    shrinker = Shrinker(lambda some: all(1_200 <= fault.at_ms <= 1_300 for fault in some) and bool(some))
    assert shrinker.shrink((kill(1_234),)) == (kill(1_200),)


PLAN = Plan(
    7,
    nodes=5,
    rungs=("ineligible", "spare", "spare"),
    rates_ppm=(1, 2, 3, 4, 5),
    offsets_ms=(1, 2, 3, 4, 5),
    clients=3,
    faults=(
        Fault(1000, "freeze", "master", what="node", for_ms=400),
        Fault(2000, "cut", "n3", "vice", for_ms=100),
        Fault(3000, "switchover"),
    ),
)


def test_a_plan_loses_faults_nodes_and_clients_that_do_not_matter() -> None:
    reducer = Reducer(lambda plan: any(f.node == "n3" for f in plan.faults) and plan.clients >= 2)
    small = reducer.reduce(PLAN)
    assert (small.nodes, small.clients, small.seed) == (3, 2, 7)
    assert [fault.kind for fault in small.faults] == ["cut"]
    assert small.rungs == small.rates_ppm == small.offsets_ms == ()
    assert small.heal_ms < PLAN.heal_ms


def test_nodes_that_stay_keep_their_rungs() -> None:
    reducer = Reducer(lambda plan: len(plan.table) >= 4 and not plan.table[2].eligible)
    small = reducer.reduce(PLAN)
    assert (small.nodes, small.rungs) == (4, ("ineligible", "spare"))


def test_machines_that_nobody_adds_are_left_out() -> None:
    enters = Fault(1000, "configure", "n1", "x1", "enter")
    plan = msgspec.structs.replace(PLAN, spares=3, faults=(enters,))
    assert Reducer(lambda plan: enters in plan.faults).reduce(plan).spares == 1


def test_what_matters_stays_as_it_was() -> None:
    assert Reducer(lambda plan: plan == PLAN).reduce(PLAN) == PLAN


def test_a_plan_is_reduced_in_the_same_way_every_time() -> None:
    def fails(plan: Plan) -> bool:
        return len(plan.faults) >= 2 and plan.nodes >= 4

    assert Reducer(fails).reduce(PLAN) == Reducer(fails).reduce(PLAN)
