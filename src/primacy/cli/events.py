"""`primacy events`: what happened, on all nodes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import click

from primacy.cli import common, render
from primacy.cli.common import deadline_option, directory_option, is_terminal, json_option
from primacy.cli.event_filter import Filter, function_named, kinds_named, moment, one_of, services_of
from primacy.cli.event_source import EventSource
from primacy.machines.story import Story
from primacy.machines.timeline import Event

Row = tuple[Event, bool]  # the event, and whether the story tells it


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what happens until Ctrl-C.")
@click.option("--all", "details", is_flag=True, help="Show the details, too: every level, server and link.")
@click.option("--node", metavar="NODE", help="Only what this node has published.")
@click.option("--service", metavar="NAME", help="Only what names this service; its details, too.")
@click.option("--function", metavar="NAME", help="Only this function (failover, ...); its details, too.")
@click.option(
    "--kind", "kinds", metavar="KIND", multiple=True, help="Only this kind of event; may be repeated."
)
@click.option("--term", type=click.IntRange(0), metavar="N", help="Only what happened in this term.")
@click.option("--since", metavar="WHEN", help="Only what is younger: 90s, 10m, 1h30m, or a time in ISO 8601.")
@click.option(
    "--limit", "--last", "limit", type=click.IntRange(0), metavar="N", help="Only the last N of these."
)
@directory_option
@deadline_option(3.0)
@json_option
def events(
    follow: bool,
    details: bool,
    node: str | None,
    service: str | None,
    function: str | None,
    kinds: Sequence[str],
    term: int | None,
    since: str | None,
    limit: int | None,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Show the events of all nodes in causal order.

    Every node is asked for its own, those before its last start included. Each node's stay in the node's own order;
    what follows a master's word comes after it; clocks decide only what nothing else does. Of nodes that do not
    answer, a cluster on this machine reads the files; elsewhere a line on standard error names them.

    The story is shown: each fact once, from the node whose word counts. --all shows the details as well.

    With --json each event is one line: {node, incarnation, number, wall_ns, detail, sentence,
    event: {event, term, ...}}.
    """
    chosen = Filter(
        service=service,
        function=function_named(function),
        kinds=kinds_named(kinds),
        term=term,
        since_ns=moment(since, time.time_ns()),
        details=details,
    )
    try:
        common.run_async(_show(chosen, node, limit, directory, deadline_s, follow, as_json))
    except KeyboardInterrupt:
        if not follow:
            raise
    return common.OK


async def _show(
    chosen: Filter,
    node: str | None,
    limit: int | None,
    directory: str | None,
    deadline_s: float,
    follow: bool,
    as_json: bool,
) -> None:
    from dataclasses import replace

    async with EventSource(directory, deadline_s, common.say) as source:
        if node is not None:
            chosen = replace(chosen, node=one_of("--node", source.node_named(node), source.nodes))
        story = Story()
        found = await source.gather()
        if not follow:
            one_of(
                "--service", chosen.service, sorted({name for event in found for name in services_of(event)})
            )
        rows = _rows(found, story, chosen)
        _print(rows if limit is None else rows[max(0, len(rows) - limit) :], as_json)
        while follow:
            _print(_rows(await source.news(), story, chosen), as_json)


def _rows(found: Sequence[Event], story: Story, chosen: Filter) -> list[Row]:
    told = [(event, story.tells(event)) for event in found]
    return [row for row in told if chosen.takes(*row)]


def _print(rows: Sequence[Row], as_json: bool) -> None:
    if not rows:
        return
    if as_json:
        lines = [json.dumps(event | {"detail": not told}, ensure_ascii=False) for event, told in rows]
        click.echo("\n".join(lines))
    elif is_terminal():
        from rich.console import Console

        Console().print(render.events_text([event for event, _ in rows]), soft_wrap=True)
    else:
        click.echo("\n".join(render.event_line(event) for event, _ in rows))
