"""A service's own health check in a simulated host: while it serves as primary, every so often, with a time-out.

A fault may set the mood of a node's checks: then they are `sick` (each fails) or `stuck` (each hangs until its
time-out), whatever their author has written. Only so many failures in a row are told, as the real host does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from primacy.machines.description import Health
from primacy.machines.host_wire import Unhealthy
from primacy.machines.ids import SECOND
from primacy.service import HealthContext
from primacy.sim.callbacks import drive

if TYPE_CHECKING:
    import asyncio

    from primacy.sim.host import Host

SICK = ("sick", "stuck")
"""Moods of health checks; those of callbacks mean nothing here."""


class Check:
    """The check of one term."""

    def __init__(self, host: Host, what: Health) -> None:
        self._host, self._what = host, what
        self._context = HealthContext(host.term, host.service, host.member.node)
        self._task: asyncio.Task[Any] | None = None
        self._ended = False
        self._round = self._failures = 0
        self._later()

    def close(self) -> None:
        """The term has ended here."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()

    def _later(self) -> None:
        host = self._host
        host.timer(host.scheduler.now_ns + int(self._what.period_s * SECOND), self._begin)

    def _begin(self) -> None:
        if self._ended:
            return
        self._round += 1
        host, what, number = self._host, self._what, self._round
        host.timer(
            host.scheduler.now_ns + int(what.timeout_s * SECOND),
            self._over,
            number,
            f"no answer within {what.timeout_s:g} s",
        )
        mood = host.around.mood(host.service)
        if mood == "sick":
            self._over(number, "RuntimeError: a fault wants it so")
        elif mood != "stuck":
            check = getattr(host.object, what.name)(self._context)
            self._task = drive(host.loop, check, lambda error: self._over(number, _reason(error)))

    def _over(self, number: int, reason: str) -> None:
        """A round has its end; the first one counts."""
        if number != self._round or self._ended:
            return
        self._round += 1
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._failures = self._failures + 1 if reason else 0
        if self._failures and self._failures % self._what.failures == 0:
            self._host.tell(Unhealthy(self._context.term, self._failures, f"{self._what.name}: {reason}"))
        self._later()


def _reason(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}" if error is not None else ""
