"""Services whose callbacks fail when a test says so. Hosts import this file by its path; nothing of the tests is in it.

A test writes faults into `faults/` of a node's directory: a file named `SERVICE.FUNCTION.NEW_STATE.POLICY` that holds
one of KINDS. The callback takes the fault (the file is gone afterwards) and does as it says, once; a fault whose text
ends with `!` stays. Each policy has a level of its own: a callback that blocks the loop makes all of its level late.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec

import primacy
from primacy.service import Context, HealthContext, OperationContext

TIMEOUT_S = 0.3
KINDS = ("refuse", "raise", "hang", "late", "block", "exit")
FAULTS = Path("faults")


async def fail(name: str) -> None:
    """Do what the test has asked for, if it has."""
    fault = FAULTS / name
    try:
        kind = fault.read_text()
    except FileNotFoundError:
        return
    if not kind.endswith("!"):
        fault.unlink()
    match kind.removesuffix("!"):
        case "refuse":
            raise primacy.Refused(["not now", "not here"])
        case "raise":
            raise OSError("the device is away")
        case "hang":
            await asyncio.Event().wait()
        case "late":
            await be_late()
        case "block":
            time.sleep(3 * TIMEOUT_S)  # noqa: ASYNC251 (a badly written callback does that)
        case "exit":
            os._exit(3)


async def be_late() -> None:
    """Return after the time-out, whoever cancels."""
    end = time.monotonic() + 1.2 * TIMEOUT_S
    while (left := end - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


class Tally(msgspec.Struct):
    """How often it was counted."""

    count: int = 0


class Failing(primacy.Service[Tally]):
    """One callback for each policy, each at its level of each function that a centralized service goes through."""

    @primacy.on("initialize", level=1, timeout=TIMEOUT_S)
    @primacy.on("switchover", level=1, timeout=TIMEOUT_S)
    @primacy.on("failover", level=1, timeout=TIMEOUT_S)
    @primacy.on("shutdown", level=1, timeout=TIMEOUT_S)
    async def refusing(self, ctx: Context) -> None:
        """Refuse, where its failure says so."""
        await fail(f"failing.{ctx.function}.{ctx.new_state}.refuse")

    @primacy.on("initialize", level=2, timeout=TIMEOUT_S, on_failure="retry", retries=1)
    @primacy.on("switchover", level=2, timeout=TIMEOUT_S, on_failure="retry", retries=1)
    @primacy.on("failover", level=2, timeout=TIMEOUT_S, on_failure="retry", retries=1)
    @primacy.on("shutdown", level=2, timeout=TIMEOUT_S, on_failure="retry", retries=1)
    async def trying(self, ctx: Context) -> None:
        """Try once more."""
        await fail(f"failing.{ctx.function}.{ctx.new_state}.retry")

    @primacy.on("initialize", level=3, timeout=TIMEOUT_S, on_failure="restart")
    @primacy.on("switchover", level=3, timeout=TIMEOUT_S, on_failure="restart")
    @primacy.on("failover", level=3, timeout=TIMEOUT_S, on_failure="restart")
    @primacy.on("shutdown", level=3, timeout=TIMEOUT_S, on_failure="restart")
    async def restarting(self, ctx: Context) -> None:
        """Restart the server."""
        await fail(f"failing.{ctx.function}.{ctx.new_state}.restart")

    @primacy.on("initialize", level=4, timeout=TIMEOUT_S, on_failure="escalate")
    @primacy.on("switchover", level=4, timeout=TIMEOUT_S, on_failure="escalate")
    @primacy.on("failover", level=4, timeout=TIMEOUT_S, on_failure="escalate")
    @primacy.on("shutdown", level=4, timeout=TIMEOUT_S, on_failure="escalate")
    async def escalating(self, ctx: Context) -> None:
        """Escalate."""
        await fail(f"failing.{ctx.function}.{ctx.new_state}.escalate")

    @primacy.health(period=0.1, timeout=TIMEOUT_S, failures=2)
    async def look(self, ctx: HealthContext) -> None:
        """Is it well?"""
        if (FAULTS / "sick").exists():
            raise OSError("the device is away")

    @primacy.operation
    def add(self, ctx: OperationContext) -> int:
        """Count."""
        self.state.count += 1
        return self.state.count


class Follower(primacy.LocalService):
    """A local service that may fail to reattach."""

    @primacy.on("reconnect", timeout=TIMEOUT_S)
    async def reattach(self, ctx: Context) -> None:
        """Follow the primaries."""
        await fail(f"follower.{ctx.function}.{ctx.new_state}.refuse")

    @primacy.on("reconnect", timeout=TIMEOUT_S, on_failure="escalate")
    async def follow(self, ctx: Context) -> None:
        """Follow the primaries, or give up the node."""
        await fail(f"follower.{ctx.function}.{ctx.new_state}.escalate")
