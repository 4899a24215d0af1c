"""What a worker of the simulator does with a job: runs plans, makes failing ones smaller, hunts planted bugs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from primacy.sim import scenarios
from primacy.sim.jobs import NO_PLAN, Hunt, Hunted, Ran, Replay, Run, Told
from primacy.sim.manners import PLAIN
from primacy.sim.mutants import Mutant
from primacy.sim.plan import Plan, from_seed
from primacy.sim.shrink import Reducer
from primacy.sim.world import Outcome, run

FAULT_FREE = 20
SCENARIO_RUNS = 100
BUG = "bug"
"""A process that has ended by an assertion of its own: a violation of a run, but no planted bug counts as found so."""


def plan_of(
    seed: int,
    *,
    nodes: int = 0,
    minutes: float = 0.0,
    faults: bool = True,
    focus: dict[str, Any] | None = None,
) -> Plan:
    """Return the plan of a seed, with what a mutant's focus puts in its place."""
    wanted = dict(focus or {})
    plan = from_seed(seed, nodes=nodes or wanted.pop("nodes", 0), minutes=minutes, faults=faults)
    return msgspec.structs.replace(plan, **wanted)


def reduced(outcome: Outcome) -> tuple[Outcome, int]:
    """Return the outcome of a smaller plan that violates the same clause, and how many runs that took."""
    assert outcome.violation is not None
    clause = outcome.violation.clause

    def fails(plan: Plan) -> bool:
        violation = run(plan).violation
        return violation is not None and violation.clause == clause

    reducer = Reducer(fails)
    return run(reducer.reduce(outcome.plan)), reducer.runs


def failure(outcome: Outcome) -> str:
    """Return everything that one needs to understand and replay a failing run."""
    text = msgspec.json.encode(outcome.plan).decode()
    faults = "\n".join(f"  {fault.sentence()}" for fault in outcome.plan.faults) or "  none"
    return (
        f"seed {outcome.plan.seed}: {outcome.violation}\nfaults:\n{faults}\n{outcome.report()}\n"
        f"replay: primacy sim --replay FILE, where FILE holds\n{text}\n"
    )


# ---- jobs ----


def ran(job: Run) -> Ran:
    """Run one seed."""
    outcome = run(plan_of(job.seed, nodes=job.nodes, minutes=job.minutes, faults=job.faults))
    violation = outcome.violation
    return Ran(
        job.seed,
        violation.clause if violation is not None else "",
        str(violation or ""),
        outcome.simulated_ns,
        outcome.events,
        outcome.operations,
        outcome.terms,
        outcome.waits,
        outcome.report() if job.timeline else "",
        _raw(outcome.plan) if violation is not None else NO_PLAN,
    )


def told(job: Replay) -> Told:
    """Run a plan, make it smaller if that is wanted and it fails, and tell it."""
    outcome, runs = run(msgspec.json.decode(job.plan, type=Plan)), 0
    if job.reduce and outcome.violation is not None:
        outcome, runs = reduced(outcome)
    violation = outcome.violation
    return Told(
        violation.clause if violation is not None else "",
        str(violation or ""),
        [fault.sentence() for fault in outcome.plan.faults],
        outcome.report(),
        runs,
        _raw(outcome.plan),
    )


def hunted(job: Hunt, mutant: Mutant) -> Hunted:
    """Search for a planted bug, after showing that a cluster with it forms and serves as long as nothing goes wrong."""
    for seed in range(job.seed, job.seed + (0 if job.after else FAULT_FREE)):
        # plain: a client that is in a hurry, or a vice that joins while many watch, is what the bug is looked for with
        plan = msgspec.structs.replace(plan_of(seed, faults=False, focus=mutant.focus), manners=PLAIN)
        outcome = run(plan)
        if outcome.violation is not None or not outcome.operations or outcome.waits:
            why = f"seed {seed} without faults: {outcome.violation or 'it does not serve'}"
            return Hunted(mutant.name, False, 0, why=why, plan=_raw(outcome.plan))
    for count, plan in enumerate(_plans(job, mutant), 1):
        if count <= job.after:
            continue
        violation = run(plan).violation
        if violation is not None and violation.clause != BUG:
            return Hunted(mutant.name, True, count, violation.clause, str(violation), plan=_raw(plan))
    return Hunted(mutant.name, False, job.runs)


def _plans(job: Hunt, mutant: Mutant) -> Iterator[Plan]:
    """The plans in which a planted bug is looked for: its scenario, if it names one, then random ones."""
    directed = min(job.runs, SCENARIO_RUNS) if mutant.scenario else 0
    for seed in range(job.seed, job.seed + directed):
        plan = scenarios.plan(mutant.scenario, seed)
        yield msgspec.structs.replace(plan, **{k: v for k, v in mutant.focus.items() if k != "nodes"})
    for seed in range(job.seed, job.seed + job.runs - directed):
        yield plan_of(seed, focus=mutant.focus)


def _raw(plan: Plan) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(plan))
