"""The events of all nodes of a local cluster, read from their files, merged in causal order.

Each node numbers its own events; a term is the only number that all nodes share. So the merge keeps each
node's own order, puts what was published in an earlier term before what was published in a later one, and
within a term goes by the wall clock (one machine has one), which decides nothing else. Dead nodes' events
are there as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from primacy.local.layout import Layout

Event = dict[str, Any]
READ_BYTES_MAX = 16 * 1024 * 1024


class EventFiles:
    """Reads the events of all nodes, each once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._offsets: dict[str, int] = {}
        self.unreadable_count = 0

    def skip(self) -> None:
        """Leave out what is there already."""
        for node in self._layout.nodes():
            try:
                self._offsets[node] = self._layout.events(node).stat().st_size
            except OSError:
                self._offsets[node] = 0

    def read(self) -> list[Event]:
        """Return the events that have been written since the last call, merged."""
        return merge([self._read(node) for node in self._layout.nodes()])

    def _read(self, node: str) -> list[Event]:
        found: list[Event] = []
        try:
            with open(self._layout.events(node), "rb") as file:
                offset = self._offsets.get(node, 0)
                if file.seek(0, 2) < offset:  # begun anew
                    offset = 0
                file.seek(offset)
                data = file.read(READ_BYTES_MAX)
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1  # the rest of a line may still be under way
        self._offsets[node] = offset + whole
        for line in data[:whole].splitlines():
            try:
                event = json.loads(line)
                found.append({"node": node, "number": 0, "wall_ns": 0, "sentence": "", **event})
            except (ValueError, TypeError):
                self.unreadable_count += 1  # a line that a crash cut off
        return found


def merge(streams: Iterable[Sequence[Event]]) -> list[Event]:
    """Return the events of several nodes, each in its own order, as one sequence in causal order."""
    ranked = []
    for index, stream in enumerate(streams):
        term, wall_ns = 0, 0
        for place, event in enumerate(stream):
            term = max(term, term_of(event))
            wall_ns = max(wall_ns, event["wall_ns"])
            ranked.append(((term, wall_ns, index, place), event))
    return [event for _, event in sorted(ranked, key=lambda pair: pair[0])]


def term_of(event: Event) -> int:
    """Return the term in which an event happened; 0 when none was known."""
    inner = event.get("event")
    term = inner.get("term", 0) if isinstance(inner, dict) else 0
    return term if isinstance(term, int) else 0
