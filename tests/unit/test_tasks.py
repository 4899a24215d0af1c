"""Tasks of one owner: none is forgotten, none fails silently."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from primacy.agent.tasks import Tasks
from tests.unit.cgtp_tools import until


async def _fail() -> None:
    raise RuntimeError("broken")


async def test_an_error_that_nobody_awaits_reaches_the_loops_handler() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    tasks = Tasks("the test")
    tasks.start(_fail())
    await until(lambda: told, "the handler is told")
    assert str(told[0]["exception"]) == "broken"
    assert "the test" in told[0]["message"]
    assert len(tasks) == 0


async def test_where_somebody_waits_for_an_answer_he_is_told_and_the_log_has_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: handled.append(context))
    told: list[BaseException] = []
    Tasks("the test").start(_fail(), told.append)
    await until(lambda: told, "the error is told")
    assert "RuntimeError: broken" in capsys.readouterr().err
    assert handled == []


async def test_what_is_cancelled_has_not_failed() -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    tasks = Tasks("the test")
    tasks.start(asyncio.Event().wait(), told.append)  # type: ignore[arg-type]
    tasks.cancel()
    await until(lambda: len(tasks) == 0, "it has ended")
    assert told == []


async def test_what_has_ended_is_let_go() -> None:
    tasks = Tasks("the test")
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    tasks.start(work())
    assert len(tasks) == 1
    await until(lambda: done.is_set() and len(tasks) == 0, "it has ended")
