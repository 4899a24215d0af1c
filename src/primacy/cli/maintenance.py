"""`primacy maintenance`: no automatic failover of the cluster, or no role for a node, for a while."""

from __future__ import annotations

import re
from typing import Any

import click

from primacy.cli import common, render
from primacy.cli.common import deadline_option, directory_option, json_option, node_named, print_json, say
from primacy.cli.last_resort import operator
from primacy.machines.maintenance import FOR_S_MAX

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return a time such as 90s, 30m, 2h, 1h30m or 1d in seconds."""
    if value is None:
        return None
    parts = _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise click.BadParameter(
            f"{value!r}: want a time such as 90s, 30m, 2h, 1h30m or 1d", context, parameter
        )
    total_s = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < total_s <= FOR_S_MAX:
        want = f"want more than nothing, and at most {FOR_S_MAX / 86_400:.0f}d"
        raise click.BadParameter(f"{value!r}: {want}", context, parameter)
    return total_s


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]), required=False)
@click.argument("node", required=False)
@click.option(
    "--for", "for_s", callback=seconds, metavar="TIME", help="It ends by itself after 90s, 30m, 2h, 1d."
)
@click.option("--reason", default="", help="For status and events.")
@directory_option
@deadline_option(10.0)
@json_option
def maintenance(
    state: str | None,
    node: str | None,
    for_s: float | None,
    reason: str,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Switch maintenance on or off; without an argument show what is on.

    \b
    of the cluster   nobody claims mastership by itself: no failover, no formation; a switchover
                     is possible, and so is `primacy failover --force`
    of a NODE        it gets no role: it is not appointed; if it is the vice, another one is. The
                     master switches over first

    It survives restarts of all nodes. Without --for it lasts until it is switched off; `status` shows it.

    \b
    Exit codes: 0 done; 3 refused, with all reasons; 4 no agent answers.
    """
    if state != "on" and (for_s is not None or reason):
        raise click.UsageError("--for and --reason go with on")
    found = common.run_async(_maintenance(directory, state or "show", node, for_s, reason, deadline_s))
    if as_json:
        print_json(found)
        return common.OK
    if found.get("changed") is False:
        say("it was not on")
    lines = render.maintenance_lines(found)
    click.echo("\n".join(lines) if lines else "no maintenance")
    return common.OK


async def _maintenance(
    directory: str | None, action: str, node: str | None, for_s: float | None, reason: str, deadline_s: float
) -> dict[str, Any]:
    async with common.connected(directory, deadline_s) as cluster:
        which = node_named(node, cluster.topology.master, cluster.topology.vice) if node else None
        found: dict[str, Any] = await cluster.control(
            "maintenance",
            deadline_s=deadline_s,
            action=action,
            node=which,
            for_s=for_s,
            reason=reason,
            by=operator(),
        )
        return found
