"""The lines from the nodes to the ledger (`primacy.ledger.memory.Store`), and what goes wrong on them.

Each try of a swap, of whatever record, as the rules of a ledger allow:  written, and answered;  refused (`CONFLICT`),
and answered; `UNAVAILABLE`: not written, and never will be;  `UNCERTAIN`: written at once, written much later, or
never.  A read shows the mastership at some instant between question and answer, or fails.  The watch tells every
record as it stands, and then every change in order, but late.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

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

Answered = Callable[[SwapAnswer, int], None]
Told = Callable[[str, int, bytes | None], None]  # (key, revision, value)


class Line:
    """One node's line. Faults are held in `modes`; the last one counts."""

    def __init__(self) -> None:
        self.modes: list[str] = []
        self.watch_delay_ns = 0
        self.told: Told | None = None  # who watches
        self.life = 0  # counts the watches: what was on the way to an earlier one is not told
        self.after = -1  # the revision up to which this watch was told; -1: nothing yet
        self.arrived_ns = 0  # of the last change that was put on the way: they stay in order
        self.pumping = False

    @property
    def mode(self) -> str:
        """What goes wrong on this line now, if anything."""
        return self.modes[-1] if self.modes else ""

    @property
    def silent(self) -> bool:
        """Whether nothing comes from the ledger now."""
        return bool(self.modes) and self.modes[-1] in _SILENT


class _Swap(NamedTuple):
    """One try to swap a record."""

    key: str
    expect: int
    value: bytes | None


class Ledger:
    """The store behind all lines, with the history of the mastership record.

    written(revision, old, new): the mastership was changed; changed(key, old, new): another record was.
    """

    def __init__(self, scheduler: Scheduler, source: random.Random) -> None:
        self._scheduler = scheduler
        self._random = source
        self._store = Store("simulation")
        self.lines: dict[str, Line] = {}
        self.history: list[tuple[int, Mastership]] = []
        self.values: dict[str, bytes] = {}
        self.written: Callable[[int, Mastership | None, Mastership], None] = lambda revision, old, new: None
        self.changed: Callable[[str, bytes | None, bytes | None], None] = lambda key, old, new: None

    @property
    def revision(self) -> int:
        """Revision of the mastership, 0 when there is none."""
        return self.history[-1][0] if self.history else 0

    @property
    def record(self) -> Mastership | None:
        """The mastership as it stands."""
        return self.history[-1][1] if self.history else None

    def line(self, node: str) -> Line:
        """The node's line."""
        return self.lines.setdefault(node, Line())

    def put(self, key: str, value: bytes | None) -> None:
        """Write a record whatever is there, at once: for what exists before the cluster does, and for operators."""
        found = [entry.revision for entry in self._store.read(key)[1] if entry.key == key]
        if value is not None or found:
            self._swap(_Swap(key, found[0] if found else 0, value))

    # ---- reads ----

    def read(
        self, node: str, answer: Callable[[int, Mastership | None], None], failed: Callable[[], None]
    ) -> None:
        """Ask for the mastership."""
        if self.line(node).silent:
            self._scheduler.after(self._between(TIME_OUT_NS), failed)
        else:
            self._scheduler.after(self._way(node), self._read, node, answer)

    def _read(self, node: str, answer: Callable[[int, Mastership | None], None]) -> None:
        self._scheduler.after(self._way(node), answer, self.revision, self.record)

    # ---- swaps ----

    def swap(self, node: str, expect: int, record: Mastership, answer: Answered) -> None:
        """Try to swap the mastership; `answer` is called exactly once."""
        self.swap_key(node, MASTERSHIP, expect, encode(record), answer)

    def swap_key(self, node: str, key: str, expect: int, value: bytes | None, answer: Answered) -> None:
        """Try to swap a record; `answer` is called exactly once."""
        mode, after, swap = self.line(node).mode, self._scheduler.after, _Swap(key, expect, value)
        if mode == "partition":
            mode = self._random.choice(("unavailable", "never"))
        elif mode in ("uncertain", "deaf"):
            mode = self._random.choice(("written", "late", "late", "never"))
        if mode == "unavailable":
            after(self._between(TIME_OUT_NS), answer, SwapAnswer.UNAVAILABLE, 0)
        elif mode in ("written", "late", "never"):
            arrives_ns = {"written": self._way(node), "late": self._between(LATE_NS), "never": -1}[mode]
            if arrives_ns >= 0:
                after(arrives_ns, self._late, swap)
            after(self._between(TIME_OUT_NS), answer, SwapAnswer.UNCERTAIN, 0)
        else:
            after(self._way(node), self._arrived, node, swap, answer)

    def _arrived(self, node: str, swap: _Swap, answer: Answered) -> None:
        revision = self._swap(swap)
        said = SwapAnswer.DONE if revision else SwapAnswer.CONFLICT
        self._scheduler.after(self._way(node), answer, said, revision)

    def _late(self, swap: _Swap) -> None:
        self._swap(swap)

    def _swap(self, swap: _Swap) -> int:
        """Swap in the store; return the new revision, or 0 for a conflict."""
        key, expect, value = swap
        try:
            revision = self._store.swap(key, value, expect)
        except Conflict:
            return 0
        before = self.values.pop(key, None)
        if value is not None:
            self.values[key] = value
        if key != MASTERSHIP:
            self.changed(key, before, value)
        elif value is not None:
            old, new = self.record, decode_mastership(value)
            self.history.append((revision, new))
            self.written(revision, old, new)
        for node, line in self.lines.items():
            self._pump(node, line)
        return revision

    # ---- watches ----

    def watch(self, node: str, told: Told) -> None:
        """Tell every record as it stands, and every change from now on."""
        line = self.line(node)
        line.life += 1
        line.told, line.after, line.arrived_ns = told, -1, 0
        self._pump(node, line)

    def unwatch(self, node: str) -> None:
        """Nobody watches any more on this line."""
        line = self.line(node)
        line.life += 1
        line.told = None

    def _pump(self, node: str, line: Line) -> None:
        """Put on the way what was not told yet; a silent line tells it when it speaks again."""
        if line.told is None or line.pumping:
            return
        if line.silent:
            line.pumping = True
            self._scheduler.after(self._between(TIME_OUT_NS), self._pump_again, node, line)
            return
        if line.after < 0:
            found = [(entry.key, entry.revision, entry.value) for entry in self._store.read("")[1]]
            news: list[tuple[str, int, bytes | None]] = list(found)
        else:
            news = [(c.key, c.revision, c.value) for c in self._store.changes_since("", line.after)]
        line.after = self._store.revision
        for each in news:
            delay_ns = self._way(node) + int(self._random.random() * line.watch_delay_ns)
            line.arrived_ns = max(line.arrived_ns, self._scheduler.now_ns + delay_ns)
            self._scheduler.at(line.arrived_ns, self._tell, line, line.life, each)

    def _pump_again(self, node: str, line: Line) -> None:
        line.pumping = False
        self._pump(node, line)

    def _tell(self, line: Line, life: int, news: tuple[str, int, bytes | None]) -> None:
        if line.told is not None and line.life == life:
            line.told(*news)

    def _way(self, node: str) -> int:
        way_ns = self._between(WAY_NS)
        return way_ns * 50 if self.line(node).mode == "slow" else way_ns

    def _between(self, bounds: tuple[int, int]) -> int:
        return int(self._random.uniform(*bounds))
