"""The events of the nodes of a local cluster, read from their files: of those that do not run as well."""

from __future__ import annotations

import json
import os
from pathlib import Path

from primacy.local.layout import Layout
from primacy.machines.timeline import Event, merge, taken

READ_BYTES_MAX = 16 * 1024 * 1024


class EventFiles:
    """Reads the events of all nodes, each once. A file that has grown too large was put aside: it is read first."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read_up_to: dict[str, tuple[int, int]] = {}  # the file's inode, and the offset in it
        self.unreadable_count = 0

    def skip(self) -> None:
        """Leave out what is there already."""
        for node in self._layout.nodes():
            try:
                found = self._layout.events(node).stat()
                self._read_up_to[node] = (found.st_ino, found.st_size)
            except OSError:
                self._read_up_to[node] = (0, 0)

    def read(self) -> list[Event]:
        """Return the events that have been written since the last call, merged."""
        return merge([self.of(node) for node in self._layout.nodes()])

    def of(self, node: str) -> list[Event]:
        """Return the events of one node that have been written since the last call, in its order."""
        current = self._layout.events(node)
        inode, offset = self._read_up_to.get(node, (None, 0))
        found: list[Event] = []
        if inode != _inode(current):
            aside = self._layout.events_aside(node)
            if inode is None or inode == _inode(aside):
                found += self._lines(node, aside, offset)
            offset = 0
        return found + self._lines(node, current, offset)

    def _lines(self, node: str, path: Path, offset: int) -> list[Event]:
        """Return the events of a file after `offset`, and remember where to go on."""
        found: list[Event] = []
        try:
            with open(path, "rb") as file:
                if file.seek(0, os.SEEK_END) < offset:  # begun anew
                    offset = 0
                file.seek(offset)
                data = file.read(READ_BYTES_MAX)
                inode = os.fstat(file.fileno()).st_ino
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1  # the rest of a line may still be under way
        self._read_up_to[node] = (inode, offset + whole)
        for line in data[:whole].splitlines():
            try:
                event = taken({"node": node} | json.loads(line))
            except (ValueError, TypeError, RecursionError):
                event = None
            if event is not None:
                found.append(event)
            else:
                self.unreadable_count += 1  # a line that a crash cut off
        return found


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
