"""Coroutines in virtual time: they wait on their host's clock, stand still while it is frozen, and end with it."""

from __future__ import annotations

import asyncio

import pytest

from primacy.machines.ids import MS, SECOND
from primacy.sim.process import Process
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.virtual_loop import VirtualLoop


class Stage:
    """One process with its loop, and what its coroutines have noted."""

    def __init__(self, rate_ppm: int = 1_000_000) -> None:
        self.scheduler = Scheduler()
        self.process = Process("stage", self.scheduler)
        self.loop = VirtualLoop(self.process, Clock(self.scheduler, rate_ppm, 7 * SECOND))
        self.seen: list[tuple[str, int]] = []

    def note(self, what: str) -> None:
        """Something has happened now."""
        self.seen.append((what, round(self.scheduler.now_ns / MS)))

    def go(self, until_s: float = 10) -> None:
        """Let time pass."""
        self.scheduler.run(int(until_s * SECOND), lambda: False)


async def sleeps(stage: Stage, name: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    stage.note(name)
    return name


def test_a_sleep_lasts_as_long_as_the_clock_says() -> None:
    for rate_ppm, took_ms in ((1_000_000, 500), (500_000, 1000)):
        stage = Stage(rate_ppm)
        task = stage.loop.start(sleeps(stage, "slept", 0.5))
        assert not task.done()
        stage.go()
        assert (task.result(), stage.seen) == ("slept", [("slept", took_ms)])


def test_tasks_time_outs_and_groups_work() -> None:
    async def together() -> list[str]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.sleep(5)
        stage.note("late")
        return await asyncio.gather(sleeps(stage, "long", 0.3), sleeps(stage, "short", 0.1))

    stage = Stage()
    task = stage.loop.start(together())
    stage.go()
    assert task.result() == ["long", "short"]
    assert stage.seen == [("late", 100), ("short", 200), ("long", 400)]


def test_a_frozen_process_stands_still_and_a_dead_one_never_goes_on() -> None:
    stage = Stage()
    task = stage.loop.start(sleeps(stage, "slept", 0.5))
    stage.scheduler.at(100 * MS, stage.process.freeze)
    stage.scheduler.at(2000 * MS, stage.process.thaw)
    stage.go(3)
    assert stage.seen == [("slept", 2000)]
    assert task.done()
    dead = stage.loop.start(sleeps(stage, "dead", 0.5))
    stage.process.kill()
    stage.go()
    assert not dead.done()


def test_an_exception_is_the_outcome_and_a_cancelled_task_ends() -> None:
    async def raises() -> None:
        await asyncio.sleep(0)
        raise ValueError("why")

    stage = Stage()
    task, other = stage.loop.start(raises()), stage.loop.start(sleeps(stage, "never", 1))
    other.cancel()
    stage.go()
    assert isinstance(task.exception(), ValueError)
    assert other.cancelled()
    assert stage.seen == []


def test_an_error_of_our_own_is_not_swallowed() -> None:
    def ours() -> None:
        raise AssertionError("a bug")

    stage = Stage()
    told: list[Exception] = []
    stage.process.broken = told.append  # type: ignore[method-assign]
    stage.loop.call_soon(ours)
    stage.go()
    assert [str(error) for error in told] == ["a bug"]


def test_what_virtual_time_has_not_is_refused() -> None:
    async def asks() -> None:
        await asyncio.to_thread(len, "a")

    stage = Stage()
    task = stage.loop.start(asks())
    stage.go()
    assert isinstance(task.exception(), AttributeError)
