"""The lines from the nodes to the ledger (`primacy.ledger.memory.Store`), and what goes wrong on them.

Each try of a swap, as the rules of a ledger allow:  written, and answered;  refused (`CONFLICT`), and
answered; `UNAVAILABLE`: not written, and never will be;  `UNCERTAIN`: written at once, written much later, or
never.  A read shows the record at some instant between question and answer, or fails.  The watch brings every
change in order, but late.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from primacy.errors import Conflict
from primacy.ledger.memory import Store
from primacy.machines.ids import MS
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import MASTERSHIP, Mastership, decode_mastership, encode
from primacy.sim.scheduler import Scheduler

WAY_NS = (100_000, 2 * MS)
TIME_OUT_NS = (20 * MS, 60 * MS)
LATE_NS = (10 * MS, 4_000 * MS)
_SILENT = ("unavailable", "partition", "deaf")
"""Modes of a line in which no read is answered and nothing is pushed. The others: `written`, `late`, `never`
(the fate of each swap, whose answer is lost), `uncertain` (one of these three, drawn for each swap), `slow`.
A `deaf` line brings swaps to the ledger and no answer back; one in `partition` brings nothing."""


class Line:
    """One node's line. Faults are held in `modes`; the last one counts."""

    def __init__(self) -> None:
        self.modes: list[str] = []
        self.watch_delay_ns = 0
        self.watched_ns = 0  # arrival of the last change that was pushed: they stay in order

    @property
    def mode(self) -> str:
        """What goes wrong on this line now, if anything."""
        return self.modes[-1] if self.modes else ""


class Ledger:
    """The store behind all lines, with the history of the mastership record."""

    def __init__(self, scheduler: Scheduler, source: random.Random) -> None:
        self._scheduler = scheduler
        self._random = source
        self._store = Store("simulation")
        self.lines: dict[str, Line] = {}
        self.history: list[tuple[int, Mastership]] = []
        self.watchers: dict[str, Callable[[int, Mastership], None]] = {}
        self.written: Callable[[int, Mastership | None, Mastership], None] = lambda revision, old, new: None

    @property
    def revision(self) -> int:
        """Revision of the record, 0 when there is none."""
        return self.history[-1][0] if self.history else 0

    @property
    def record(self) -> Mastership | None:
        """The record as it stands."""
        return self.history[-1][1] if self.history else None

    def line(self, node: str) -> Line:
        """The node's line."""
        return self.lines.setdefault(node, Line())

    def read(
        self, node: str, answer: Callable[[int, Mastership | None], None], failed: Callable[[], None]
    ) -> None:
        """Ask for the record."""
        if self.line(node).mode in _SILENT:
            self._scheduler.after(self._between(TIME_OUT_NS), failed)
        else:
            self._scheduler.after(self._way(node), self._read, node, answer)

    def _read(self, node: str, answer: Callable[[int, Mastership | None], None]) -> None:
        self._scheduler.after(self._way(node), answer, self.revision, self.record)

    def swap(
        self, node: str, expect: int, record: Mastership, answer: Callable[[SwapAnswer, int], None]
    ) -> None:
        """Try a swap; `answer` is called exactly once."""
        mode = self.line(node).mode
        after = self._scheduler.after
        if mode == "partition":
            mode = self._random.choice(("unavailable", "never"))
        elif mode in ("uncertain", "deaf"):
            mode = self._random.choice(("written", "late", "late", "never"))
        if mode == "unavailable":
            after(self._between(TIME_OUT_NS), answer, SwapAnswer.UNAVAILABLE, 0)
        elif mode in ("written", "late", "never"):
            arrives_ns = {"written": self._way(node), "late": self._between(LATE_NS), "never": -1}[mode]
            if arrives_ns >= 0:
                after(arrives_ns, self._arrived, expect, record)
            after(self._between(TIME_OUT_NS), answer, SwapAnswer.UNCERTAIN, 0)
        else:
            after(self._way(node), self._answered, node, expect, record, answer)

    def _answered(
        self, node: str, expect: int, record: Mastership, answer: Callable[[SwapAnswer, int], None]
    ) -> None:
        revision = self._swap(expect, record)
        said = SwapAnswer.DONE if revision else SwapAnswer.CONFLICT
        self._scheduler.after(self._way(node), answer, said, revision)

    def _arrived(self, expect: int, record: Mastership) -> None:
        self._swap(expect, record)

    def _swap(self, expect: int, record: Mastership) -> int:
        """Swap in the store; return the new revision, or 0 for a conflict."""
        try:
            revision = self._store.swap(MASTERSHIP, encode(record), expect)
        except Conflict:
            return 0
        _, entries = self._store.read(MASTERSHIP)
        stored = decode_mastership(entries[0].value)
        old = self.record
        self.history.append((revision, stored))
        self.written(revision, old, stored)
        for node in self.lines:
            self._push(node, revision, stored)
        return revision

    def _push(self, node: str, revision: int, record: Mastership) -> None:
        line = self.line(node)
        if line.mode in _SILENT:
            self._scheduler.after(self._between(TIME_OUT_NS), self._push, node, revision, record)
            return
        delay_ns = self._way(node) + int(self._random.random() * line.watch_delay_ns)
        line.watched_ns = max(line.watched_ns, self._scheduler.now_ns + delay_ns)
        self._scheduler.at(line.watched_ns, self._pushed, node, revision, record)

    def _pushed(self, node: str, revision: int, record: Mastership) -> None:
        watcher = self.watchers.get(node)
        if watcher is not None:
            watcher(revision, record)

    def _way(self, node: str) -> int:
        way_ns = self._between(WAY_NS)
        return way_ns * 50 if self.line(node).mode == "slow" else way_ns

    def _between(self, bounds: tuple[int, int]) -> int:
        return int(self._random.uniform(*bounds))
