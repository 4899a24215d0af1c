"""What the command line of the simulator does: runs plans, tells how they went, shortens and stores what fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from primacy.sim import scenarios
from primacy.sim.faults import Fault
from primacy.sim.mutants import Mutant
from primacy.sim.plan import Plan, from_seed
from primacy.sim.shrink import Shrinker
from primacy.sim.world import Outcome, run

_FAULT_FREE = 20
_SCENARIO_RUNS = 100


def plan_of(seed: int, *, nodes: int = 0, faults: bool = True, focus: dict[str, Any] | None = None) -> Plan:
    """Return the plan of a seed, with what a mutant's focus puts in its place."""
    wanted = dict(focus or {})
    plan = from_seed(seed, nodes=nodes or wanted.pop("nodes", 0), faults=faults)
    return msgspec.structs.replace(plan, **wanted)


def shortened(outcome: Outcome) -> Outcome:
    """Return the outcome of a run with a shorter list of faults that violates the same clause."""
    assert outcome.violation is not None
    clause = outcome.violation.clause

    def fails(faults: tuple[Fault, ...]) -> bool:
        violation = run(msgspec.structs.replace(outcome.plan, faults=faults)).violation
        return violation is not None and violation.clause == clause

    faults = Shrinker(fails).shrink(outcome.plan.faults)
    return run(msgspec.structs.replace(outcome.plan, faults=faults))


def failure(outcome: Outcome, mutant: str = "") -> str:
    """Return everything that one needs to understand and replay a failing run."""
    plan = outcome.plan
    planted = f" --mutant {mutant}" if mutant else ""
    text = msgspec.json.encode(plan).decode()
    faults = "\n".join(f"  {fault.sentence()}" for fault in plan.faults) or "  none"
    return (
        f"seed {plan.seed}: {outcome.violation}\nfaults:\n{faults}\n{outcome.report()}\n"
        f"replay: python -m primacy.sim --seed {plan.seed}{planted} --trace\n"
        f"or, with these faults: python -m primacy.sim --replay FILE{planted} --trace, where FILE holds\n{text}\n"
    )


def execute(options: argparse.Namespace, mutant: Mutant | None) -> int:
    """Run what the options say; return the exit status."""
    if options.replay:
        outcome = run(msgspec.json.decode(Path(options.replay).read_bytes(), type=Plan))
        return _told(outcome, options, mutant)
    if mutant is not None:
        return _hunt(options, mutant)
    began_s, simulated_ns, waits = time.perf_counter(), 0, 0
    for seed in range(options.seed, options.seed + options.runs):
        outcome = run(plan_of(seed, nodes=options.nodes, faults=not options.no_faults))
        simulated_ns += outcome.simulated_ns
        waits += outcome.waits
        if outcome.violation is not None or options.trace:
            if outcome.violation is not None and not options.keep:
                outcome = shortened(outcome)
            status = _told(outcome, options, mutant)
            if status:
                return status
    took_s = time.perf_counter() - began_s
    _say(
        f"{options.runs} runs from seed {options.seed}: nothing was violated; "
        f"{simulated_ns / 1e9:.0f} simulated seconds in {took_s:.1f} s, {waits} runs ended waiting for the operator"
    )
    return 0


def _told(outcome: Outcome, options: argparse.Namespace, mutant: Mutant | None) -> int:
    if outcome.violation is not None:
        _say(failure(outcome, mutant.name if mutant else ""))
        return 0 if mutant else 1
    _say(outcome.report() if options.trace else "nothing was violated")
    return 1 if mutant else 0


def _hunt(options: argparse.Namespace, mutant: Mutant) -> int:
    """Search for a planted bug, after showing that a cluster with it serves as long as nothing goes wrong."""
    for seed in range(options.seed, options.seed + _FAULT_FREE):
        outcome = run(plan_of(seed, nodes=options.nodes, faults=False, focus=mutant.focus))
        if outcome.violation is not None or not outcome.operations:
            _say(f"{mutant.name} does not count: without any fault, {failure(outcome, mutant.name)}")
            return 1
    for number, plan in enumerate(_plans(options, mutant), 1):
        outcome = run(plan)
        if outcome.violation is not None and outcome.violation.clause != "bug":
            _say(f"{mutant.name} found by {outcome.violation.clause} in run {number} (seed {plan.seed})")
            if not options.keep or options.trace:
                _say(failure(shortened(outcome), mutant.name))
            return 0
    _say(f"{mutant.name} was not found in {options.runs} runs from seed {options.seed}")
    return 1


def _plans(options: argparse.Namespace, mutant: Mutant) -> Iterator[Plan]:
    """The plans in which a planted bug is looked for: its scenario, if it names one, then random ones."""
    seeds = range(options.seed, options.seed + options.runs)
    if mutant.scenario:
        for seed in seeds[:_SCENARIO_RUNS]:
            plan = scenarios.plan(mutant.scenario, seed)
            yield msgspec.structs.replace(plan, **{k: v for k, v in mutant.focus.items() if k != "nodes"})
    for seed in seeds:
        yield plan_of(seed, nodes=options.nodes, focus=mutant.focus)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
