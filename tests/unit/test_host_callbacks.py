"""Callbacks: each outcome has its word, and is told once."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from primacy.errors import Refused
from primacy.host.callbacks import Callbacks
from primacy.machines.host_wire import Context, Ran
from tests.unit.waiting import wait_until


class Service:
    async def works(self, ctx: Context) -> None: ...

    async def refuses(self, ctx: Context) -> None:
        raise Refused(["the store is being counted", "come back later"])

    async def fails(self, ctx: Context) -> None:
        raise ValueError("no")

    async def own_timeout(self, ctx: Context) -> None:
        raise TimeoutError("the shop did not answer")

    async def hangs(self, ctx: Context) -> None:
        await asyncio.Event().wait()

    async def will_not_be_cancelled(self, ctx: Context) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def blocks(self, ctx: Context) -> None:
        end = time.monotonic() + 2 * ctx.deadline_s
        while time.monotonic() < end:
            pass


def context(deadline_s: float = 5.0) -> Context:
    return Context("failover", 1, 2, "test", "secondary", "primary", None, True, deadline_s)


def running() -> tuple[Callbacks, list[Ran]]:
    told: list[Ran] = []
    names = {"works", "refuses", "fails", "own_timeout", "hangs", "will_not_be_cancelled", "blocks"}
    return Callbacks(Service(), names, told.append), told


@pytest.mark.parametrize(
    ("name", "deadline_s", "outcome", "words"),
    [
        ("works", 5.0, "done", ""),
        ("refuses", 5.0, "refused", "the store is being counted; come back later"),
        ("fails", 5.0, "failed", "ValueError: no ("),
        ("own_timeout", 5.0, "failed", "TimeoutError: the shop did not answer"),
        ("hangs", 0.02, "timeout", "hangs took longer than 0.02 s"),
        ("will_not_be_cancelled", 0.02, "timeout", "will_not_be_cancelled took longer than 0.02 s"),
        ("blocks", 0.02, "timeout", "blocks took longer than 0.02 s"),
        ("nothing", 5.0, "failed", "Service has no callback 'nothing'"),
    ],
)
async def test_outcomes(name: str, deadline_s: float, outcome: str, words: str) -> None:
    callbacks, told = running()
    callbacks.run(7, name, context(deadline_s))
    await wait_until(lambda: told, "the outcome is told")
    assert (told[0].id, told[0].outcome) == (7, outcome)
    assert words in told[0].reason


async def test_a_callback_is_cancelled() -> None:
    callbacks, told = running()
    callbacks.run(1, "hangs", context())
    callbacks.run(1, "hangs", context())
    await asyncio.sleep(0)
    callbacks.cancel(1)
    callbacks.cancel(2)
    await wait_until(lambda: told, "the outcome is told")
    assert told == [Ran(1, "cancelled", "hangs was cancelled")]


async def test_all_end_with_the_host() -> None:
    callbacks, told = running()
    for id in range(3):
        callbacks.run(id, "hangs", context())
    await asyncio.sleep(0)
    await callbacks.close()
    assert [ran.outcome for ran in told] == ["cancelled"] * 3
