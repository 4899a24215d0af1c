"""Why a cluster is not in service: what its nodes' logs said since they were started.

A log holds lines of guardian, agent and hosts, and the tracebacks of user code. What is shown to an
operator is the last traceback with the lines before it, else the last lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from primacy.local.layout import Layout
from primacy.local.nodes import Started

TAIL_LINES = 15
TAIL_BYTES_MAX = 256 * 1024
_TRACEBACK = "Traceback (most recent call last)"


def tail(layout: Layout, node: str, offset: int = 0) -> list[str]:
    """Return the telling lines of a node's log after `offset`; [] when it has said nothing."""
    try:
        with open(layout.log(node), "rb") as log:
            size = log.seek(0, 2)
            log.seek(max(offset, size - TAIL_BYTES_MAX))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return telling(lines)


def telling(lines: Sequence[str]) -> list[str]:
    """Return the last traceback in `lines` with the two lines around it, else the last lines."""
    begins = [number for number, line in enumerate(lines) if _TRACEBACK in line]
    if not begins:
        return list(lines[-TAIL_LINES:])
    first = begins[-1]
    last = first + 1
    while last < len(lines) and (lines[last].startswith((" ", "\t")) or not lines[last]):
        last += 1
    return list(lines[max(0, first - 1) : last + 2])


def ended(started: Sequence[Started]) -> dict[str, int]:
    """Return the exit codes of the guardians that have ended by themselves."""
    codes = {each.node: each.process.poll() for each in started}
    return {node: code for node, code in codes.items() if code is not None}


def explain(layout: Layout, started: Sequence[Started]) -> list[str]:
    """Return what the logs of these nodes say; nodes that say the same are named together."""
    said: dict[tuple[str, ...], list[str]] = {}
    for each in started:
        lines = tuple(tail(layout, each.node, each.log_offset))
        said.setdefault(tuple(_without_node(lines, each.node)), []).append(each.node)
    found: list[str] = []
    for lines, nodes in said.items():
        if lines:
            logs = ", ".join(str(layout.log(node)) for node in nodes)
            found += [f"--- {', '.join(nodes)} ({logs})", *lines]
    return found


def _without_node(lines: Sequence[str], node: str) -> list[str]:
    return [line.replace(f" {node}:", ":") for line in lines]
