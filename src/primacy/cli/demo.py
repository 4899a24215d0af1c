"""`primacy demo`: a cluster of three nodes with real names in it, a client that writes, and faults to
watch.
"""

from __future__ import annotations

import click

from primacy.cli import common
from primacy.cli.common import directory_option, is_terminal


@click.command()
@click.option(
    "--once", is_flag=True, help="Run through all faults by itself, then stop.  [default without a terminal]"
)
@click.option("--profile", type=click.Choice(["carrier", "lan", "wan"]), default="lan", show_default=True)
@directory_option
def demo(once: bool, profile: str, directory: str | None) -> int:
    """Start three nodes, load the names of /etc/services, keep a client writing, and show it.

    On a terminal it shows the cluster live and says what to try from a second terminal, until Ctrl-C. With
    --once (or without a terminal) it kills the master by crash and by power, switches over, prints each
    measured outage and the writes that were lost or doubled, and stops.

    Exit codes: 0 nothing lost or doubled; 1 something was; 4 the cluster does not get into service.
    """
    from primacy.cli import demo_run

    once = once or not is_terminal()
    if directory is None and not once:
        directory = ".primacy"
    return common.run_async(demo_run.run(directory, profile, once))
