"""`primacy sim`: whole clusters in virtual time, with faults; their failures, made small; and planted bugs."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from primacy.cli import common, sim_show
from primacy.cli.common import json_option, print_json, say
from primacy.errors import ConfigError

if TYPE_CHECKING:
    from primacy.cli.sim_pool import Tally
    from primacy.sim.jobs import Hunted, Ran, Told

SEEDS, HUNT_RUNS, HUNT_SEED = 100, 2_000, 1
_SEED_BITS = 31


@click.command()
@click.argument("names", nargs=-1, metavar="[MUTANT|FILE]...")
@click.option(
    "--seeds",
    "--runs",
    "seeds",
    type=click.IntRange(1),
    metavar="N",
    help="How many runs.  [default: 100; for each planted bug at most 2000]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="FIRST",
    help="The first seed.  [default: a fresh one; with --mutants 1]",
)
@click.option(
    "--nodes", type=click.IntRange(2, 9), help="How many nodes.  [default: the seed decides, 2 to 7]"
)
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 1440),
    metavar="M",
    help="Virtual minutes with faults.  [default: 8 seconds]",
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="J", help="Processes at a time.  [default: one per core]"
)
@click.option("--no-faults", is_flag=True, help="Let nothing go wrong.")
@click.option(
    "--coverage/--no-coverage", default=True, show_default=True, help="Count the edges of the machines."
)
@click.option("--mutants", is_flag=True, help="Hunt the planted bugs: all, or those named.")
@click.option(
    "--replay", type=click.Path(dir_okay=False), metavar="FILE", help="Run a stored run, and tell it."
)
@click.option(
    "--trace", is_flag=True, help="Replay and judge what real agents recorded: the files, directories named."
)
@click.option("--timeline", is_flag=True, help="Tell the timeline of every run.")
@click.option("--keep", is_flag=True, help="Do not make a failing run smaller.")
@click.option(
    "--store",
    type=click.Path(file_okay=False),
    metavar="DIR",
    default=".",
    show_default=True,
    help="Where the file of a failing run goes.",
)
@json_option
def sim(names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Run whole clusters in virtual time, with faults drawn from a seed, and check what is promised after every step.

    The machines are those of production; network, disks, clocks, processes and the ledger are simulated. The same
    seed is the same run, whatever else runs beside it. The first run that fails is made as small as it goes, told
    with its faults and its timeline, and stored in a file for --replay. Ctrl-C ends with what was found so far.

    \b
    JSON: {seed, runs, violated: null | {seed, clause, text, faults, file}, simulated_s, took_s, rate, jobs, events,
      operations, terms, waits, interrupted, coverage: {edges, taken, percent_of_reachable, never: {EDGE: reason}}}
    With --mutants: {mutants: [{name, found, runs, clause, serves}], median_runs}
    With --trace: {status, lives: [{node, incarnation, version, seconds, inputs, same, replay, why, ends}], inputs,
      terms, revisions, violations: [{clause, text}], unchecked, version}
    Exit codes: 0 nothing violated, every planted bug found; 1 violated, or a planted bug not found; 2 wrong usage; 3
    recorded by a version that decides otherwise, and nothing violated; 78 the stored run or record cannot be read;
    130 interrupted, and nothing was violated so far.
    """
    jobs = options["jobs"] or os.cpu_count() or 1
    if options["trace"]:
        return _trace(names, as_json)
    if names and not options["mutants"]:
        raise click.UsageError(f"{names[0]}: names are for --mutants and --trace")
    if options["mutants"]:
        known = _known(names)
        if options["replay"]:
            return _replay(options["replay"], options["keep"], as_json, known)
        seed = HUNT_SEED if options["seed"] is None else options["seed"]
        return _hunt(known, seed, options["seeds"] or HUNT_RUNS, jobs, as_json)
    if options["replay"]:
        return _replay(options["replay"], options["keep"], as_json, [])
    options["seed"] = secrets.randbits(_SEED_BITS) if options["seed"] is None else options["seed"]
    return _runs(options, min(jobs, options["seeds"] or SEEDS), as_json)


def _trace(paths: tuple[str, ...], as_json: bool) -> int:
    import msgspec

    from primacy.sim import trace

    if not paths:
        raise click.UsageError("--trace wants the files of records, or directories with such files")
    report = trace.check([Path(path) for path in paths], say)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        click.echo(trace.render(report))
    return report.status


# ---- runs ----


def _runs(options: dict[str, Any], jobs: int, as_json: bool) -> int:
    from primacy.cli.sim_pool import Tally
    from primacy.sim.jobs import Run

    first, count = options["seed"], options["seeds"] or SEEDS
    nodes, minutes, faults = options["nodes"] or 0, options["minutes"] or 0.0, not options["no_faults"]
    todo = [Run(seed, nodes, minutes, faults, options["timeline"]) for seed in range(first, first + count)]
    tally, began_s = Tally(), time.monotonic()
    common.run_async(_campaign(todo, jobs, tally, options["coverage"]))
    found: dict[str, Any] = {"seed": first, "violated": None, "jobs": jobs}
    found |= sim_show.figures(tally, time.monotonic() - began_s)
    found |= {"interrupted": tally.stopped, "coverage": sim_show.coverage(tally.edges)}
    if options["timeline"] and not as_json:
        for each in tally.counted():
            click.echo(f"seed {each.seed}\n{each.timeline}")
    if tally.failure is not None:
        found["violated"] = _failed(tally.failure, Path(options["store"]), options["keep"], as_json)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(sim_show.summary(found)))
    if found["violated"]:
        return common.FAILED
    return common.INTERRUPTED if tally.stopped else common.OK


async def _campaign(todo: list[Any], jobs: int, tally: Tally, coverage: bool) -> None:
    """Run all; the first interrupt lets what is under way end, the second ends everything."""
    from primacy.cli.sim_pool import run_seeds

    task, began_s = asyncio.current_task(), time.monotonic()
    assert task is not None

    def interrupted() -> None:
        if tally.stopped:
            task.cancel()
        tally.stopped = True

    simulated_ns = 0
    with sim_show.progress("runs", len(todo)) as shown:

        def ran(found: Ran) -> None:
            nonlocal simulated_ns
            simulated_ns += found.simulated_ns
            rate = simulated_ns / 1e9 / (time.monotonic() - began_s)
            shown.step(f"{rate:.0f} simulated seconds a second{'; one has failed' if tally.failure else ''}")

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, interrupted)
        try:
            await run_seeds(todo, jobs, tally, ran, coverage=coverage)
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _failed(failure: Ran, folder: Path, keep: bool, as_json: bool) -> dict[str, Any]:
    """Make a failing run smaller, store it, and tell it; return what the summary says of it."""
    from primacy.cli.sim_pool import tell
    from primacy.sim.jobs import Replay

    if not keep:
        say(f"seed {failure.seed}: {failure.text}; looking for a smaller run that violates the same")
    told = common.run_async(tell(Replay(failure.plan, reduce=not keep)))
    path = folder / f"primacy-sim-{failure.seed}.json"
    path.write_bytes(bytes(told.plan) + b"\n")
    if not as_json:
        _tell(told, f"seed {failure.seed}")
        click.echo(f"replay: primacy sim --replay {path}\n")
    return {
        "seed": failure.seed, "clause": told.clause, "text": told.text, "faults": told.faults, "file": str(path)
    }  # fmt: skip


def _tell(told: Told, name: str) -> None:
    click.echo(f"{name}: {told.text or 'nothing was violated'}")
    click.echo("faults:" + "".join(f"\n  {fault}" for fault in told.faults or ["none"]))
    click.echo(told.timeline)


# ---- stored runs, planted bugs ----


def _replay(file: str, keep: bool, as_json: bool, mutants: list[str]) -> int:
    import msgspec

    from primacy.cli.sim_pool import tell
    from primacy.sim.jobs import Replay
    from primacy.sim.plan import Plan

    if len(mutants) > 1:
        raise click.UsageError("--replay with --mutants wants the name of one")
    try:
        plan = msgspec.json.decode(Path(file).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(file, str(error), "want a file that `primacy sim` has stored") from error
    raw = msgspec.Raw(msgspec.json.encode(plan))
    told = common.run_async(tell(Replay(raw), mutants[0] if mutants else ""))
    if as_json:
        print_json({"clause": told.clause, "text": told.text, "faults": told.faults})
    else:
        _tell(told, file)
    return common.FAILED if told.clause else common.OK


def _known(names: tuple[str, ...]) -> list[str]:
    from primacy.sim.mutants import MUTANTS

    known = [mutant.name for mutant in MUTANTS]
    for name in names:
        if name not in known:
            raise click.UsageError(f"no planted bug {name}; there are: {', '.join(known)}")
    return [name for name in known if not names or name in names]


def _hunt(names: list[str], seed: int, runs: int, jobs: int, as_json: bool) -> int:
    from primacy.cli.sim_pool import run_hunts

    found: list[Hunted] = []
    interrupted = False
    with sim_show.progress("planted bugs", len(names)) as shown:

        def hunted(one: Hunted) -> None:
            found.append(one)
            shown.step(one.name)
            if not as_json:
                click.echo(sim_show.hunted(one))

        try:
            common.run_async(run_hunts(names, seed, runs, min(jobs, len(names)), hunted))
        except KeyboardInterrupt:
            interrupted = True
    plain = sim_show.hunts(found, names)
    if as_json:
        print_json(plain)
    else:
        count = sum(each.found for each in found)
        click.echo(f"{count} of {len(names)} planted bugs found, in a median of {plain['median_runs']} runs")
    if not all(each.found for each in found):
        return common.FAILED
    return common.INTERRUPTED if interrupted else common.OK
