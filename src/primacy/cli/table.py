"""`primacy config`: the configuration table."""

from __future__ import annotations

from pathlib import Path

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, print_json, say


@click.group()
def config() -> None:
    """The configuration table (cluster.toml): looked at, checked, compared and changed."""


@config.command()
@click.argument("file", type=click.Path())
@json_option
def check(file: str, as_json: bool) -> int:
    """Check a table in a TOML FILE as a whole; nothing is changed.

    Exit codes: 0 it may be applied; 78 it may not: the message names the place, what stands there and what
    may.
    """
    from primacy import config as tables

    table = tables.load(Path(file))
    if as_json:
        print_json({"file": file, "nodes": sorted(table.nodes), "services": sorted(table.services),
                    "profile": table.cluster.profile})  # fmt: skip
    else:
        nodes, services = len(table.nodes), len(table.services)
        own = "its own timing" if table.timing is not None else f"profile {table.cluster.profile}"
        click.echo(f"{file}: correct: {nodes} nodes, {services} services, {own}")
    return common.OK


@config.command()
@directory_option
@deadline_option(10.0)
@json_option
def show(directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Print the table in force, as TOML that `config apply` takes back; also while the cluster is down.

    `eligible` is what qualify and disqualify have made of it. A change that is under way is told on standard error.
    """
    from primacy.cli import changing
    from primacy.local.table import to_toml

    stands = common.run_async(changing.stands(directory, deadline_s))
    if as_json:
        print_json(stands.plain())
        return common.OK
    click.echo(to_toml(stands.table).rstrip("\n"))
    say(
        f"revision {stands.revision}"
        + (f"; a change is in progress: {stands.change}" if stands.change else "")
    )
    for line in changing.outline(stands):
        say(line)
    return common.OK


@config.command()
@click.argument("file", type=click.Path())
@directory_option
@deadline_option(10.0)
@json_option
def diff(file: str, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Tell what it would take to get from the table in force to that in FILE; nothing is changed.

    \b
    Exit codes: 0 it may be applied, or there is no difference; 3 it is refused, with all reasons;
    78 the file is no table.
    """
    from primacy.cli import changing

    changed = common.run_async(
        changing.change(directory, changing.from_file(file), changing.Wish("", dry_run=True), deadline_s, say)
    )
    if as_json:
        print_json(changed.plain())
    else:
        _tell(changed.steps, "it would take")
    return common.OK


@config.command()
@click.argument("file", type=click.Path())
@click.option("--dry-run", is_flag=True, help="Only tell what it takes, and every reason against.")
@click.option("--reason", default="an operator applied a table", help="For the log and the events.")
@click.option(
    "--revision",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only if the table in force is still that of revision N (see `config show`).",
)
@click.option(
    "--replace", is_flag=True, help="Take the place of a change in progress: the rest of it is not done."
)
@click.option(
    "--no-wait", is_flag=True, help="Return when the plan stands in the ledger; the cluster goes on."
)
@directory_option
@deadline_option(300.0)
@json_option
def apply(
    file: str,
    dry_run: bool,
    reason: str,
    revision: int | None,
    replace: bool,
    no_wait: bool,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Make the table in FILE the one in force, and wait until the cluster has followed.

    First the whole plan is written into the ledger, by one swap: of two operators at once one gets a conflict, and
    nothing of his. From then on the cluster carries it out by itself, whoever dies: at once where it can, by the
    function that a change needs, or by restarting nodes one after the other, the master last after a switchover. This
    command only watches; Ctrl-C ends the watching, not the change. One change at a time: another one is refused
    meanwhile, unless it is to take its place.

    \b
    Exit codes: 0 done (or with --dry-run: possible; with --no-wait: it is in the ledger); 3 refused, with all
    reasons, and nothing was changed; 5 it has not ended in time: it goes on; 7 a step failed, or another change
    took its place: what was not done is told; 78 the file is no table; 130 interrupted: it goes on.
    """
    from primacy.cli import changing

    wanted = changing.from_file(file)
    wish = changing.Wish(reason, dry_run, revision, replace, not no_wait)
    changed = common.run_async(changing.change(directory, wanted, wish, deadline_s, say))
    if as_json:
        print_json(changed.plain())
    elif dry_run or not changed.steps:
        _tell(changed.steps, "it would take")
    elif not changed.ended:
        _tell(changed.steps, f"change {changed.change} is in the ledger, and goes on by itself")
    else:
        _tell(changed.steps, f"done, revision {changed.revision}")
    return common.OK


def _tell(steps: list[str], title: str) -> None:
    if not steps:
        say("no difference: nothing to do")
        return
    say(f"{title}:")
    for step in steps:
        say(f"  - {step}")
