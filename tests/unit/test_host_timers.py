"""Timers: they run on, call operations, and end with the term."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from primacy.errors import Busy, ConfigError, OperationFailed, SessionExpired
from primacy.host.timers import Context, OwnCall, Timers
from primacy.machines.call_wire import BUSY, DONE, EXPIRED, INVALID, RAISED, Call, Reply, encode
from primacy.machines.description import Timer
from tests.unit.waiting import wait_until

value = msgspec.msgpack.encode


class Service:
    def __init__(self) -> None:
        self.results: list[Any] = []

    async def tick(self, ctx: Context) -> None:
        self.results.append(await ctx.call("increment", by=2))

    async def fail(self, ctx: Context) -> None:
        self.results.append(ctx.silent_sessions(3.0))
        raise RuntimeError("every time")


def world(reply: Reply) -> tuple[Service, Context, list[Call]]:
    calls: list[Call] = []

    def submit(sink: OwnCall, call: Call) -> None:
        calls.append(call)
        sink.send(encode(reply))
        sink.send(encode(reply))
        sink.flush()

    return Service(), Context(3, "counter", ["a", "b"], submit, lambda seconds: [int(seconds)]), calls


async def test_a_timer_runs_on_and_calls_operations() -> None:
    service, context, calls = world(Reply(0, 0, DONE, 3, value(7)))
    timers = Timers(service, [Timer("tick", 0.001)], context, lambda kind, text: None)
    await wait_until(lambda: len(service.results) >= 3, "it ran")
    timers.close()
    assert service.results[:3] == [7, 7, 7]
    assert calls[0] == Call(0, 0, 0, "increment", value({"by": 2}))


async def test_one_that_fails_is_told_and_goes_on() -> None:
    service, context, _ = world(Reply(0, 0, DONE, 3, value(7)))
    notes: list[tuple[str, str]] = []
    timers = Timers(service, [Timer("fail", 0.001)], context, lambda *note: notes.append(note))
    await wait_until(lambda: len(notes) >= 2, "it failed")
    timers.set_nodes(["c"])
    timers.close()
    assert notes[0] == ("timer failed", "fail: RuntimeError: every time")
    assert service.results[0] == [3]
    assert context.nodes == ["c"]


@pytest.mark.parametrize(
    ("outcome", "payload", "error"),
    [
        (RAISED, value(["ValueError", "no"]), OperationFailed),
        (INVALID, value("there is no operation"), ConfigError),
        (BUSY, b"", Busy),
        (EXPIRED, b"", SessionExpired),
    ],
)
async def test_calls_end_as_a_clients_do(outcome: int, payload: bytes, error: type[Exception]) -> None:
    _, context, _ = world(Reply(0, 0, outcome, 3, payload))
    with pytest.raises(error):
        await asyncio.wait_for(context.call("increment"), 5)
