"""`primacy add`: one node more in the configuration table, and what it needs to start on this machine."""

from __future__ import annotations

from typing import Any

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, print_json, say
from primacy.config import PORTS, Node, Table, with_node


@click.command()
@click.argument("node")
@click.option(
    "--links", metavar="A,B", help="Its addresses, one for each link.  [default: as the other nodes]"
)
@click.option("--port", type=int, metavar="PORT", help="First of its ports.  [default: the next free block]")
@click.option("--priority", type=int, default=0, show_default=True, help="The larger is preferred.")
@click.option("--eligible/--no-eligible", default=True, help="May it be master or vice?  [default: eligible]")
@click.option("--dry-run", is_flag=True, help="Only tell whether it can be done, and every reason why not.")
@click.option("--reason", default="an operator asked for it", help="For the events.")
@directory_option
@deadline_option(30.0)
@json_option
def add(
    node: str,
    links: str | None,
    port: int | None,
    priority: int,
    eligible: bool,
    dry_run: bool,
    reason: str,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Add a NODE to the cluster of this machine; `primacy start NODE` starts it then.

    The table gets its row, and its directory a certificate and boot parameters. All other nodes know it at once, none
    restarts. Also while the cluster is down.

    \b
    Exit codes: 0 added (or with --dry-run: possible); 3 refused, with all reasons; 78 the id is taken, or what was
    given does not fit in.
    """
    found = common.run_async(
        _add(directory, node, links, port, priority, eligible, dry_run, reason, deadline_s)
    )
    if as_json:
        print_json(found)
    elif dry_run:
        say(f"possible: {node} at {', '.join(found['links'])} port {found['port']}; nothing was done")
    else:
        say(f"{node} is added, at {', '.join(found['links'])} port {found['port']}: `primacy start {node}`")
    return common.OK


async def _add(
    directory: str | None,
    node: str,
    links: str | None,
    port: int | None,
    priority: int,
    eligible: bool,
    dry_run: bool,
    reason: str,
    deadline_s: float,
) -> dict[str, Any]:
    from primacy.cli import changing
    from primacy.local import change as local_change
    from primacy.local import layout as layouts
    from primacy.local import ports

    layout = layouts.existing(directory)
    with ports.lock():
        stands = await changing.stands(directory, deadline_s)
        row = Node(
            links=links.split(",") if links else list(next(iter(stands.table.nodes.values())).links),
            port=port if port is not None else _next_port(stands.table, ports.taken()),
            priority=priority,
            eligible=eligible,
        )
        wanted = with_node(stands.table, node, row)
        if not dry_run:
            local_change.prepare_node(layout, wanted, node)
        try:
            wish = changing.Wish(reason, dry_run, stands.revision)
            changed = await changing.change(directory, wanted, wish, deadline_s, say)
        except BaseException:
            if not dry_run and node not in (await changing.stands(directory, deadline_s)).table.nodes:
                local_change.forget_node(layout, node)
            raise
    return {"node": node, "links": row.links, "port": row.port, **changed.plain()}


def _next_port(table: Table, taken: set[int]) -> int:
    """Return the first port after all blocks of the table whose own block is free."""
    port = max(row.port for row in table.nodes.values()) + PORTS
    while taken.intersection(range(port, port + PORTS)):
        port += PORTS
    return port
