"""The thread that may hang, and what the loop says meanwhile: surely not written, or uncertain."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from primacy.errors import Unavailable, Uncertain
from primacy.ledger.worker import JOBS_MAX, Job, Worker

DEADLINE_S = 0.05
PATIENCE_S = 10.0


class Disk:
    """Work that hangs until it is released, before or after its point of no return."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()
        self.ended = threading.Event()
        self.written: list[str] = []

    def hang_before(self, job: Job[Any]) -> str:
        """Ask for the commit only once released."""
        self.begun.set()
        self.released.wait(PATIENCE_S)
        try:
            if not job.commits():
                raise Unavailable("called off")
            self.written.append("before")
            return "done"
        finally:
            self.ended.set()

    def hang_after(self, job: Job[Any]) -> str:
        """Ask for the commit, then hang."""
        assert job.commits()
        self.begun.set()
        self.released.wait(PATIENCE_S)
        self.written.append("after")
        self.ended.set()
        return "done"


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk that hangs no longer than the test."""
    disk = Disk()
    yield disk
    disk.released.set()


def worker(deadline_s: float = DEADLINE_S) -> Worker:
    """A worker with nothing to do when idle."""
    return Worker("ledger", deadline_s, lambda: None)


async def test_results_and_errors_reach_who_awaits_them() -> None:
    one = worker(PATIENCE_S)
    assert await one.run("read", lambda _: 42) == 42

    def fail(_: Job[Any]) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await one.run("read", fail)
    assert await one.run("read", lambda _: threading.current_thread().daemon)
    await one.stop(lambda: None)


async def test_work_that_hangs_before_the_commit_is_surely_not_done(disk: Disk) -> None:
    one = worker()
    with pytest.raises(Unavailable, match=r"swap: no answer within 0.05 s.*'swap'.*nothing was written"):
        await one.run("swap", disk.hang_before)
    disk.released.set()
    assert await asyncio.to_thread(disk.ended.wait, PATIENCE_S)
    assert disk.written == []
    await one.stop(lambda: None)


async def test_work_that_hangs_in_the_commit_is_uncertain(disk: Disk) -> None:
    one = worker()
    with pytest.raises(Uncertain, match="repeat the same swap"):
        await one.run("swap", disk.hang_after)
    disk.released.set()
    assert await asyncio.to_thread(disk.ended.wait, PATIENCE_S)
    assert disk.written == ["after"]
    await one.stop(lambda: None)


async def test_work_that_waits_behind_hanging_work_never_begins(disk: Disk) -> None:
    one = worker()
    begun: list[str] = []
    first = asyncio.create_task(one.run("swap a", disk.hang_after))
    assert await asyncio.to_thread(disk.begun.wait, PATIENCE_S)
    with pytest.raises(Unavailable, match="busy with 'swap a'"):
        await one.run("swap b", lambda _: begun.append("b"))
    with pytest.raises(Uncertain):
        await first
    disk.released.set()
    assert await one.run("read", lambda _: "alive", PATIENCE_S) == "alive"
    assert begun == []
    await one.stop(lambda: None)


async def test_cancelling_calls_the_work_off(disk: Disk) -> None:
    one = worker(PATIENCE_S)
    task = asyncio.create_task(one.run("swap", disk.hang_before))
    assert await asyncio.to_thread(disk.begun.wait, PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    disk.released.set()
    assert await one.run("read", lambda _: "alive") == "alive"
    assert disk.written == []
    await one.stop(lambda: None)


async def test_a_late_loop_does_not_make_done_work_uncertain(disk: Disk) -> None:
    one = worker()
    task = asyncio.create_task(one.run("swap", disk.hang_after))
    assert await asyncio.to_thread(disk.begun.wait, PATIENCE_S)
    disk.released.set()
    disk.ended.wait(PATIENCE_S)  # the loop stands still, past the deadline
    until = time.monotonic() + 2 * DEADLINE_S
    while time.monotonic() < until:
        pass
    assert await task == "done"
    await one.stop(lambda: None)


async def test_idle_is_called_after_work_after_its_own_pause_and_on_hurry() -> None:
    calls: list[float | None] = [None, 0.001, None, None]
    called = threading.Semaphore(0)

    def idle() -> float | None:
        called.release()
        return calls.pop(0) if calls else None

    one = Worker("ledger", PATIENCE_S, idle)
    await asyncio.to_thread(called.acquire, True, PATIENCE_S)
    assert calls == [0.001, None, None]
    await one.run("read", lambda _: None)
    for _ in range(2):  # after the read, and 1 ms later
        assert await asyncio.to_thread(called.acquire, True, PATIENCE_S)
    one.hurry()
    assert await asyncio.to_thread(called.acquire, True, PATIENCE_S)
    assert calls == []
    await one.stop(lambda: None)


async def test_stop_does_what_waits_then_the_last_thing_and_ends_the_thread() -> None:
    one = worker(PATIENCE_S)
    done: list[str] = []
    running = asyncio.create_task(one.run("read", lambda _: done.append("read")))
    await asyncio.sleep(0)
    await one.stop(lambda: done.append("last"))
    await one.stop(lambda: done.append("again"))
    await running
    one.hurry()
    assert done == ["read", "last"]
    with pytest.raises(Unavailable, match="closed"):
        await one.run("read", lambda _: None)


async def test_stop_does_not_wait_for_a_hanging_disk(disk: Disk) -> None:
    one = worker()
    with pytest.raises(Uncertain):
        await one.run("swap", disk.hang_after)
    started = time.monotonic()
    await one.stop(disk.released.set)
    assert time.monotonic() - started < PATIENCE_S / 2


async def test_the_queue_is_limited(disk: Disk) -> None:
    one = worker(PATIENCE_S)
    tasks = [asyncio.create_task(one.run("swap", disk.hang_before))]
    assert await asyncio.to_thread(disk.begun.wait, PATIENCE_S)
    tasks += [asyncio.create_task(one.run("read", lambda _: "read")) for _ in range(JOBS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match=str(JOBS_MAX)):
        await one.run("read", lambda _: "read")
    disk.released.set()
    assert set(await asyncio.gather(*tasks)) == {"done", "read"}
    await one.stop(lambda: None)


def test_the_thread_follows_a_real_time_main_thread_closely() -> None:
    script = """
import asyncio, os
try:
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(10))
except PermissionError:
    print("RR 9")  # not granted here: nothing to follow
    raise SystemExit
from primacy.ledger.worker import Worker

async def main():
    worker = Worker("w", 5.0, lambda: None)
    policy, priority = await worker.run("look", lambda _: (os.sched_getscheduler(0), os.sched_getparam(0)))
    print("RR" if policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR else policy, priority.sched_priority)
    await worker.stop(lambda: None)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "RR 9"
