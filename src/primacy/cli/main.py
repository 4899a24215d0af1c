"""The entry of `primacy`: which commands there are, and where each of them is.

It must stay light: this module imports click and nothing of the project but what click needs, and a
command's module is imported when the command runs. `primacy node` does not even import click: a guardian
needs the standard library.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click


class Command(NamedTuple):
    """Where a command is (`module:function`), and its line in the help."""

    home: str
    help: str


COMMANDS = {
    "up": Command("primacy.cli.cluster:up", "Start a cluster on this machine."),
    "down": Command("primacy.cli.cluster:down", "Stop the cluster of a directory."),
    "status": Command("primacy.cli.view:status", "Who is master, who is vice, what state each server is in."),
    "events": Command("primacy.cli.events:events", "What happened, on all nodes, in causal order."),
    "switchover": Command("primacy.cli.functions:switchover", "Hand mastership over to the vice, in order."),
    "failover": Command("primacy.cli.last_resort:failover", "Make a node master by force: the last resort."),
    "maintenance": Command(
        "primacy.cli.maintenance:maintenance", "No automatic failover, or no role for a node."
    ),
    "shutdown": Command("primacy.cli.functions:shutdown", "Shut a node down in order, or all."),
    "sequence": Command(
        "primacy.cli.sequence:sequence", "The plan of a function: levels, callbacks, barriers."
    ),
    "promote": Command("primacy.cli.ladder:promote", "Make a spare node available: it may be elected vice."),
    "demote": Command("primacy.cli.ladder:demote", "Keep an available node back as a spare."),
    "qualify": Command("primacy.cli.ladder:qualify", "Make a node eligible, as a spare."),
    "disqualify": Command("primacy.cli.ladder:disqualify", "Take a node's eligibility away."),
    "remove": Command("primacy.cli.ladder:remove", "Shut a node down and delete it from the table."),
    "start": Command("primacy.cli.cluster:start", "Start a node that does not run."),
    "kill": Command("primacy.cli.cluster:kill", "Try a fault on a node: crash, power, freeze, thaw."),
    "link": Command("primacy.cli.functions:link", "Take a link of a node down, or up again."),
    "names": Command("primacy.cli.names:names", "The naming service."),
    "call": Command("primacy.cli.services:call", "Call an operation or a query of a service."),
    "add": Command("primacy.cli.add:add", "Add a node to the cluster of this machine."),
    "node": Command("primacy.cli.node:node", "Run one node (what `up` starts for each)."),
    "config": Command("primacy.cli.table:config", "The configuration table."),
    "explain": Command("primacy.cli.why:explain", "Why a node became master; decide it again."),
    "what-if": Command("primacy.cli.why:what_if", "What would happen, or every reason against it."),
    "bench": Command("primacy.cli.bench:bench", "Measure failover, switchover and throughput."),
    "sim": Command("primacy.cli.sim:sim", "Whole clusters in virtual time, with faults; planted bugs."),
    "demo": Command("primacy.cli.demo:demo", "A cluster of three nodes, and faults to watch."),
}

EXIT_CODES = (
    (0, "done"),
    (1, "failed"),
    (2, "wrong usage of the command"),
    (3, "refused; every reason is printed, and nothing was done"),
    (4, "no primary, not in service, or no agent answers; nothing was done"),
    (5, "no answer before the deadline; the message says whether it may have been done"),
    (6, "a limit is reached, or the session has expired; nothing was done"),
    (7, "the operation itself raised an error, on every replica alike"),
    (75, "another guardian has the node's directory"),
    (78, "configuration: a table, an option, a key file or a service's code is wrong; nothing was changed"),
    (130, "interrupted"),
)


class Group(click.Group):
    """A group whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it."""
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        module, _, name = found.home.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing one, and the exit codes."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES])


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="primacy", message="%(prog)s %(version)s")
def primacy() -> None:
    """One primary, always: centralized system services on a cluster of nodes.

    Every command that talks with a cluster takes --dir (else $PRIMACY_DIR, else ./.primacy); wherever a
    NODE is wanted, `master` and `vice` are understood; --json prints one JSON value.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["node"] and not {"-h", "--help"} & set(words):
        from primacy.guardian import main as guardian

        return guardian(words[1:])
    from primacy.cli.common import run

    return run(primacy, words)


if __name__ == "__main__":
    sys.exit(main())
