"""How a refusal quotes what a caller sent."""

from __future__ import annotations

from typing import Any

SHOWN_MAX = 40


def shown(value: Any) -> str:
    """A caller's value as a refusal quotes it: never long, never deep."""
    if isinstance(value, str):
        return repr(value[:SHOWN_MAX]) + ("..." if len(value) > SHOWN_MAX else "")
    if value is None or isinstance(value, int | float):
        return f"{value}"[:SHOWN_MAX]
    return f"a {type(value).__name__}"
