"""One thread that does blocking work, one piece at a time, for an event loop that must never wait for it.

The thread may hang for as long as a disk hangs. The loop then gets its answer at the deadline all the same,
and the answer says which of the two it is: `Unavailable` (the work had not reached its point of no return and
now never will) or `Uncertain` (it had). That rests on one lock per job: `Job.commits` (thread) and
`Job.abandon` (loop) exclude each other.

It must never be joined without a time limit: the thread is a daemon, so a hanging disk cannot keep a process
alive.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from primacy.errors import Unavailable, Uncertain

Result = TypeVar("Result")

JOBS_MAX: Final = 1024


class Job(Generic[Result]):
    """A piece of work under way; `work(job)` asks `job.commits()` right before its point of no return."""

    def __init__(self, what: str, work: Callable[[Job[Any]], Result]) -> None:
        self.what = what
        self.future: Future[Result] = Future()
        self._work = work
        self._lock = threading.Lock()
        self._abandoned = False
        self._committed = False

    @property
    def abandoned(self) -> bool:
        """Nobody waits for it any more."""
        return self._abandoned

    def commits(self) -> bool:
        """Pass the point of no return; False if nobody wants it any more, and then it must not be passed."""
        with self._lock:
            self._committed = not self._abandoned
            return self._committed

    def abandon(self) -> bool:
        """Give it up; True if it has not passed its point of no return, and now never will."""
        with self._lock:
            self._abandoned = True
            return not self._committed

    def execute(self) -> None:
        """Do the work in the calling thread, unless it was abandoned while it waited."""
        if self._abandoned or not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._work(self)
        except Exception as error:  # the edge of the thread: whatever it is, it belongs to who awaits the job
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Worker:
    """The thread and its queue. `idle`, called in it whenever no job waits, says how long to wait for one.

    `idle` returns seconds, or None for "until the next job"; it must not raise.
    """

    def __init__(self, name: str, deadline_s: float, idle: Callable[[], float | None]) -> None:
        self._name = name
        self._deadline_s = deadline_s
        self._idle = idle
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._running: tuple[str, float] | None = None  # what, since when
        self._last: Job[None] | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(
        self, what: str, work: Callable[[Job[Any]], Result], deadline_s: float | None = None
    ) -> Result:
        """Let the thread do `work` and return its result, or raise what it raised; within a deadline.

        Raises `Unavailable` or `Uncertain` at the deadline (see above). When the awaiting task is cancelled
        the job is abandoned likewise.
        """
        deadline_s = deadline_s or self._deadline_s
        if self._last is not None:
            raise Unavailable(f"{self._name}: {what}: closed; nothing was written")
        if self._queue.qsize() >= JOBS_MAX:
            raise Unavailable(f"{self._name}: {what}: {JOBS_MAX} calls wait already; nothing was written")
        job = Job(what, work)
        answer = asyncio.wrap_future(job.future)
        self._queue.put(job)
        try:
            await asyncio.wait([answer], timeout=deadline_s)
        except asyncio.CancelledError:
            job.abandon()
            answer.cancel()
            raise
        surely_not = job.abandon()
        if answer.done():
            return answer.result()
        answer.cancel()
        if job.future.done() and not job.future.cancelled():  # this loop was late, not the thread
            return job.future.result()
        raise self._overdue(f"{what}: no answer within {deadline_s:g} s", surely_not)

    def hurry(self) -> None:
        """Let the thread call `idle` now."""
        self._queue.put(None)

    async def stop(self, last: Callable[[], None]) -> None:
        """Let the thread finish what waits, do `last`, and end; returns at the deadline even if it hangs."""
        if self._last is not None:
            return
        self._last = Job("close", lambda _: last())
        answer = asyncio.wrap_future(self._last.future)
        self._queue.put(self._last)
        await asyncio.wait([answer], timeout=self._deadline_s)
        if answer.done():
            answer.result()

    def _overdue(self, complaint: str, surely_not: bool) -> Unavailable | Uncertain:
        running = self._running
        stuck = f"; its thread has been busy with {running[0]!r} for {_since(running[1])}" if running else ""
        head = f"{self._name}: {complaint}{stuck}"
        if surely_not:
            return Unavailable(f"{head}; nothing was written")
        return Uncertain(f"{head}; it may have been written, or may still be: repeat the same swap")

    def _work(self) -> None:
        _keep_pace()
        while True:
            wait_s = self._idle() if self._queue.empty() else None
            try:
                job = self._queue.get(timeout=wait_s)
            except queue.Empty:
                continue
            if job is None:
                continue
            self._running = (job.what, time.monotonic())
            job.execute()
            self._running = None
            if job is self._last:
                return


def _keep_pace() -> None:
    """Be scheduled right behind the process's main thread where that is a real-time one.

    A new thread begins as an ordinary one; on a busy machine a swap would then wait behind everybody's work.
    """
    main = os.getpid()
    if os.sched_getscheduler(main) & ~os.SCHED_RESET_ON_FORK in (os.SCHED_RR, os.SCHED_FIFO):
        priority = max(1, os.sched_getparam(main).sched_priority - 1)
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.1f} s"
