"""What `primacy config show`, `diff`, `apply` and `primacy add` do: through an agent if one runs, else in the ledger.

The cluster carries a change out by itself, from the moment in which its plan stands in the ledger. This command asks
for it, and then only watches: what becomes of the command changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from primacy import config
from primacy.cli import common
from primacy.client import Cluster
from primacy.config import Table
from primacy.errors import Deadline, NoPrimary, OperationFailed, Refused
from primacy.local import change as local_change
from primacy.local import import_check, nodes, table
from primacy.local import layout as layouts
from primacy.local.layout import Layout

_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True)
class Stands:
    """The table in force. change: how far a change in progress is, and what it waits for; empty when there is none.

    asked: the change that was asked about, else the one in progress, as the ledger has it.
    """

    revision: int
    table: Table
    change: str = ""
    asked: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        table = msgspec.to_builtins(self.table)
        return {"revision": self.revision, "change": self.change, "asked": self.asked, "table": table}


@dataclass(frozen=True)
class Wish:
    """What an operator wants, beside the table itself.

    revision: the table must still be that one. replace: take the place of a change in progress. waits: watch until the
    change has ended; else return as soon as its plan stands in the ledger.
    """

    reason: str
    dry_run: bool = False
    revision: int | None = None
    replace: bool = False
    waits: bool = True


@dataclass
class Changed:
    """What was done, or would be. change: its id; empty when there was nothing to do. ended: or it goes on still."""

    revision: int
    steps: list[str]
    functions: list[list[str]]
    dry_run: bool
    change: str = ""
    ended: bool = True

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "revision": self.revision,
            "dry_run": self.dry_run,
            "steps": self.steps,
            "functions": [" ".join(pair) for pair in self.functions],
            "change": self.change,
            "ended": self.ended,
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


def outline(stands: Stands) -> list[str]:
    """Return the change in progress, a line for each step."""
    asked = stands.asked
    if asked is None or asked["outcome"]:
        return []
    lines = [f"change {asked['id']}, asked for by {asked['by']}: {asked['reason']}"]
    for number, step in enumerate(asked["steps"], 1):
        lines.append(f"  {number}. {step['what']}: {step['outcome'] or 'not ended'}")
    return lines


async def change(
    directory: str | None, wanted: Table, wish: Wish, deadline_s: float, say: Callable[[str], None]
) -> Changed:
    """Change the table in force to the wanted one, and wait until the cluster has followed.

    Refused with all reasons (then nothing has changed); OperationFailed when a step failed, or another change took the
    place of this one; Deadline when it has not ended in time: it goes on.
    """
    layout = layouts.find(directory)
    if _down(layout):
        before = (await local_change.stands(layout))[1]
        await _check_code(before, wanted)
        revision, planned = await local_change.change(
            layout, wanted, wish.revision, wish.dry_run, replace_change=wish.replace
        )
        if not wish.dry_run:
            local_change.follow(layout, (await local_change.stands(layout))[1])
        return Changed(revision, [s.sentence for s in planned.steps], [], wish.dry_run)
    async with common.connected(directory, deadline_s) as cluster:
        return await _change(cluster, layout, wanted, wish, deadline_s, say)


async def _change(
    cluster: Cluster,
    layout: Layout,
    wanted: Table,
    wish: Wish,
    deadline_s: float,
    say: Callable[[str], None],
) -> Changed:
    end_s = time.monotonic() + deadline_s
    before = await _shown(cluster, deadline_s)
    if layout.exists:
        await _check_code(before.table, wanted)
        if not wish.dry_run:
            local_change.expect(layout, before.table, wanted)
    try:
        told = await cluster.control(
            "config" if wish.dry_run else "configure",
            deadline_s=deadline_s,
            table=msgspec.json.encode(wanted).decode(),
            revision=wish.revision if wish.revision is not None else before.revision,
            reason=wish.reason,
            operation=os.urandom(4).hex(),
            replace=wish.replace,
        )
    except Refused:
        if layout.exists and not wish.dry_run:
            local_change.expect(layout, before.table, before.table)
        raise
    id = told.get("change", "")
    changed = Changed(told["revision"], told.get("steps", []), told.get("functions", []), wish.dry_run, id)
    if not id:
        return changed
    if not wish.waits:
        changed.ended = False
        return changed
    try:
        ended = await _watch(cluster, id, end_s, say)
    except asyncio.CancelledError:  # Ctrl-C
        say(f"change {id} goes on by itself: `primacy config show` tells how far it is")
        raise
    if layout.exists:
        local_change.follow(layout, ended.table)
    _judge(id, ended.asked or {})
    changed.revision = ended.revision
    return changed


async def _watch(cluster: Cluster, id: str, end_s: float, say: Callable[[str], None]) -> Stands:
    """Wait until the change has ended; tell how far it is whenever that changes."""
    said, passed = "", 0
    while True:
        try:
            now = await _shown(cluster, min(2.0, _left_s(end_s)), id)
        except (NoPrimary, Deadline):  # a switchover is part of it
            now = Stands(0, Table(nodes={}), "nobody answers at the moment")
        asked = now.asked if now.asked is not None and now.asked["id"] == id else None
        if asked is not None:
            ended = [s for s in asked["steps"] if s["outcome"]]
            for step in ended[passed:]:
                say(f"{step['what']}: {step['outcome']}")
            passed = max(passed, len(ended))
            if asked["outcome"]:
                return now
        if now.change and _bare(now.change) != said:
            said = _bare(now.change)
            say(now.change)
        if time.monotonic() >= end_s:
            text = f"change {id} stands in the ledger, and has not ended in time: {now.change}"
            raise Deadline(f"{text}; it goes on, see `primacy config show`", maybe_applied=True)
        await asyncio.sleep(_LOOK_AGAIN_S)


def _bare(progress: str) -> str:
    """How far a change is, without how long it has waited there."""
    return re.sub(r", since \d+ s", "", progress)


def _judge(id: str, ended: dict[str, Any]) -> None:
    """Raise what became of a change that was not carried out as it was meant."""
    outcome, reasons = ended.get("outcome", "done"), list(ended.get("reasons", ()))
    if outcome == "refused":
        raise Refused(reasons)
    if outcome != "done":
        held = [s["what"] for s in ended["steps"] if s["outcome"] == "held"]
        not_done = f"; not done: {', '.join(held)}" if held else ""
        raise OperationFailed(
            f"change {id} {outcome}",
            "; ".join(reasons) + not_done + "; the table that is in force shows `config show`",
        )


async def _shown(cluster: Cluster, deadline_s: float, id: str | None = None) -> Stands:
    told = await cluster.control("config", deadline_s=deadline_s, operation=id)
    table = config.build(told["table"], "the agent's table")
    return Stands(told["revision"], table, told["change"], told["asked"])


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
