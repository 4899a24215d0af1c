"""Waiting for a condition, with a deadline, inside a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = 10.0) -> Any:
    """Return the first true value of the condition."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while not (value := condition()):
        assert loop.time() < deadline, f"waited {deadline_s:g} s in vain until {what}"
        await asyncio.sleep(0.001)
    return value
