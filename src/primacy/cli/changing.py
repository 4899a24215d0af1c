"""What `primacy config show`, `diff`, `apply` and `primacy add` do: through an agent if one runs, else in the ledger.

The agents carry a change out by themselves once its table is written; this command only asks for the functions that
the plan names, in its order, and waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from primacy import config
from primacy.cli import common
from primacy.client import Cluster
from primacy.config import Table
from primacy.errors import Deadline, NoPrimary
from primacy.local import change as local_change
from primacy.local import import_check, nodes, table
from primacy.local import layout as layouts
from primacy.local.layout import Layout

_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True)
class Stands:
    """The table in force. change: what a change that is under way waits for; empty when there is none.

    members: the nodes that run; none when that is not known.
    """

    revision: int
    table: Table
    change: str = ""
    members: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        table = msgspec.to_builtins(self.table)
        return {"revision": self.revision, "change": self.change, "table": table}


@dataclass
class Changed:
    """What was done, or would be."""

    revision: int
    steps: list[str]
    functions: list[list[str]]
    dry_run: bool
    waited: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "revision": self.revision,
            "dry_run": self.dry_run,
            "steps": self.steps,
            "functions": [" ".join(pair) for pair in self.functions],
        }


def from_file(file: str) -> Table:
    """Return the checked table in a TOML file; relative paths count from its place."""
    return table.read(Path(file), {})


async def stands(directory: str | None, deadline_s: float) -> Stands:
    """Return the table in force: as an agent tells it, or of a cluster that is down from its ledger."""
    layout = layouts.find(directory)
    if _down(layout):
        return Stands(*await local_change.stands(layout))
    async with common.connected(directory, deadline_s) as cluster:
        return await _shown(cluster, deadline_s)


async def change(
    directory: str | None,
    wanted: Table,
    dry_run: bool,
    reason: str,
    deadline_s: float,
    say: Callable[[str], None],
    *,
    revision: int | None = None,
) -> Changed:
    """Change the table in force to the wanted one, and wait until the cluster has followed.

    Refused with all reasons (then nothing has changed); Deadline when the nodes have not followed in time.
    """
    layout = layouts.find(directory)
    if _down(layout):
        before = (await local_change.stands(layout))[1]
        await _check_code(before, wanted)
        revision, planned = await local_change.change(layout, wanted, revision, dry_run)
        if not dry_run:
            local_change.follow(layout, (await local_change.stands(layout))[1])
        return Changed(revision, [s.sentence for s in planned.steps], [], dry_run)
    async with common.connected(directory, deadline_s) as cluster:
        return await _change(cluster, layout, wanted, dry_run, reason, deadline_s, say, revision)


async def _change(
    cluster: Cluster,
    layout: Layout,
    wanted: Table,
    dry_run: bool,
    reason: str,
    deadline_s: float,
    say: Callable[[str], None],
    revision: int | None,
) -> Changed:
    end_s = time.monotonic() + deadline_s
    before = await _shown(cluster, deadline_s)
    if layout.exists:
        await _check_code(before.table, wanted)
    told = await cluster.control(
        "config" if dry_run else "configure",
        deadline_s=deadline_s,
        table=msgspec.json.encode(wanted).decode(),
        revision=revision if revision is not None else before.revision,
        reason=reason,
    )
    changed = Changed(told["revision"], told["steps"], told["functions"], dry_run)
    if dry_run or not changed.steps:
        return changed
    waiting = changed.functions[told.get("first", 0) :]
    for function, node in changed.functions[: told.get("first", 0)]:
        await _function(cluster, function, node, reason, end_s)
    async for now in _following(cluster, changed.revision, end_s, say):
        for pair in [p for p in waiting if p[0] == "remove" and now.members and p[1] not in now.members]:
            waiting.remove(pair)  # it died: it takes no strength away, and others wait for it
            await _function(cluster, pair[0], pair[1], reason, end_s)
    for function, node in waiting:
        await _function(cluster, function, node, reason, end_s)
    if layout.exists:
        local_change.follow(layout, (await _shown(cluster, _left_s(end_s))).table)
    return changed


async def _function(cluster: Cluster, function: str, node: str, reason: str, end_s: float) -> None:
    await cluster.control(function, deadline_s=_left_s(end_s), node=node, dry_run=False, reason=reason)


async def _following(
    cluster: Cluster, revision: int, end_s: float, say: Callable[[str], None]
) -> AsyncIterator[Stands]:
    """Give how it stands until every member has the table; tell what is waited for whenever that changes."""
    said = ""
    while True:
        try:
            now = await _shown(cluster, min(2.0, _left_s(end_s)))
        except (NoPrimary, Deadline):  # a switchover is part of it
            now = Stands(0, Table(nodes={}), "nobody answers at the moment")
        if now.revision >= revision and not now.change:
            return
        if now.change and now.change != said:
            said = now.change
            say(said)
        if time.monotonic() >= end_s:
            text = f"the table is written (revision {revision}), and not every node has followed: {said}"
            raise Deadline(f"{text}; they go on, see `primacy config show`", maybe_applied=True)
        yield now
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _shown(cluster: Cluster, deadline_s: float) -> Stands:
    told = await cluster.control("config", deadline_s=deadline_s)
    table = config.build(told["table"], "the agent's table")
    return Stands(told["revision"], table, told["change"], tuple(told.get("members", ())))


async def _check_code(before: Table, wanted: Table) -> None:
    """Import the code of services that are new or altered, before anything is changed."""
    rows = {s: row for s, row in wanted.services.items() if _code(row) != _code(before.services.get(s))}
    await import_check.check(rows)


def _code(row: config.Service | None) -> tuple[str, str] | None:
    return (row.python, row.path) if row is not None else None


def _down(layout: Layout) -> bool:
    return layout.exists and not nodes.running(layout)


def _left_s(end_s: float) -> float:
    return max(0.1, end_s - time.monotonic())
