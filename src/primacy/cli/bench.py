"""`primacy bench ...`: the measurements, on a cluster that is made for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from primacy.cli import common
from primacy.cli.common import json_option, print_json, say

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from primacy.bench.cluster import Setup

ELIGIBLE = 3


@click.group()
def bench() -> None:
    """Measure what a fault costs a client, and how many writes a second there are.

    Each measurement makes a cluster in a directory of its own below --dir (else /var/tmp), which must not
    be in memory, and removes it afterwards. Progress goes to standard error.

    \b
    Outage: the longest time between two acknowledged writes of a closed-loop client around the fault. Each
    write inserts an id of its own; lost: ids acknowledged that are not there afterwards; doubled: ids that
    were applied more than once.
    Exit codes: 0 measured, nothing lost or doubled; 1 something lost or doubled; 4 the cluster does not get
    into service; 78 the directory is in memory.
    """


def _common(function: Any) -> Any:
    """Add what all measurements share."""
    for decorator in (
        json_option,
        click.option(
            "--dir", "parent", metavar="DIR", help="Where to make the directory.  [default: /var/tmp]"
        ),
        click.option(
            "--durability", type=click.Choice(["disk", "memory"]), default="disk", show_default=True
        ),
        click.option(
            "--profile", type=click.Choice(["carrier", "lan", "wan"]), default="lan", show_default=True
        ),
        click.option(
            "--nodes", type=click.IntRange(2, 64), default=3, show_default=True, help="How many nodes."
        ),
    ):
        function = decorator(function)
    return function


_runs = click.option(
    "--runs", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How often."
)


@bench.command()
@click.option(
    "--how",
    type=click.Choice(["crash", "power", "host"]),
    required=True,
    help="Kill the master's agent; all of it in silence; or the primary's host.",
)
@_runs
@_common
def failover(how: str, runs: int, as_json: bool, **options: Any) -> int:
    """Measure the outage when the master is lost.

    \b
    JSON: {how, profile, durability, runs, outage_ms: {min, median, p99, max}, acknowledged, lost, doubled}
    """
    from primacy.bench import outages

    return _outages(outages.failover(how, runs, _setup(**options), say), as_json)


@bench.command(name="vice-loss")
@click.option(
    "--how",
    type=click.Choice(["crash", "power"]),
    required=True,
    help="Kill the vice's agent, or all of it in silence.",
)
@_runs
@_common
def vice_loss(how: str, runs: int, as_json: bool, **options: Any) -> int:
    """Measure the outage when the vice is lost."""
    from primacy.bench import outages

    return _outages(outages.vice_loss(how, runs, _setup(**options), say), as_json)


@bench.command()
@_runs
@_common
def switchover(runs: int, as_json: bool, **options: Any) -> int:
    """Measure the outage of a planned switchover."""
    from primacy.bench import outages

    return _outages(outages.switchover(runs, _setup(**options), say), as_json)


@bench.command()
@click.option(
    "--inflight", "in_flight", type=click.IntRange(1, 1000), default=64, show_default=True, metavar="K"
)
@click.option("--seconds", type=click.FloatRange(0.5, 3600), default=10.0, show_default=True, metavar="S")
@_common
def throughput(in_flight: int, seconds: float, as_json: bool, **options: Any) -> int:
    """Measure acknowledged writes a second with K writes in flight.

    \b
    JSON: {inflight, profile, durability, seconds, acknowledged_per_s, latency_ms: {min, median, p99, max},
      fdatasync_ms, fdatasync_count, acknowledged, lost, doubled}
    fdatasync_ms: one sync of 4 KiB by itself in that directory; fdatasync_count: what the disk counted in the
    measured time (null where it does not tell).
    """
    from primacy.bench.throughput import throughput as measure

    found = _run(measure(in_flight, seconds, _setup(**options), say))
    return _tell(found.plain(), found.sentence(), as_json)


@bench.command()
@click.option("--seconds", type=click.FloatRange(1, 3600), default=30.0, show_default=True, metavar="S")
@_common
def idle(seconds: float, as_json: bool, **options: Any) -> int:
    """Measure what each node costs that has nothing to do: processor and memory of all its processes."""
    from primacy.bench.idle import idle as measure

    costs = _run(measure(_setup(**options), say, seconds))
    if as_json:
        print_json([cost.plain() for cost in costs])
        return common.OK
    for cost in costs:
        click.echo(
            f"{cost.node} ({cost.role}, {cost.processes} processes): {cost.cpu_percent:.2f} % of a core, "
            f"{cost.pss_mib:.1f} MiB"
        )
    return common.OK


@bench.command()
@_runs
@_common
def functions(runs: int, as_json: bool, **options: Any) -> int:
    """Measure how long each function takes with empty callbacks; of the nodes, three may be master.

    \b
    JSON: {nodes, profile, duration_ms: {FUNCTION: {runs, min, median, p99, max}}}
    initialize and reconnect: as the coordinator of each node counts them, from their first level to their last;
    any other function: from the request to its answer.
    """
    from primacy.bench.functions import functions as measure

    found = _run(measure(runs, _many(**options), say))
    if as_json:
        print_json(found.plain())
    else:
        click.echo("\n".join(found.lines()))
    return common.OK


@bench.command()
@_runs
@_common
def reconnect(runs: int, as_json: bool, **options: Any) -> int:
    """Measure how far apart the nodes reconnect after a switchover; of the nodes, three may be master.

    \b
    JSON: {nodes, profile, runs, spread_ms: {min, median, p99, max}, after_ms: {min, median, p99, max}}
    spread_ms: from the first node's reconnect sequence to the last one's; after_ms: from the new master's
    service to the end of the last one.
    """
    from primacy.bench.reconnect import reconnect as measure

    found = _run(measure(runs, _many(**options), say))
    if as_json:
        print_json(found.plain())
    else:
        click.echo(found.sentence())
    return common.OK


def _many(**options: Any) -> Setup:
    """Return the setup of a measurement of the coordinators: empty callbacks, three nodes that may be master."""
    from dataclasses import replace

    setup = _setup(**options)
    return replace(setup, empty=True, eligible=min(ELIGIBLE, setup.nodes))


def _setup(nodes: int, profile: str, durability: str, parent: str | None) -> Setup:
    from primacy.bench.cluster import Setup

    return Setup(nodes, profile, durability, parent)


def _outages(measurement: Coroutine[Any, Any, Any], as_json: bool) -> int:
    found = _run(measurement)
    return _tell(found.plain(), found.sentence(), as_json)


def _tell(plain: dict[str, Any], sentence: str, as_json: bool) -> int:
    if as_json:
        print_json(plain)
    else:
        click.echo(sentence)
    return common.FAILED if plain["lost"] or plain["doubled"] else common.OK


def _run(measurement: Coroutine[Any, Any, Any]) -> Any:
    """Run a measurement in the loop that clients of a production would use."""
    import uvloop

    return uvloop.run(measurement)
