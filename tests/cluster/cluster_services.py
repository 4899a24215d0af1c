"""Services for the tests on real clusters. Hosts import this file by its path; nothing of the tests is in it.

`Logbook` is what histories are checked on: named logs that are appended to and read. `Stepped` tells of every
callback that runs, in a file of the node's directory, and can be told to be slow, to refuse and to fail.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import msgspec

import primacy
from primacy.service import Context, OperationContext

CALLS = "callbacks.jsonl"
SLOW_S = 0.4


class Logs(msgspec.Struct):
    """Names by log, in the order in which they were appended."""

    names: dict[str, list[str]] = {}


class Logbook(primacy.Service[Logs]):
    """Append-only lists of names."""

    @primacy.operation
    def append(self, ctx: OperationContext, log: str, name: str) -> tuple[int, str]:
        """Append a name; return the length and the last name from then on."""
        names = self.state.names.setdefault(log, [])
        names.append(name)
        return len(names), name

    @primacy.query
    def read(self, log: str) -> tuple[int, str]:
        """Return the length of a log and its last name."""
        names = self.state.names.get(log, [])
        return len(names), names[-1] if names else ""

    @primacy.query
    def logs(self) -> list[str]:
        """Return which logs there are."""
        return sorted(self.state.names)

    @primacy.query
    def names(self, log: str) -> list[str]:
        """Return all names of a log."""
        return self.state.names.get(log, [])

    @primacy.query
    def block(self, seconds: float) -> str:
        """Block this process in user code, as a badly written query does."""
        time.sleep(seconds)
        return "done"


def tell(service: str, callback: str, ctx: Context) -> None:
    """Write down that a callback runs, in the file of this node's directory, in one write."""
    row = {"service": service, "callback": callback, "at_ns": time.time_ns()}
    row |= {
        "function": ctx.function, "level": ctx.level, "term": ctx.term, "cause": ctx.cause, "node": ctx.node,
        "old": ctx.old_state, "new": ctx.new_state, "peer": ctx.peer, "clean": ctx.clean,
        "deadline_s": ctx.deadline_s,
    }  # fmt: skip
    with open(CALLS, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def wanted(what: str) -> bool:
    """Has the test asked for this by a file of that name in the node's directory?"""
    return Path(what).exists()


class Stepped(primacy.Service[Logs]):
    """Callbacks in several levels of each function."""

    @primacy.on("initialize", level=1)
    async def first(self, ctx: Context) -> None:
        """The first stage."""
        tell("stepped", "first", ctx)

    @primacy.on("initialize", level=3)
    async def second(self, ctx: Context) -> None:
        """The second stage; slow where the test asks for it."""
        tell("stepped", "second", ctx)
        if wanted("slow"):
            await asyncio.sleep(SLOW_S)

    @primacy.on("switchover", level=1)
    @primacy.on("switchover", level=2)
    @primacy.on("switchover", level=3)
    @primacy.on("failover", level=1)
    @primacy.on("failover", level=2)
    async def change(self, ctx: Context) -> None:
        """One stage of giving up, or of taking over, the primary's place."""
        tell("stepped", "change", ctx)
        if wanted("slow"):
            await asyncio.sleep(SLOW_S)
        if wanted("hang") and ctx.level == 1:
            await asyncio.sleep(60)
        if wanted("refuse") and ctx.level == 1 and ctx.old_state == "primary":
            raise primacy.Refused(["the till is open", "the books are not closed"])

    @primacy.on("shutdown", level=2)
    @primacy.on("shutdown", level=1)
    async def close(self, ctx: Context) -> None:
        """One stage of the end."""
        tell("stepped", "close", ctx)

    async def settle(self, ctx: Context) -> None:
        """What only a configuration table may register: the service itself does not."""
        tell("stepped", "settle", ctx)

    async def move(self, ctx: Context) -> None:
        """One stage on the ladder, registered by the table; slow or refused where the test asks for it."""
        tell("stepped", "move", ctx)
        if wanted("slow"):
            await asyncio.sleep(SLOW_S)
        if wanted("refuse") and ctx.level == 2:
            raise primacy.Refused(["the till is open"])

    @primacy.operation
    def mark(self, ctx: OperationContext, name: str) -> int:
        """Append a name to the one log there is; return the length."""
        names = self.state.names.setdefault("marks", [])
        names.append(name)
        return len(names)

    @primacy.query
    def marks(self) -> list[str]:
        """Return all names."""
        return self.state.names.get("marks", [])


class Attendant(primacy.LocalService):
    """A local service that follows the primaries."""

    @primacy.on("initialize", level=2)
    async def begin(self, ctx: Context) -> None:
        """The node starts."""
        tell("attendant", "begin", ctx)

    @primacy.on("reconnect", level=1)
    async def reattach(self, ctx: Context) -> None:
        """The primaries of this term serve: write down where."""
        tell("attendant", "reattach", ctx)
        primaries = self.primaries
        assert primaries is not None
        row = {"term": primaries.term, "node": primaries.node, "services": sorted(primaries.services)}
        new = Path("primaries.new")
        new.write_text(json.dumps(row), encoding="utf-8")
        os.replace(new, "primaries.json")

    @primacy.on("shutdown", level=1)
    async def end(self, ctx: Context) -> None:
        """The node leaves."""
        tell("attendant", "end", ctx)
