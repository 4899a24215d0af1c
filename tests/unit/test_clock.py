"""The timers of the machines, and a gap of the agent's own."""

from __future__ import annotations

import asyncio

from primacy.agent.clock import GAP_NS_MIN, Clock
from primacy.lease_page import now_ns
from primacy.machines.ids import MS
from tests.unit.waiting import wait_until


def clock() -> tuple[Clock, list[str]]:
    """Return a clock, and who was called."""
    called: list[str] = []
    return Clock(MS, lambda: called.append("monitor"), lambda: called.append("coordinator")), called


def block(duration_ns: int) -> None:
    """Let nothing else run in this thread, as a machine does that is too busy."""
    end_ns = now_ns() + duration_ns
    while now_ns() < end_ns:
        pass


async def test_each_machine_is_called_when_it_is_due() -> None:
    made, called = clock()
    made.wake_coordinator(now_ns() + 3600_000 * MS)
    made.wake_monitor(now_ns() + 5 * MS)
    made.wake_coordinator(now_ns())
    await wait_until(lambda: len(called) == 2, "both are called")
    assert called == ["coordinator", "monitor"]


async def test_the_monitors_sooner_call_is_kept() -> None:
    made, called = clock()
    made.wake_monitor(now_ns() + 2 * MS)
    made.wake_monitor(now_ns() + 3600_000 * MS)
    await wait_until(lambda: called, "it is called")


async def test_a_gap_is_told_once() -> None:
    made, _ = clock()
    assert made.gap_ns() == 0
    made.wake_monitor(now_ns())
    block(2 * GAP_NS_MIN)
    assert made.gap_ns() > GAP_NS_MIN
    assert made.gap_ns() == 0


async def test_after_its_end_it_calls_nobody() -> None:
    made, called = clock()
    made.wake_monitor(now_ns())
    made.wake_coordinator(now_ns())
    made.stop()
    await asyncio.sleep(0)
    assert called == []


async def test_what_counts_as_a_gap_follows_the_beat() -> None:
    made, _ = clock()
    made.retime(1000 * MS)
    made.wake_monitor(now_ns())
    block(2 * GAP_NS_MIN)
    assert made.gap_ns() == 0
    made.retime(MS)
    assert made.gap_ns() > GAP_NS_MIN
