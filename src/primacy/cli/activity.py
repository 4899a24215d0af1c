"""What is in progress on a node, in one sentence: function, level, who is waited for, since when and until when.

Pure: a node's part of a status in, text out.
"""

from __future__ import annotations

from typing import Any

_TIMES = ("since_s", "until_s")


def activity(node: dict[str, Any]) -> str:
    """Return the function in progress on a node, its level, and for whom it waits; else what is wrong with its hosts.

    Empty when there is nothing to tell.
    """
    waits = [wait for wait in node.get("waiting_for") or [] if isinstance(wait, dict)]
    parts = []
    if node.get("function"):
        held = [(wait.get("function"), wait.get("level")) for wait in waits]
        for name, level in dict.fromkeys([(node["function"], node.get("level")), *held]):
            whom = [wait_text(w) for w in waits if (w.get("function"), w.get("level")) == (name, level)]
            what = f"{name}" + (f" level {level}" if level is not None else "")
            parts.append(what + (f" waits for {', '.join(whom)}" if whom else ""))
    waited = {wait.get("for") for wait in waits}
    other = [str(each) for each in node.get("waiting") or [] if each not in waited]
    if other and "waiting_for" not in node:  # an agent that tells no times
        return f"{parts[0] if parts else 'it'} waits for {', '.join(other)}"
    return "; ".join([*parts, *other])


def wait_text(wait: dict[str, Any]) -> str:
    """Return who is waited for, with the times that are known."""
    since_s, until_s = (wait.get(name) for name in _TIMES)
    times = []
    if since_s is not None:
        times.append(f"since {_seconds(since_s)}")
    if until_s is not None:
        times.append(f"at most {_seconds(until_s)} more")
    return f"{wait.get('for')}" + (f" ({', '.join(times)})" if times else "")


def timeless(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status without the times that change by themselves: for who looks whether anything has changed."""
    nodes = [
        node
        | {
            "waiting_for": [
                {name: value for name, value in wait.items() if name not in _TIMES}
                for wait in node.get("waiting_for") or []
            ]
        }
        for node in status.get("nodes", [])
    ]
    return status | {"nodes": nodes}


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
