"""Records of agents for tests: made by real machines with a small driver, written as the recorder writes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from primacy import source
from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines import recorded
from primacy.machines.beginning import Beginning
from primacy.machines.ids import MS, SECOND, Member
from primacy.machines.membership import NodeEntry
from primacy.machines.recorded import Head, Kind
from primacy.machines.records import Mastership
from primacy.machines.timing import PROFILES
from primacy.sim.trace_files import Life
from primacy.sim.trace_replay import Step

N1, N2, N3 = (Member(f"n{i}", f"{i}" * 32) for i in (1, 2, 3))
Row = tuple[int, Any, list[Any]]
"""kind, input, effects."""


def beginning(
    me: Member = N1, nodes: Sequence[str] = ("n1",), now_ns: int = SECOND, **changed: Any
) -> Beginning:
    """What a life begins with, in a cluster of these nodes with one service."""
    fields: dict[str, Any] = {
        "me": me, "cluster": "test", "now_ns": now_ns, "timing": PROFILES["lan"],
        "nodes": tuple(NodeEntry(n) for n in nodes), "volatile": False, "availability": False,
        "services": (c.ServiceEntry("stock"),), "addresses": {n: {"stock": [("h", 1)]} for n in nodes},
        "auto_promote": True,
    }  # fmt: skip
    return Beginning(**fields | changed)


class Lone:
    """The one node of a cluster: its machines; ledger and host answer at once. `rows`: the record."""

    def __init__(self) -> None:
        self.beginning = beginning()
        self.monitor, self.coordinator = self.beginning.monitor(), self.beginning.coordinator()
        self.now_ns = self.beginning.now_ns
        self.rows: list[Row] = []
        self._queue: deque[Any] = deque()
        self._record: Mastership | None = None
        self._revision = 0
        self.give(c.Started(now_ns=self.now_ns))
        self.give(m.Tick(now_ns=self.now_ns))

    def live(self, ms: int) -> None:
        """Let time pass."""
        for _ in range(ms // 50):
            self.now_ns += 50 * MS
            self.give(m.Tick(now_ns=self.now_ns))
            self.give(c.Tick(now_ns=self.now_ns))

    def give(self, item: Any) -> None:
        """Give an input to its machine, and then what comes of it."""
        self._queue.append(item)
        while self._queue:
            item = self._queue.popleft()
            kind = Kind.MONITOR if isinstance(item, m.Input) else Kind.COORDINATOR
            machine: Any = self.monitor if kind is Kind.MONITOR else self.coordinator
            effects = machine.step(item)
            self.rows.append((kind, item, effects))
            for effect in effects:
                self._obey(effect)

    def _obey(self, effect: Any) -> None:
        now = self.now_ns
        match effect:
            case m.Read():
                read = m.Learned(now_ns=now, revision=self._revision, record=self._record, asked_ns=now)
                self._queue.append(read)
            case m.SwapRecord(record=record, token=token):
                self._record, self._revision = record, self._revision + 1
                done = m.SwapAnswer.DONE
                self._queue.append(m.Swapped(now_ns=now, token=token, answer=done, revision=self._revision))
            case (
                m.Adopted() | m.Became() | m.Appointed() | m.ViceReady() | m.Alone() | m.Served() | m.Closed()
            ):
                self._queue.append(c.Membership(now_ns=now, effect=effect))
            case c.Feed(input=item):
                self._queue.append(item)
            case c.Spawn(service=service):
                levels = [h.Callback("initialize", level, f"step-{level}") for level in (1, 2)]
                self._queue.append(
                    c.HostSaid(now_ns=now, service=service, message=h.Opened(service, levels, 0, 0))
                )
            case c.ToHost(service=service, message=h.Run(id=run)):
                self._queue.append(c.HostSaid(now_ns=now, service=service, message=h.Ran(run, "done")))


def head(begins: Beginning, **changed: Any) -> Head:
    """The head of a file, as this version writes it."""
    fields: dict[str, Any] = {
        "format": recorded.FORMAT, "version": source.VERSION, "code": source.digest(), "part": 0, "first": 0,
        "wall_ns": 1, "clock": "this machine's", "node": begins.me.node, "incarnation": begins.me.incarnation,
        "beginning": msgspec.Raw(recorded.encode(begins)),
    }  # fmt: skip
    return Head(**fields | changed)


def write(
    path: Path, of: Head, rows: Iterable[Row], *, words: str | None = "the agent ended in order"
) -> Path:
    """Write a file of a record; words: those with which it ends (None: it ends without)."""
    entries = [recorded.encode((of.first + n, *row)) for n, row in enumerate(rows)]
    if words is not None:
        entries.append(recorded.encode((of.first + len(entries), Kind.END, words, [])))
    blocks = b"".join(recorded.block(recorded.joined([entry])) for entry in entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(recorded.MAGIC + recorded.block(recorded.encode(of)) + blocks)
    return path


def step(member: Member, item: Any, *effects: Any, number: int = 0) -> Step:
    """A step of a life, that no machine has taken."""
    kind = Kind.MONITOR if isinstance(item, m.Input) else Kind.COORDINATOR
    entry = recorded.decode_entry(recorded.encode((number, kind, item, list(effects))))
    return Step(Life(head(beginning(member)), []), entry, item, list(effects))
