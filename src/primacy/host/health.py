"""A service's own health check, while its server serves as primary: a coroutine, every so often, with a time-out.

It only tells: so many failures in a row are one `Unhealthy` to the agent, which decides what follows. A check that
blocks the whole loop cannot be timed out here; the agent's own ping sees that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from primacy.machines.description import Health
from primacy.machines.host_wire import Unhealthy
from primacy.service import HealthContext

Check = Callable[[HealthContext], Awaitable[object]]


class HealthCheck:
    """The running check of one term."""

    def __init__(
        self, check: Check, what: Health, context: HealthContext, tell: Callable[[Unhealthy], None]
    ) -> None:
        self._check, self._what, self._context, self._tell = check, what, context, tell
        self.failures = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """The term has ended here."""
        self._task.cancel()

    async def _run(self) -> None:
        what = self._what
        while True:
            await asyncio.sleep(what.period_s)
            reason = await self._once()
            self.failures = self.failures + 1 if reason else 0
            if self.failures and self.failures % what.failures == 0:
                self._tell(Unhealthy(self._context.term, self.failures, f"{what.name}: {reason}"))

    async def _once(self) -> str:
        """Check once; return why the service is not well, or nothing."""
        timer = asyncio.timeout(self._what.timeout_s)
        try:
            async with timer:
                await self._check(self._context)
        except TimeoutError as error:
            if timer.expired():
                return f"no answer within {self._what.timeout_s:g} s"
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # the author's code: its exception is the answer
            return f"{type(error).__name__}: {error}"
        return ""
