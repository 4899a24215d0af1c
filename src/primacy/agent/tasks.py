"""Tasks of one owner: they live as long as they work, end with their owner, and none of them fails silently.

An error that nobody awaits is our own bug. It goes to the loop's exception handler, which ends the agent; where
somebody waits for an answer (`failed`), it is written to standard error and told instead: a bug in an answer must not
cost a role.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """What runs beside its owner. `owner` names it in reports."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(
        self, work: Coroutine[Any, Any, None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Run the coroutine from the loop's next turn on."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(lambda _: self._ended(task, failed))

    def cancel(self) -> None:
        """End all of them."""
        for task in self._running:
            task.cancel()

    def _ended(self, task: asyncio.Task[None], failed: Callable[[BaseException], None] | None) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        what = f"a task of {self._owner} has failed"
        if failed is None:
            context = {"message": what, "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
        else:
            sys.stderr.write(f"agent: {what}: {''.join(traceback.format_exception(error))}")
            failed(error)
