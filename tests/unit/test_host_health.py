"""A service's own health check: run every so often, timed out, and told of after so many failures in a row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from primacy.host.health import HealthCheck
from primacy.machines.description import Health
from primacy.machines.host_wire import Unhealthy
from primacy.service import HealthContext
from tests.unit.cgtp_tools import until

CONTEXT = HealthContext(3, "stock", "n1")
Check = Callable[[HealthContext], Awaitable[None]]


class Rig:
    """A check, and what it told."""

    def __init__(self) -> None:
        self.told: list[Unhealthy] = []
        self.checks: list[HealthCheck] = []
        self.contexts: list[HealthContext] = []

    def start(self, check: Check, *, timeout_s: float = 5.0, failures: int = 2) -> HealthCheck:
        async def counted(context: HealthContext) -> None:
            self.contexts.append(context)
            await check(context)

        what = Health("look", 0.005, timeout_s, failures)
        self.checks.append(HealthCheck(counted, what, CONTEXT, self.told.append))
        return self.checks[-1]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    for check in made.checks:
        check.close()


async def test_a_service_that_is_well_is_not_told_of(rig: Rig) -> None:
    async def look(_: HealthContext) -> None: ...

    rig.start(look)
    await until(lambda: len(rig.contexts) >= 5, "it is looked at again and again")
    assert rig.told == []
    assert rig.contexts[0] == CONTEXT


async def test_so_many_failures_in_a_row_are_told_and_again_while_they_last(rig: Rig) -> None:
    async def look(_: HealthContext) -> None:
        raise ConnectionError("the database is away")

    rig.start(look)
    await until(lambda: len(rig.told) >= 2, "it is told")
    assert rig.told[:2] == [
        Unhealthy(3, count, "look: ConnectionError: the database is away") for count in (2, 4)
    ]


async def test_one_good_look_ends_the_row(rig: Rig) -> None:
    looked = 0

    async def look(_: HealthContext) -> None:
        nonlocal looked
        looked += 1
        if looked % 2:
            raise RuntimeError("now and then")

    check = rig.start(look)
    await until(lambda: looked >= 6, "it is looked at")
    assert rig.told == []
    assert check.failures <= 1


async def test_a_check_that_does_not_end_is_a_failure(rig: Rig) -> None:
    async def look(_: HealthContext) -> None:
        await asyncio.Event().wait()

    rig.start(look, timeout_s=0.01, failures=1)
    await until(lambda: rig.told, "it is told")
    assert rig.told[0].reason == "look: no answer within 0.01 s"


async def test_a_time_out_of_the_services_own_is_told_as_what_it_is(rig: Rig) -> None:
    async def look(_: HealthContext) -> None:
        raise TimeoutError("the database")

    rig.start(look, failures=1)
    await until(lambda: rig.told, "it is told")
    assert rig.told[0].reason == "look: TimeoutError: the database"


async def test_it_ends_with_the_term(rig: Rig) -> None:
    async def look(_: HealthContext) -> None: ...

    check = rig.start(look)
    await until(lambda: rig.contexts, "it runs")
    check.close()
    await asyncio.sleep(0)
    seen = len(rig.contexts)
    other = rig.start(look)
    await until(lambda: len(rig.contexts) >= seen + 3, "another one runs")
    assert other.failures == 0
    assert rig.told == []
