"""The node's events: a bounded ring in memory, two files for the next lives, and the callers who follow.

Publishing never blocks: lines are written by a thread of their own from a bounded queue (when the disk does not keep
up, lines are dropped from the file, not from the ring, and the number is told).
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from primacy.machines.events import Event, Stamped
from primacy.machines.ids import Member
from primacy.machines.timeline import following

RING_EVENTS_MAX = 5_000
QUEUE_LINES_MAX = 10_000
FILE_BYTES_MAX = 8 << 20
NUMBER_MAX = 1 << 53  # what every reader of JSON takes for a whole number

Follower = Callable[[dict[str, Any]], None]


class EventLog:
    """Events of this node, those of its earlier lives first."""

    def __init__(self, me: Member, path: Path) -> None:
        self._me, self._path = me, path
        self._aside = path.with_suffix(".old.jsonl")
        self._ring: deque[dict[str, Any]] = deque(maxlen=RING_EVENTS_MAX)
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUE_LINES_MAX)
        self._followers: set[Follower] = set()
        self._number = 0
        self.dropped_lines = 0
        self._recall()
        self._writer = threading.Thread(target=self._write, name="events", daemon=True)
        self._writer.start()

    def publish(self, event: Event) -> None:
        """Keep an event, write it, tell the followers."""
        self._number += 1
        stamped = Stamped(
            node=self._me.node,
            incarnation=self._me.incarnation,
            number=self._number,
            wall_ns=time.time_ns(),
            event=event,
        )
        plain = stamped.plain()
        self._ring.append(plain)
        try:
            self._lines.put_nowait(msgspec.json.encode(plain) + b"\n")
        except queue.Full:
            self.dropped_lines += 1
        for follower in list(self._followers):
            follower(plain)

    @property
    def last(self) -> dict[str, Any] | None:
        """The newest event."""
        return self._ring[-1] if self._ring else None

    def since(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` events with a number above `number`, oldest first."""
        return self.after(number)[-limit:] if limit > 0 else []

    def after(self, number: int, life: str = "") -> list[dict[str, Any]]:
        """All events after the one with this number, oldest first; `life`: of that incarnation (see `following`)."""
        return following(self._ring, number, life)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call `follower` with every event from now on; return what ends that."""
        self._followers.add(follower)
        return lambda: self._followers.discard(follower)

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
            self._writer.join(timeout=2)

    def _recall(self) -> None:
        """Read what earlier lives have published, in the order of the numbers, each once."""
        found: dict[int, Stamped] = {}
        for path in (self._path, self._aside):  # the older file only for what the newer one does not hold
            if len(found) >= RING_EVENTS_MAX:
                break
            try:
                lines = path.read_bytes().splitlines()[-RING_EVENTS_MAX:]
            except OSError:
                continue
            for line in lines:
                with contextlib.suppress(
                    ValueError, RecursionError
                ):  # cut off, damaged, or of a newer version
                    stamped = msgspec.json.decode(line, type=Stamped)
                    if 0 < stamped.number < NUMBER_MAX:
                        found.setdefault(stamped.number, stamped)
        for number in sorted(found):
            self._ring.append(found[number].plain())
            self._number = number

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if line is None:
                return
            try:
                if self._path.exists() and self._path.stat().st_size > FILE_BYTES_MAX:
                    self._path.replace(self._aside)
                with self._path.open("ab") as file:
                    file.write(line)
                    while True:
                        try:
                            more = self._lines.get_nowait()
                        except queue.Empty:
                            break
                        if more is None:
                            return
                        file.write(more)
            except OSError as error:
                self.dropped_lines += 1
                sys.stderr.write(f"agent: events cannot be written to {self._path}: {error}\n")
