"""`primacy qualify, promote, demote, disqualify, remove`: functions that take one node up or down its ladder.

ineligible ──qualify──▶ spare ──promote──▶ available ──(elected)──▶ vice ──(switchover)──▶ master
"""

from __future__ import annotations

from typing import Any

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, node_named, print_json, say

_EXIT_CODES = """

    \b
    Exit codes: 0 done (or with --dry-run: possible); 1 it failed, nothing is left half done; 3 refused,
    with all reasons, nothing was changed; 4 there is no master now; 5 no answer before the deadline.
    """

_HELP = {
    "promote": """Make NODE, a spare, available: its servers are initialized, and it may be elected vice.

    (This does not make it master. To make a node master: primacy switchover --to NODE.)""",
    "demote": """Keep NODE, which is available, back as a spare: its servers are ended and only registered.

    (To have another master only: primacy switchover.) The master switches over first; a vice is replaced
    first, where another node can be vice.""",
    "qualify": """Make NODE eligible: it becomes a spare, its servers are registered and not started.

    This persists over restarts. `primacy promote NODE` makes it available.""",
    "disqualify": """Take NODE's eligibility away: its servers of centralized services go offline.

    This persists over restarts. The master switches over first; a vice is replaced first, where another
    node can be vice. Local services go on.""",
    "remove": """Shut NODE down by levels, end its services, and delete it from the configuration table.

    The master switches over first; a vice is replaced first. Its directory is left as it is.""",
}
_DONE = {
    "promote": "{node} is available: it may be elected vice",
    "demote": "{node} is a spare",
    "qualify": "{node} is eligible, a spare; `primacy promote {node}` makes it available",
    "disqualify": "{node} is ineligible",
    "remove": "{node} is removed from the table; its directory is left as it is",
}


def _command(function: str) -> click.Command:
    """Return the command of one function."""

    @click.argument("node")
    @click.option(
        "--dry-run", is_flag=True, help="Only tell whether it can be done, and every reason why not."
    )
    @click.option("--reason", default="an operator asked for it", help="For the events.")
    @directory_option
    @deadline_option(60.0)
    @json_option
    def run(
        node: str, dry_run: bool, reason: str, directory: str | None, deadline_s: float, as_json: bool
    ) -> int:
        which, found = common.run_async(_ask(function, directory, node, dry_run, reason, deadline_s))
        if as_json:
            print_json(found)
        elif dry_run:
            say(f"{function} {which}: possible; nothing was done")
        else:
            say(_DONE[function].format(node=which))
            for note in found.get("notes", []):
                say(f"note: {note}")
        return common.OK

    return click.command(function, help=_HELP[function] + _EXIT_CODES)(run)


async def _ask(
    function: str, directory: str | None, node: str, dry_run: bool, reason: str, deadline_s: float
) -> tuple[str, dict[str, Any]]:
    """Return which node it was, and what came of it."""
    async with common.connected(directory, deadline_s) as cluster:
        which = node_named(node, cluster.topology.master, cluster.topology.vice)
        found: dict[str, Any] = await cluster.control(
            function, deadline_s=deadline_s, node=which, dry_run=dry_run, reason=reason
        )
        return which, found


qualify, promote, demote, disqualify, remove = (
    _command(name) for name in ("qualify", "promote", "demote", "disqualify", "remove")
)
