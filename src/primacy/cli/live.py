"""The live view: nodes, roles, levels in progress, services and the last events, drawn anew whenever they
change.

On a terminal it is one screen that is kept up to date; elsewhere each event and each change of the headline
is one plain line. A cluster that does not answer for a while is shown as it was, with what is known of its
processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from primacy.cli import render
from primacy.cli.common import is_terminal
from primacy.client import connect
from primacy.errors import CallError, ConfigError
from primacy.local.event_files import EventFiles
from primacy.local.layout import Layout
from primacy.local.status import local_status
from primacy.machines.story import Story
from primacy.machines.timeline import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_S = 0.2
ASK_LIMIT_S = 1.0
EVENTS_KEPT = 200


class Watcher:
    """Keeps the last status and the last events of a local cluster."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files = EventFiles(layout)
        self._story = Story()
        self.status: dict[str, Any] = {}
        self.events: list[Event] = []
        self.fresh: list[Event] = []
        """Events that nobody has taken from here yet (who shows lines does)."""
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Look again and again, for ever; a cluster that is gone is dialed anew."""
        while True:
            with suppress(CallError, ConfigError):
                async with connect(directory=self._layout.root, deadline_s=ASK_LIMIT_S) as cluster:
                    pushed = asyncio.Event()
                    cluster.on_change(lambda _, pushed=pushed: pushed.set())  # type: ignore[misc]
                    while True:
                        status = await cluster.control("status", deadline_s=ASK_LIMIT_S)
                        self._note(status)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(REFRESH_S):
                                await pushed.wait()
                        pushed.clear()
            self._note(await asyncio.to_thread(local_status, self._layout))
            await asyncio.sleep(REFRESH_S)

    def _note(self, status: dict[str, Any]) -> None:
        self.status = status
        new = [event for event in self._files.read() if self._story.tells(event)]
        self.fresh = [*self.fresh, *new][-EVENTS_KEPT:]
        self.events = [*self.events, *new][-EVENTS_KEPT:]
        self.changed.set()


async def show(
    layout: Layout, stop: asyncio.Event, *, notes: Callable[[], list[str]] = list, with_events: bool = True
) -> None:
    """Show the cluster until `stop` is set; `notes` are lines of the caller's below the tables."""
    watcher = Watcher(layout)
    looking = asyncio.create_task(watcher.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        if is_terminal():
            await _on_terminal(watcher, stopping, notes, with_events)
        else:
            await _plain(watcher, stopping, notes, with_events)
    finally:
        for task in (looking, stopping):
            task.cancel()
        await asyncio.gather(looking, stopping, return_exceptions=True)


def screen(
    status: dict[str, Any], events: list[Event], notes: list[str], console: Console, with_events: bool = True
) -> RenderableType:
    """Return the whole live view, fitted to the console's height."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = (
        [render.status_tables(status)] if status else [Text("waiting for the cluster", "dim")]
    )
    if notes:
        parts += [Text(), *(Text.from_markup(note) for note in notes)]
    if with_events:
        used = sum(len(console.render_lines(part)) for part in parts)
        room = max(3, console.height - used - 3)
        parts += [Text(), Text("last events", "dim"), render.events_text(events[-room:], console.width)]
    return Group(*parts)


async def _on_terminal(
    watcher: Watcher, stopping: asyncio.Task[Any], notes: Callable[[], list[str]], with_events: bool
) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=False, auto_refresh=False, vertical_overflow="crop") as live:
        while not stopping.done():
            live.update(screen(watcher.status, watcher.events, notes(), console, with_events), refresh=True)
            await _wait_change(watcher, stopping)


async def _plain(
    watcher: Watcher, stopping: asyncio.Task[Any], notes: Callable[[], list[str]], with_events: bool
) -> None:
    headline, told = "", ""
    while not stopping.done():
        await _wait_change(watcher, stopping)
        fresh, watcher.fresh = watcher.fresh, []
        if with_events:
            for event in fresh:
                click.echo(render.event_line(event))
        if watcher.status and render.headline(watcher.status) != headline:
            headline = render.headline(watcher.status)
            click.echo(headline)
        text = "\n".join(notes())
        if text and text != told:
            told = text
            click.echo(text)


async def _wait_change(watcher: Watcher, stopping: asyncio.Task[Any]) -> None:
    """Wait until there is something new to show, or `stop` is set."""
    watcher.changed.clear()
    changed = asyncio.create_task(watcher.changed.wait())
    await asyncio.wait([changed, stopping], return_when=asyncio.FIRST_COMPLETED)
    changed.cancel()
