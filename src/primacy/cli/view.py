"""`primacy status`: what is."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click

from primacy.cli import common, render
from primacy.cli.common import deadline_option, directory_option, is_terminal, json_option, print_json
from primacy.errors import NoPrimary
from primacy.local import layout as layouts
from primacy.local.layout import Layout

FOLLOW_AGAIN_S = 0.1


@click.command()
@click.option("--watch", is_flag=True, help="Keep it up to date until Ctrl-C.")
@directory_option
@deadline_option(5.0)
@json_option
def status(watch: bool, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Show the cluster: term, master, vice, every node and every service.

    \b
    With --json: {cluster, term, master, vice, vice_ready, in_service, waits,
      nodes: [{id, incarnation, role, eligible, links: [{address, up}], servers: {service: state},
               function, level}],
      services: [{name, primary, secondary, durability, sequence, lag}]}
    role: master, vice, available, spare, ineligible or out; with --watch one such line for each change.

    Exit codes: 0 in service; 4 not in service, or no agent answers (what is known is shown all the same).
    """
    if watch and not as_json:
        common.run_async(_watch(layouts.existing(directory)))
        return common.OK
    if watch:
        common.run_async(_watch_json(directory, deadline_s))
    found = common.run_async(fetch(directory, deadline_s))
    if as_json:
        print_json(found)
    elif is_terminal():
        from rich.console import Console

        Console().print(render.status_tables(found))
    else:
        click.echo("\n".join(render.status_lines(found)))
    return common.OK if found.get("in_service") else common.NO_PRIMARY


async def fetch(directory: str | None, deadline_s: float) -> dict[str, Any]:
    """Return the status from an agent; of a local cluster that does not answer, what is known of its
    processes.
    """
    try:
        async with common.connected(directory, deadline_s) as cluster:
            found: dict[str, Any] = await cluster.control("status", deadline_s=deadline_s)
            return found
    except NoPrimary:
        layout = layouts.find(directory)
        if not layout.exists:
            raise
        from primacy.local.status import local_status

        return local_status(layout)


async def _watch(layout: Layout) -> None:
    from primacy.cli import live

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await live.show(layout, stop, with_events=is_terminal())


async def _watch_json(directory: str | None, deadline_s: float) -> None:
    told: dict[str, Any] = {}
    while True:
        found = await fetch(directory, deadline_s)
        if found != told:
            told = found
            click.echo(_json_line(found))
        await asyncio.sleep(FOLLOW_AGAIN_S)


def _json_line(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)
