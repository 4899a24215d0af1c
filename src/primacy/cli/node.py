"""`primacy node`: the guardian of one node. `main` runs it before click is imported; here is its help."""

from __future__ import annotations

import sys

import click

from primacy import boot

_HELP = """Run one node of a cluster: its guardian, which starts all the rest.

\b
{parameters}
--file           The file of boot parameters (else node.toml in the directory, if there is one).
--show-boot      Only print each parameter, its value and where it was found (--json: as JSON).

Each is looked for on the command line, then on the kernel's command line (primacy.NAME=), in the environment
(PRIMACY_NAME) and in the file.

Exit codes: 0 stopped in order; 1 not in order; 75 another guardian or a leftover has the directory;
78 configuration.
"""
_PARAMETERS = "\n".join(f"{each.option:<16} {each.help}" for each in boot.PARAMETERS)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    help=_HELP.format(parameters=_PARAMETERS),
)
@click.pass_context
def node(context: click.Context) -> int:
    """Run the guardian with the options that follow."""
    from primacy.guardian import main

    return main(context.args or sys.argv[2:])
