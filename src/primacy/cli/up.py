"""What `primacy up` and `primacy start` do, step by step.

A service's code is imported once, by a process of its own, before anything is made or started: its error
reaches who started the cluster as a traceback, not as a line in a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from primacy.cli import common, live
from primacy.cli.common import fail, print_json, say
from primacy.client import connect
from primacy.config import Service, Table
from primacy.errors import CallError, ConfigError
from primacy.local import bring_up, import_check, nodes, ports, report, table
from primacy.local.bring_up import Outcome
from primacy.local.layout import Layout
from primacy.local.nodes import Started

NODES = 3
PROFILE = "lan"


@dataclass(frozen=True)
class Wanted:
    """The options of `up`; None: not given."""

    nodes_count: int | None = None
    profile: str | None = None
    file: str | None = None
    services: tuple[str, ...] = ()
    port: int | None = None
    local: tuple[str, ...] = ()

    @property
    def rows(self) -> dict[str, Service]:
        """The services that the options name."""
        return table.services_of(self.services, self.local)

    def new_table(self) -> Table:
        """Return the table of a new cluster."""
        services = self.rows
        if self.file is not None:
            return table.read(Path(self.file), services)
        count = NODES if self.nodes_count is None else self.nodes_count
        return table.generate(count, self.profile or PROFILE, services, self.port)

    def check_against(self, stands: Table, layout: Layout) -> None:
        """Raise ConfigError if an option asks for another table than the one that the cluster has."""
        if self.file is not None:
            wanted = table.read(Path(self.file), self.rows)
        else:
            rows = stands.nodes
            count, port = self.nodes_count or len(rows), self.port
            if count != len(rows) or port not in (None, min(row.port for row in rows.values())):
                rows = table.generate(
                    count, PROFILE, {}, port or min(row.port for row in rows.values())
                ).nodes
            cluster = msgspec.structs.replace(stands.cluster, profile=self.profile or stands.cluster.profile)
            timing = None if self.profile is not None else stands.timing
            services = stands.services | self.rows
            wanted = Table(rows, cluster, timing, services)
        if differences := table.differences(stands, wanted):
            want = "leave the options out to start it as it is, or choose another --dir for a new cluster"
            raise ConfigError(str(layout.root), f"another cluster's options: {'; '.join(differences)}", want)


async def up_and_stay(
    layout: Layout, wanted: Wanted, detach: bool, limit_s: float | None, as_json: bool
) -> int:
    """Bring the cluster into service; unless detached, show it until interrupted and stop it in order."""
    started: list[Started] = []
    with _interrupted() as stop:
        bringing = asyncio.create_task(bring(layout, wanted, limit_s, started))
        stopping = asyncio.create_task(stop.wait())
        watched = common.is_terminal() and not detach
        watching = asyncio.create_task(_watch(layout, bringing, stopping) if watched else asyncio.sleep(0))
        await asyncio.wait([bringing, stopping], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(watching)
        stopping.cancel()
        if not bringing.done():
            bringing.cancel()
            await asyncio.gather(bringing, return_exceptions=True)
            await bring_up.stop_all(layout, say, "primacy up was interrupted", started)
            return common.INTERRUPTED
        in_force, outcome = bringing.result()
        code = await _judge(layout, in_force, started, outcome, as_json)
        if detach or code not in (common.OK, common.NO_PRIMARY):
            return code
        await live.show(
            layout,
            stop,
            notes=lambda: [f"Ctrl-C stops the cluster in order; its data stays in {layout.root}"],
        )
        say("stopping")
        return (
            common.FAILED if await bring_up.stop_all(layout, say, "primacy up was interrupted") else common.OK
        )


async def _watch(layout: Layout, *tasks: asyncio.Task[Any]) -> None:
    """Show the cluster while it comes up, until one of the tasks has ended: whom it waits for is of interest now."""
    ended = asyncio.Event()
    for task in tasks:
        task.add_done_callback(lambda _: ended.set())
    await live.show(layout, ended, notes=lambda: ["it is coming up"], passing=True)


async def bring(
    layout: Layout, wanted: Wanted, limit_s: float | None, started: list[Started]
) -> tuple[Table, Outcome]:
    """Make the cluster if there is none, start its nodes, wait until it is in service.

    `started` gets the guardians as soon as they are started, so that a caller who is interrupted can stop them.
    """
    if layout.exists:
        in_force = await bring_up.table_in_force(layout)
        wanted.check_against(in_force, layout)
        await _refresh(layout)
        await import_check.check(in_force.services)
        started += bring_up.start_all(layout, in_force)
        return in_force, await bring_up.wait_in_service(
            layout, in_force, started, limit_s or bring_up.limit_s(in_force)
        )
    from primacy.local.create import create  # brings cryptography along

    with ports.lock():
        in_force = wanted.new_table()
        checking = asyncio.create_task(import_check.check(in_force.services))
        await create(layout, in_force, checking)  # it works while keys are made
        started += bring_up.start_all(layout, in_force)
        return in_force, await bring_up.wait_in_service(
            layout, in_force, started, limit_s or bring_up.limit_s(in_force)
        )


async def _refresh(layout: Layout) -> None:
    """A change may have moved nodes while nobody watched: boot files and endpoints follow before anybody reads them."""
    from primacy.local import change  # brings cryptography along

    await change.refresh(layout)


async def start_one(layout: Layout, node: str, limit_s: float) -> tuple[dict[str, Any] | None, list[str]]:
    """Start a node and wait until it is a member; return its entry in the status, or None and what its log
    says.
    """
    await _refresh(layout)
    started = nodes.start(layout, node)
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s and not report.ended([started]):
        with contextlib.suppress(CallError):
            async with connect(directory=layout.root, deadline_s=1.0) as cluster:
                while time.monotonic() < deadline_s and not report.ended([started]):
                    status = await cluster.control("status", deadline_s=1.0)
                    entry = next((each for each in status["nodes"] if each["id"] == node), None)
                    if entry is not None and entry["role"] != "out":
                        return entry, []
                    await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
    return None, report.explain(layout, [started])


async def _judge(
    layout: Layout, in_force: Table, started: list[Started], outcome: Outcome, as_json: bool
) -> int:
    """Tell what came of bringing the cluster up, and return the exit code."""
    if outcome.ended and (not outcome.in_service or common.CONFIGURATION in outcome.ended.values()):
        await asyncio.to_thread(nodes.wait_known, layout, started)
        await asyncio.to_thread(nodes.stop, layout, [each.node for each in started], say)
        codes = ", ".join(f"{node} with {code}" for node, code in outcome.ended.items())
        code = common.CONFIGURATION if common.CONFIGURATION in outcome.ended.values() else common.FAILED
        fail(
            code,
            [f"the cluster was stopped again, because guardians ended: {codes}", *outcome.reasons],
            as_json,
        )
    if not outcome.in_service:
        lines = ["the cluster is not in service", *outcome.reasons]
        lines.append(
            "its nodes go on trying: `primacy status` tells what they wait for, `primacy down` stops them"
        )
        if as_json:
            print_json({"error": "NotInService", "message": lines[0], "reasons": outcome.reasons})
        for line in lines:
            say(line)
        return common.NO_PRIMARY
    vice = f", a ready vice after {outcome.vice_ready_ms:.0f} ms" if outcome.vice_ready else ""
    if as_json:
        print_json({
            "directory": str(layout.root), "nodes": sorted(in_force.nodes), "in_service": True,
            "vice_ready": outcome.vice_ready, "in_service_ms": round(outcome.in_service_ms, 1),
            "vice_ready_ms": round(outcome.vice_ready_ms, 1) if outcome.vice_ready else None,
        })  # fmt: skip
    else:
        after = f"in service after {outcome.in_service_ms:.0f} ms{vice}"
        say(f"{after}; {len(in_force.nodes)} nodes in {layout.root}")
        for reason in outcome.reasons:
            say(f"waits: {reason}")
    return common.OK


@contextlib.contextmanager
def _interrupted() -> Iterator[asyncio.Event]:
    """Give an event that is set when the command is to end: Ctrl-C, SIGTERM, the terminal is gone."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
