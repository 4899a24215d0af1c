"""Running a service's callbacks: each in a task of its own, with a time-out, reported once.

A callback refuses by raising `Refused`; any other exception is a failure, told with its kind, words and
place. What a failure means (retry, undo, escalate) is not decided here.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from primacy.errors import Refused
from primacy.machines.host_wire import Context, Ran

Report = Callable[[Ran], None]


class Callbacks:
    """The callbacks of one service object that are running."""

    def __init__(self, service: Any, names: set[str], report: Report) -> None:
        self._service = service
        self._names = names
        self._report = report
        self._running: dict[int, asyncio.Task[None]] = {}

    def run(self, id: int, name: str, context: Context) -> None:
        """Begin a callback; its `Ran` follows."""
        if id in self._running:
            return
        if name not in self._names:
            self._report(Ran(id, "failed", f"{type(self._service).__name__} has no callback {name!r}"))
            return
        task = asyncio.get_running_loop().create_task(self._run(id, name, context))
        self._running[id] = task

    def cancel(self, id: int) -> None:
        """Cancel a running callback; its `Ran` says `cancelled`."""
        task = self._running.get(id)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Cancel all, and wait until they have ended."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, id: int, name: str, context: Context) -> None:
        outcome, reason = await self._outcome(getattr(self._service, name), name, context)
        self._running.pop(id, None)
        self._report(Ran(id, outcome, reason))

    async def _outcome(
        self, callback: Callable[[Context], Awaitable[object]], name: str, context: Context
    ) -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        end = loop.time() + context.deadline_s
        timer = asyncio.timeout_at(end)
        too_late = "timeout", f"{name} took longer than {context.deadline_s:g} s"
        try:
            async with timer:
                await callback(context)
            if loop.time() > end:
                return too_late  # it has blocked the loop, or would not be cancelled
        except Refused as refusal:
            return "refused", str(refusal)
        except TimeoutError as error:
            if timer.expired():
                return too_late
            return "failed", _where(error)
        except asyncio.CancelledError:
            return "cancelled", f"{name} was cancelled"
        except Exception as error:  # the author's code: its exception is the outcome
            return "failed", _where(error)
        return "done", ""


def _where(error: Exception) -> str:
    """Return the error in one line: kind, words, and the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
