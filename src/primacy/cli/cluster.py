"""`primacy up`, `down`, `start`, `kill`: a cluster on this machine, its processes, and faults to try on
them.
"""

from __future__ import annotations

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, fail, json_option, print_json, say
from primacy.local import layout as layouts


@click.command()
@click.option(
    "--nodes", "nodes_count", type=int, metavar="N", help="How many nodes a new cluster has.  [default: 3]"
)
@directory_option
@click.option("--profile", metavar="P", help="Timing: carrier, lan or wan.  [default: lan]")
@click.option(
    "--config", "file", metavar="FILE", type=click.Path(), help="The configuration table of a new cluster."
)
@click.option(
    "--service", "services", multiple=True, metavar="FILE.py:Class", help="A service to run; may be repeated."
)
@click.option(
    "--local",
    multiple=True,
    metavar="FILE.py:Class",
    help="A local service, to run on every node; may be repeated.",
)
@click.option(
    "--port",
    type=int,
    metavar="PORT",
    help="First port of the nodes' blocks.  [default: the first that is free]",
)
@click.option("--detach", is_flag=True, help="Return when the cluster is in service.")
@click.option(
    "--timeout",
    "limit_s",
    type=click.FloatRange(0.1, 600),
    metavar="S",
    help="How long it may take to be in service.  [default: 20, and 2 more for each node beyond 8]",
)
@json_option
def up(
    nodes_count: int | None,
    directory: str | None,
    profile: str | None,
    file: str | None,
    services: tuple[str, ...],
    local: tuple[str, ...],
    port: int | None,
    detach: bool,
    limit_s: float | None,
    as_json: bool,
) -> int:
    """Start a cluster on this machine, and show it; Ctrl-C stops it in order.

    Without a cluster in the directory a new one is made there: its table, ledger, keys and certificates. A
    directory that holds a cluster already starts that one, with its own table; options that ask for another
    table are an error. With --detach the command returns when the cluster is in service with a ready vice, or
    says why it is not.

    \b
    Exit codes: 0 in service; 4 not in service in time (the nodes go on trying);
    78 an option, the table or a service's code is wrong, or a port is taken.
    """
    from primacy.cli.up import Wanted, up_and_stay

    if file is not None and (nodes_count is not None or profile is not None or port is not None):
        raise click.UsageError(
            "--config names nodes, ports and profile: leave out --nodes, --profile and --port"
        )
    wanted = Wanted(nodes_count, profile, file, services, port, local)
    return common.run_async(up_and_stay(layouts.find(directory), wanted, detach, limit_s, as_json))


@click.command()
@directory_option
@json_option
def down(directory: str | None, as_json: bool) -> int:
    """Stop all nodes of the cluster in order; their data stays, and `up` starts them again.

    A node that is frozen, or does not stop in time, is killed: then the exit code is 1.
    """
    from primacy.local import bring_up, nodes

    layout = layouts.existing(directory)
    running = nodes.running(layout)
    killed = common.run_async(bring_up.stop_all(layout, say, "primacy down"))
    stopped = [node for node in running if node not in killed]
    if as_json:
        print_json({"stopped": stopped, "killed": killed})
    else:
        say(
            f"stopped: {', '.join(stopped) or 'nothing ran'}"
            + (f"; killed: {', '.join(killed)}" if killed else "")
        )
    return common.FAILED if killed else common.OK


@click.command()
@click.argument("node")
@directory_option
@deadline_option(15.0)
@json_option
def start(node: str, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Start a NODE of this machine that does not run, and wait until it is a member.

    \b
    Exit codes: 0 it is a member; 3 it runs already, or is frozen; 4 it did not become one in time.
    """
    from primacy.cli.up import start_one

    layout = layouts.existing(directory)
    layouts.known_node(layout, node)
    entry, lines = common.run_async(start_one(layout, node, deadline_s))
    if entry is None:
        fail(
            common.NO_PRIMARY,
            [f"{node} was started, and is no member after {deadline_s:g} s", *lines],
            as_json,
        )
    if as_json:
        print_json(entry)
    else:
        say(f"{node} is {entry['role']}")
    return common.OK


@click.command()
@click.argument("node")
@click.option(
    "--how", type=click.Choice(["crash", "power", "freeze", "thaw"]), required=True, help="Which fault."
)
@click.option("--service", metavar="NAME", help="With crash: kill only the node's host of this service.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the new master.")
@directory_option
@deadline_option(20.0)
@json_option
def kill(
    node: str,
    how: str,
    service: str | None,
    no_wait: bool,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Try a fault on a NODE (an id, `master` or `vice`) of this machine.

    \b
    crash   SIGKILL to the agent, or with --service to that service's host
    power   silent: all processes of the node are stopped, and killed when the rest goes on without it,
            so that neither a closed connection nor an obituary tells of it; `primacy start` brings it back
    freeze  all processes of the node are stopped ...
    thaw    ... and continue

    If the node was the master, the command waits until another one serves, and tells how long that took.

    \b
    Exit codes: 0 done, and another master serves if it was the master; 3 refused (the node does not run,
    is frozen already, ...); 4 there is no such role now; 5 done, but no other master serves in time.
    """
    from primacy.cli.kill import try_fault

    if service is not None and how != "crash":
        raise click.UsageError("--service goes with --how crash")
    layout = layouts.existing(directory)
    report = common.run_async(try_fault(layout, node, how, service, 0.0 if no_wait else deadline_s))
    if as_json:
        print_json(report.plain())
    else:
        for line in report.sentences():
            say(line)
    return common.DEADLINE if report.late else common.OK
