"""`primacy failover --force`: the last resort, when no rule can bring the cluster back."""

from __future__ import annotations

import asyncio
import getpass
import os
from typing import Any

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, print_json, say


@click.command()
@click.option("--force", is_flag=True, help="Required: a failover that is possible happens by itself.")
@click.option("--assume-dead", metavar="NODE", help="Declare the recorded master dead, on your word.")
@click.option("--to", "node", metavar="NODE", help="Who is to be master.  [default: the freshest journals]")
@click.option("--reason", default="", help="For the record and the events.")
@click.option("--dry-run", is_flag=True, help="Only tell whether it can be done, and every reason why not.")
@directory_option
@deadline_option(30.0)
@json_option
def failover(
    force: bool,
    assume_dead: str | None,
    node: str | None,
    reason: str,
    dry_run: bool,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Make a node master by force, when nobody else can be: acknowledged writes may be lost.

    A failover that loses nothing happens by itself; `primacy switchover` moves mastership in order. Force is for the
    rest: the disk of the last master is gone, or all memories of a service with memory durability. It is refused
    while a master is heard, or anybody lives who has everything. When nothing proves that the recorded master is
    dead, say so with --assume-dead: if it still runs, cut off, it may answer its clients until it sees the new term.
    Your name and the reason are kept in the record and in an event that says what may be lost.

    \b
    Exit codes: 0 done, and it serves (or with --dry-run: possible); 3 refused, with all reasons;
    4 no agent answers; 5 done, but it does not serve yet.
    """
    if not force and not dry_run:
        raise click.UsageError(
            "a failover happens by itself, a switchover by `primacy switchover`; else give --force"
        )
    found, serves = common.run_async(_failover(directory, node, assume_dead, reason, dry_run, deadline_s))
    if as_json:
        print_json(found if dry_run else found | {"serves": serves})
    elif dry_run:
        say(f"possible: {found['to']} instead of {found['former']}; nothing was done")
        say(f"may be lost: {found['may_lose']}")
    else:
        say(
            f"{found['to']} is master of term {found['term']} by force{'' if serves else '; it does not serve yet'}"
        )
        say(f"may be lost: {found['may_lose']}")
    return common.OK if serves else common.DEADLINE


def operator() -> str:
    """Return who sits here: $USER, else the system's name for this process's user, else nothing."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return ""


async def _failover(
    directory: str | None,
    node: str | None,
    assume_dead: str | None,
    reason: str,
    dry_run: bool,
    deadline_s: float,
) -> tuple[dict[str, Any], bool]:
    async with common.connected(directory, deadline_s) as cluster:
        changed = asyncio.Event()
        cluster.on_change(lambda _: changed.set())
        found: dict[str, Any] = await cluster.control(
            "failover",
            deadline_s=deadline_s,
            to=node,
            assume_dead=assume_dead,
            reason=reason,
            by=operator(),
            dry_run=dry_run,
        )
        if dry_run:
            return found, True
        try:
            async with asyncio.timeout(deadline_s):
                while not (cluster.topology.serving and cluster.topology.term >= found["term"]):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return found, False
        return found, True
