"""Who waits for whom on this node, since when and until when: for `status`.  Reads, never changes.

Times are told as seconds from now, because no node's clock means anything to another one.
"""

from __future__ import annotations

from typing import Any

from primacy.machines.coordinator import Coordinator
from primacy.machines.ids import SECOND
from primacy.machines.sequence import Wait


def waits(coordinator: Coordinator) -> list[Wait]:
    """Everybody whom the functions in progress on this node wait for."""
    return [
        *coordinator.initialization.waits(),
        *coordinator.runs.waits(),
        *coordinator.switchover.waits(),
        *coordinator.rescue.waits(),
        *coordinator.ladder.waits(),
        *(drive.waits() if (drive := coordinator.functions.drive) is not None else []),
        *coordinator.departure.waits(),
    ]


def function(coordinator: Coordinator) -> tuple[str | None, int | None]:
    """The function in progress and its level; the level is None before the first and after the last of them."""
    progress = coordinator.runs.progress()
    if progress is not None:
        return progress[0], progress[1]
    others = [wait.function for wait in waits(coordinator) if wait.function]
    return (others[0] if others else None), None


def plain(found: list[Wait], now_ns: int) -> list[dict[str, Any]]:
    """As `status` tells it. since_s: for so long already; until_s: for so long still, at most. None: not known."""
    return [
        {
            "for": wait.what,
            "function": wait.function,
            "level": wait.level,
            "since_s": _seconds(now_ns - wait.since_ns) if wait.since_ns else None,
            "until_s": _seconds(wait.until_ns - now_ns) if wait.until_ns else None,
        }
        for wait in found
    ]


def _seconds(duration_ns: int) -> float:
    return round(max(0, duration_ns) / SECOND, 1)
