"""`primacy switchover`, `shutdown`, `link`: functions of the cluster, asked of its agents."""

from __future__ import annotations

from typing import Any

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, node_named, print_json, say
from primacy.errors import ConfigError


@click.command()
@click.option("--to", "node", metavar="NODE", help="Who is to be master.  [default: the vice]")
@click.option("--dry-run", is_flag=True, help="Only tell whether it can be done, and every reason why not.")
@click.option("--reason", default="an operator asked for it", help="For the events.")
@directory_option
@deadline_option(30.0)
@json_option
def switchover(
    node: str | None, dry_run: bool, reason: str, directory: str | None, deadline_s: float, as_json: bool
) -> int:
    """Hand mastership over, in order: calls are held meanwhile, none is lost, none is done twice.

    \b
    Exit codes: 0 done (or with --dry-run: possible); 3 refused, with all reasons; 4 there is no master now;
    5 the agent that was asked went away: see `primacy status`.
    """
    found = common.run_async(_switchover(directory, node, dry_run, reason, deadline_s))
    if as_json:
        print_json(found)
    elif dry_run:
        say(f"possible: from {found['from']} to {found['to']}; nothing was done")
    else:
        took_ms = found["duration_ms"]
        say(f"{found['to']} is master of term {found['term']}, {took_ms:.1f} ms after the request")
    return common.OK


@click.command()
@click.argument("node", required=False)
@click.option("--all", "everything", is_flag=True, help="The whole cluster.")
@click.option("--halt", is_flag=True, help="Halt the machine when its node has left.")
@click.option("--reboot", is_flag=True, help="Reboot the machine when its node has left.")
@click.option("--dry-run", is_flag=True, help="Only tell whether it can be done, and every reason why not.")
@click.option("--reason", default="an operator asked for it", help="For the events.")
@directory_option
@deadline_option(60.0)
@json_option
def shutdown(
    node: str | None,
    everything: bool,
    halt: bool,
    reboot: bool,
    dry_run: bool,
    reason: str,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Shut a NODE (an id, `master` or `vice`) down in order, or with --all the whole cluster.

    The master hands over first, and the vice to another vice where there is one.

    With --halt or --reboot each node's guardian does so to its machine at the very end: by the boot parameter
    `halt_command` or `reboot_command`, else by systemd where it runs. A node that can do neither is a reason to refuse
    the whole shutdown before it begins. Nodes made by `primacy up` only write the command to their log.

    \b
    Exit codes: 0 done (or with --dry-run: possible); 3 refused, with all reasons;
    4 there is no such role now; 5 the agent that was asked went away.
    """
    if (node is None) != everything:
        raise click.UsageError("name a NODE, or give --all")
    if halt and reboot:
        raise click.UsageError("--halt or --reboot, not both")
    then = "halt" if halt else "reboot" if reboot else ""
    found = common.run_async(_shutdown(directory, node, then, dry_run, reason, deadline_s))
    if as_json:
        print_json(found)
    else:
        done = f"shut down: {', '.join(found.get('stopped', []))}"
        say("possible; nothing was done" if dry_run else done)
        for line in system_lines(found.get("system", {})):
            say(line)
    return common.OK


@click.command()
@click.argument("node")
@click.argument("link")
@click.argument("state", type=click.Choice(["down", "up"]))
@directory_option
@deadline_option(5.0)
@json_option
def link(node: str, link: str, state: str, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Take a LINK (1, 2, ... or its address) of a NODE down, or up again.

    The node drops all traffic of a link that is down, both ways. The last link can be taken down as well:
    then nobody reaches the node any more, this command included.

    Exit codes: 0 done; 4 the node's agent cannot be reached; 78 no such node or link.
    """
    found = common.run_async(_link(directory, node, link, state == "up", deadline_s))
    if as_json:
        print_json(found)
    else:
        say(f"{found['node']}: link {found['number']} ({found['address']}) is {state}")
    return common.OK


async def _switchover(
    directory: str | None, node: str | None, dry_run: bool, reason: str, deadline_s: float
) -> dict[str, Any]:
    async with common.connected(directory, deadline_s) as cluster:
        to = node_named(node, cluster.topology.master, cluster.topology.vice) if node else None
        found: dict[str, Any] = await cluster.control(
            "switchover", deadline_s=deadline_s, to=to, dry_run=dry_run, reason=reason
        )
        return found


async def _shutdown(
    directory: str | None, node: str | None, then: str, dry_run: bool, reason: str, deadline_s: float
) -> dict[str, Any]:
    async with common.connected(directory, deadline_s) as cluster:
        which = node_named(node, cluster.topology.master, cluster.topology.vice) if node else None
        found: dict[str, Any] = await cluster.control(
            "shutdown", deadline_s=deadline_s, node=which, dry_run=dry_run, reason=reason, then=then
        )
        return found


def system_lines(system: dict[str, dict[str, Any]]) -> list[str]:
    """Return what becomes of each node's machine, in words."""
    lines = []
    for node, found in sorted(system.items()):
        what = f"{node}: {found['then']} by `{found['command']}`"
        printed = 'written to its log only, the machine goes on (its boot parameter os_commands = "print")'
        lines.append(what if found["run"] else f"{what}: {printed}")
    return lines


async def _link(directory: str | None, node: str, word: str, up: bool, deadline_s: float) -> dict[str, Any]:
    from primacy.cli.agents import ask

    async with common.connected(directory, deadline_s) as cluster:
        which = node_named(node, cluster.topology.master, cluster.topology.vice)
        entry = next((each for each in cluster.topology.nodes if each.id == which), None)
        if entry is None:
            known = ", ".join(each.id for each in cluster.topology.nodes)
            raise ConfigError("NODE", repr(which), f"want one of {known}, master or vice")
        addresses = [host for host, _ in entry.agent]
        index = link_index(word, addresses)
        await ask(cluster, directory, which, "link", {"link": index, "up": up}, deadline_s)
        return {"node": which, "link": index, "number": index + 1, "address": addresses[index], "up": up}


def link_index(word: str, addresses: list[str]) -> int:
    """Return the index from 0 of the link that a LINK argument means: its number from 1, or its address."""
    if word in addresses:
        return addresses.index(word)
    if word.isascii() and word.isdecimal() and 1 <= int(word) <= len(addresses):
        return int(word) - 1
    known = ", ".join(f"{number} ({address})" for number, address in enumerate(addresses, 1))
    raise ConfigError("LINK", repr(word), f"want one of {known}")
