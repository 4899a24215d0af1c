"""Closed-loop clients: each sends its next write when the last one is acknowledged, each write an id of its
own.

What is kept is what a checker needs: the ids that were acknowledged, and when. A write whose outcome is not
known (`Deadline`) was not acknowledged, and its id may be there or not.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections.abc import Sequence
from types import TracebackType

from primacy.client import Cluster
from primacy.errors import Busy, Deadline, NoPrimary

SERVICE = "register"
DEADLINE_S = 30.0
CHECK_AT_ONCE = 5_000
_ID_BITS = 63


class Writer:
    """Writes with `in_flight` clients while it is entered."""

    def __init__(self, cluster: Cluster, source: random.Random, in_flight: int = 1) -> None:
        self._cluster = cluster
        self._source = source
        self._in_flight = in_flight
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.acknowledged = array("q")
        self.sent_ns = array("q")
        self.acknowledged_ns = array("q")
        """When each id of `acknowledged` was sent and acknowledged; ascending in the latter."""
        self.unknown_count = 0

    async def __aenter__(self) -> Writer:
        self._tasks = [asyncio.create_task(self._write()) for _ in range(self._in_flight)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)

    async def wait_after(self, instant_ns: int, limit_s: float) -> bool:
        """Wait until a write that was sent after an instant is acknowledged; False: not within the limit."""
        deadline_s = time.monotonic() + limit_s
        while not self.sent_ns or self.sent_ns[-1] < instant_ns:
            if time.monotonic() >= deadline_s:
                return False
            await asyncio.sleep(0.005)
        return True

    async def _write(self) -> None:
        insert = self._cluster.service(SERVICE).insert
        while not self._stopping:
            id = self._source.getrandbits(_ID_BITS)
            sent_ns = time.monotonic_ns()
            try:
                await insert(id=id, deadline_s=DEADLINE_S)
            except Deadline:
                self.unknown_count += 1
                continue
            except (NoPrimary, Busy):
                continue
            self.acknowledged_ns.append(time.monotonic_ns())
            self.sent_ns.append(sent_ns)
            self.acknowledged.append(id)


async def check(cluster: Cluster, acknowledged: Sequence[int]) -> tuple[int, int]:
    """Return how many of the acknowledged ids are lost, and how many ids at all were applied more than
    once.
    """
    register = cluster.service(SERVICE)
    lost = 0
    for first in range(0, len(acknowledged), CHECK_AT_ONCE):
        ids = list(acknowledged[first : first + CHECK_AT_ONCE])
        lost += sum(1 for _, times in await register.query.wrong(ids=ids) if times == 0)
    _, doubled = await register.query.totals()
    return lost, doubled
