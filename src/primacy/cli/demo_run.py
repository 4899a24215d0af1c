"""What `primacy demo` does: a cluster, real names in it, a client that writes all the time, and faults.

The client is closed-loop and checks itself: each write inserts an id of its own, and at the end every
acknowledged id must be there exactly once, and every name must still be bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import click

from primacy.bench import client, outages
from primacy.bench import cluster as measured
from primacy.bench.client import Progress, Result
from primacy.bench.writer import SERVICE, Writer, check
from primacy.cli import common, live
from primacy.cli.common import fail, say
from primacy.client import Cluster, connect
from primacy.config import Service, Table
from primacy.errors import ConfigError
from primacy.local import bring_up, ports, table
from primacy.local.create import create
from primacy.local.layout import DIRECTORY, Layout, find
from primacy.machines.naming_files import parse_services

NODES = 3
NAMES_FILE = Path("/etc/services")
PREFIX = "services"
NAMES_BUILT_IN = "ssh 22/tcp\ndomain 53/udp\nhttp 80/tcp www\nntp 123/udp\nhttps 443/tcp\n"

STEPS = (
    ("the master's agent is killed (crash)", outages.FAULTS["crash"]),
    ("the master loses its power, in silence", outages.FAULTS["power"]),
    ("mastership is handed over (switchover)", outages.switch_over),
)


async def run(directory: str | None, profile: str, once: bool) -> int:
    """Run the demo in a directory (None: a temporary one), and return the exit code."""
    where = Path(tempfile.mkdtemp(prefix="primacy-demo-")) if directory is None else None
    layout = Layout(where / "cluster") if where is not None else find(directory)
    try:
        async with _in_service(layout, profile), connect(directory=layout.root) as cluster:
            names = await _load_names(cluster)
            if once:
                async with Writer(cluster, random.SystemRandom()) as writer:
                    await _all_faults(layout, cluster, writer)
                result = Result(len(writer.acknowledged), *await check(cluster, writer.acknowledged))
            else:
                result = await _show(layout)
            return await _judge(cluster, result, names)
    finally:
        if where is not None:
            shutil.rmtree(where, ignore_errors=True)


@contextlib.asynccontextmanager
async def _in_service(layout: Layout, profile: str) -> AsyncIterator[None]:
    """Bring the demo's cluster into service (its directory is made if there is none), and stop it at the
    end.
    """
    try:
        with ports.lock():
            in_force = await _table(layout, profile)
            started = bring_up.start_all(layout, in_force)
            outcome = await bring_up.wait_in_service(layout, in_force, started)
        if not outcome.in_service:
            fail(common.NO_PRIMARY, ["the cluster is not in service", *outcome.reasons], as_json=False)
        count, took_ms = len(in_force.nodes), outcome.in_service_ms
        click.echo(f"{count} nodes in service after {took_ms:.0f} ms in {layout.root}")
        yield
    finally:
        await bring_up.stop_all(layout, say, "the demo is over")
        click.echo("stopped")


async def _table(layout: Layout, profile: str) -> Table:
    if layout.exists:
        in_force = await bring_up.table_in_force(layout)
        if SERVICE not in in_force.services:
            raise ConfigError(str(layout.root), "a cluster that is not the demo's", "choose another --dir")
        return in_force
    row = Service(python=measured.TARGET, path=str(layout.root.parent))
    in_force = table.generate(NODES, profile, {SERVICE: row})
    await create(layout, in_force)
    return in_force


async def _load_names(cluster: Cluster) -> int:
    """Bind the names of /etc/services (a few of our own where there is none); return how many."""
    try:
        text, source = NAMES_FILE.read_text(encoding="utf-8", errors="replace"), str(NAMES_FILE)
    except OSError:
        text, source = NAMES_BUILT_IN, "a list of our own (there is no /etc/services)"
    count: int = await cluster.names.bind_many(parse_services(text, PREFIX).entries, replace=True)
    click.echo(f"{count} names bound, from {source}")
    return count


async def _all_faults(layout: Layout, cluster: Cluster, writer: Writer) -> None:
    click.echo("a client writes, one write after the other")
    for what, fault in STEPS:
        outage_ms = await outages.once(fault, layout, cluster, writer)
        now = cluster.topology
        click.echo(f"{what}: outage {outage_ms:.1f} ms; {now.master} serves term {now.term}")
    await measured.whole(cluster)


async def _show(layout: Layout) -> Result:
    """Show the cluster live until Ctrl-C, with what to try; return what came of the client's writes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with client.running(layout.root) as writing:
        await live.show(layout, stop, notes=lambda: _notes(layout, writing.progress))
        return await writing.finish()


def _notes(layout: Layout, progress: Progress) -> list[str]:
    program = sys.argv[0] if Path(sys.argv[0]).name == "primacy" else "primacy"
    where = "" if layout.root == Path(DIRECTORY).absolute() else f" --dir {layout.root}".replace("[", r"\[")
    return [
        f"[bold]a client writes[/]: {progress.acknowledged:,} acknowledged; longest pause of the last "
        f"{client.LOOK_BACK_S:.0f} s: [bold]{progress.pause_ms:.1f} ms[/]",
        "try in a second terminal (Ctrl-C here stops the demo):",
        f"  [bold cyan]{program} kill master --how crash{where}[/]",
        f"  [bold cyan]{program} kill master --how power{where}[/]   then: {program} start NODE{where}",
        f"  [bold cyan]{program} switchover{where}[/]",
    ]


async def _judge(cluster: Cluster, result: Result, names: int) -> int:
    """Check the names as well; print what came of all, and return the exit code."""
    listed = await cluster.names.list(PREFIX, recursive=True)
    bound = sum(1 for entry in listed if entry.version)
    click.echo(f"{result.acknowledged} writes acknowledged: {result.lost} lost, {result.doubled} doubled")
    click.echo(f"{bound} of {names} names are bound")
    return common.FAILED if result.lost or result.doubled or bound < names else common.OK
