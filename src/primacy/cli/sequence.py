"""`primacy sequence FUNCTION`: what will run, on which level, in which order, and what each level waits for."""

from __future__ import annotations

from typing import Any

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, node_named, print_json
from primacy.machines.ids import Function


@click.command()
@click.argument("function", type=click.Choice([each.value for each in Function]))
@click.option("--node", metavar="NODE", help="On which node.  [default: the master, else any]")
@directory_option
@deadline_option(5.0)
@json_option
def sequence(function: str, node: str | None, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Show the plan of a FUNCTION on a node: its levels in the order in which they run.

    Each callback is shown with its time-out and with what its failure means, each level with its barrier. node: the
    level begins when the level before it is complete on this node. cluster: not before the master has completed
    the same level, either (master first).

    \b
    With --json: {node, function, steps: [callback],
      halves: [{half, where, begins, order, refusable, levels: [{level, barrier, callbacks: [callback]}]}]}
    callback: {level, service, callback, timeout_s, on_failure, retries, delay_s}
    Exit codes: 0 shown; 2 no such function; 4 the node's agent cannot be reached; 78 no such node.
    """
    found = common.run_async(_ask(function, node, directory, deadline_s))
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(lines(found)))
    return common.OK


def lines(found: dict[str, Any]) -> list[str]:
    """Return a plan as people read it."""
    told = []
    for half in found["halves"]:
        refusal = "; a refusal undoes all of it" if half["refusable"] else ""
        head = f"{found['function']}, {half['half']}: on {half['where']}, {half['begins']}; {half['order']}{refusal}"
        told.append(head)
        for level in half["levels"]:
            told.append(f"  level {level['level']}, barrier {_barrier(level)}")
            told += [f"    {_callback(row)}" for row in level["callbacks"]]
        if not half["levels"]:
            told.append(f"  no service on {found['node']} has registered a callback")
    return told


def _barrier(level: dict[str, Any]) -> str:
    return "cluster (the master first)" if level["barrier"] == "cluster" else str(level["barrier"])


def _callback(row: dict[str, Any]) -> str:
    failure = row["on_failure"]
    if failure == "retry":
        failure = f"retry {row['retries']} times, {row['delay_s']:g} s apart"
    return f"{row['service']}.{row['callback']}  at most {row['timeout_s']:g} s, on failure: {failure}"


async def _ask(function: str, node: str | None, directory: str | None, deadline_s: float) -> dict[str, Any]:
    from primacy.cli.agents import ask

    async with common.connected(directory, deadline_s) as cluster:
        topology = cluster.topology
        which = node_named(node, topology.master, topology.vice) if node else topology.master
        arguments = {"function": function}
        found: dict[str, Any]
        if which:
            found = await ask(cluster, directory, which, "sequence", arguments, deadline_s)
        else:
            found = await cluster.control("sequence", deadline_s=deadline_s, **arguments)
        return found
