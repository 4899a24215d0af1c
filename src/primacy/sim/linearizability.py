"""Is a recorded history linearizable?  Wing and Gong's search with Lowe's memory, one key at a time.

A history is what clients saw: when each operation was invoked, when (and if) it completed, and what came
back. It is linearizable when every operation can be given one instant between its invocation and its
completion, such that the results are those of a single copy that executes them in the order of the instants
(Herlihy and Wing, 1990). An operation whose completion is unknown may have taken effect at any time after its
invocation, or never.

The search (Wing and Gong, 1993) takes any operation that no other precedes, applies it to the model and goes
on; Lowe (2017) remembers each pair (operations taken, state) so that none is searched twice. Linearizability
is local: a history is linearizable if it is so key by key, which keeps the searches small. An operation that changes
no state, whatever the state is (a read), is taken as soon as it fits, and no order without it is searched: it could be
moved there in any order that is found later.

Knows nothing of simulation: histories of real processes are checked by the same function, as long as all
times of one history come from one clock. Never decides by giving up silently: a search that is too long is
`UNDECIDED`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from enum import Enum
from typing import Any, Protocol

from msgspec import Struct

STEPS_MAX = 2_000_000


class Record(Struct, frozen=True):
    """One operation of a history. completed_ns: None when the client never learned of an end (`result` is ignored)."""

    client: str
    key: str
    operation: str
    argument: Any
    invoked_ns: int
    completed_ns: int | None
    result: Any = None

    def sentence(self) -> str:
        """Return the operation in words."""
        if self.completed_ns is None:
            end, result = "?", "unknown"
        else:
            end, result = f"{self.completed_ns / 1e6:.3f}", repr(self.result)
        span = f"[{self.invoked_ns / 1e6:.3f}, {end}] ms"
        return f"{self.client} {self.operation}({self.key}, {self.argument!r}) -> {result} {span}"


class Model(Protocol):
    """The single copy that a history is compared with. States are hashable values.

    A model may say in `reads` (a set of names) which operations never change a state.
    """

    @property
    def initial(self) -> Hashable:
        """The state of a key before any operation."""

    def apply(self, state: Hashable, operation: str, argument: Any) -> tuple[Hashable, Any]:
        """Return the state after the operation, and its result."""


class Register:
    """A cell: `write(value)` -> None, `read` -> the value, `swap((expected, value))` -> whether it was written."""

    initial: Hashable = None
    reads = frozenset({"read"})

    def apply(self, state: Hashable, operation: str, argument: Any) -> tuple[Hashable, Any]:
        """Return the state after the operation, and its result."""
        match operation:
            case "write":
                return argument, None
            case "read":
                return state, state
            case "swap":
                expected, value = argument
                return (value, True) if state == expected else (state, False)
        raise ValueError(f"a register has no operation {operation!r}")


class Log:
    """An append-only list of names, seen as (length, last): `append(name)` and `read` both return that pair."""

    initial: Hashable = (0, "")
    reads = frozenset({"read"})

    def apply(self, state: Hashable, operation: str, argument: Any) -> tuple[Hashable, Any]:
        """Return the state after the operation, and its result."""
        assert isinstance(state, tuple)
        match operation:
            case "append":
                state = (state[0] + 1, argument)
                return state, state
            case "read":
                return state, state
        raise ValueError(f"a log has no operation {operation!r}")


class Verdict(Enum):
    """What the search found."""

    LINEARIZABLE = "linearizable"
    VIOLATED = "violated"
    UNDECIDED = "undecided"


class Finding(Struct, frozen=True):
    """The verdict on a history. For a violation: the key, the longest order that fits, and what cannot come next."""

    verdict: Verdict
    key: str = ""
    order: tuple[Record, ...] = ()
    stuck: tuple[Record, ...] = ()

    def sentence(self) -> str:
        """Return the finding in words, with the end of the order that fits."""
        if self.verdict is Verdict.LINEARIZABLE:
            return "the history is linearizable"
        if self.verdict is Verdict.UNDECIDED:
            return f"key {self.key}: the search did not end within its steps; nothing is known"
        fits = "; ".join(record.sentence() for record in self.order[-3:]) or "nothing"
        stuck = "; ".join(record.sentence() for record in self.stuck[:4])
        return f"key {self.key}: after {fits}: none of these can come next: {stuck}"


def check(records: Iterable[Record], model: Model, *, steps_max: int = STEPS_MAX) -> Finding:
    """Return whether the history is linearizable; the first key (in order of name) that is not is reported."""
    keys: dict[str, list[Record]] = {}
    for record in records:
        keys.setdefault(record.key, []).append(record)
    finding = Finding(Verdict.LINEARIZABLE)
    for key in sorted(keys):
        found = _Search(key, keys[key], model).run(steps_max)
        if found.verdict is Verdict.VIOLATED:
            return found
        if found.verdict is Verdict.UNDECIDED:
            finding = found
    return finding


class _Entry:
    """An invocation or a completion in the doubly linked list of what is not taken yet."""

    __slots__ = ("completion", "id", "next", "previous", "record")

    def __init__(self, record: Record, id: int, completion: _Entry | None) -> None:
        self.record, self.id, self.completion = record, id, completion
        self.next: _Entry | None = None
        self.previous: _Entry | None = None

    def take(self) -> None:
        """Unlink this invocation and its completion."""
        self._unlink()
        if self.completion is not None:
            self.completion._unlink()

    def put_back(self) -> None:
        """Undo `take`; calls nest."""
        if self.completion is not None:
            self.completion._link()
        self._link()

    def _unlink(self) -> None:
        assert self.previous is not None
        self.previous.next = self.next
        if self.next is not None:
            self.next.previous = self.previous

    def _link(self) -> None:
        assert self.previous is not None
        self.previous.next = self
        if self.next is not None:
            self.next.previous = self


class _Search:
    """The search over the history of one key."""

    def __init__(self, key: str, records: list[Record], model: Model) -> None:
        self._key, self._model = key, model
        self._reads: frozenset[str] = getattr(model, "reads", frozenset())
        self._head = _Entry(records[0], -1, None)
        self._completed = sum(record.completed_ns is not None for record in records)
        self._link(records)

    def _link(self, records: list[Record]) -> None:
        """Link invocations and completions by time; at one instant invocations come first (they overlap)."""
        entries: list[tuple[int, int, int, _Entry]] = []
        for id, record in enumerate(records):
            completion = None
            if record.completed_ns is not None:
                completion = _Entry(record, id, None)
                entries.append((record.completed_ns, 1, id, completion))
            entries.append((record.invoked_ns, 0, id, _Entry(record, id, completion)))
        last = self._head
        self._invocations = [entry for _, kind, _, entry in entries if kind == 0]
        for _, _, _, entry in sorted(entries, key=lambda e: e[:3]):
            last.next, entry.previous = entry, last
            last = entry

    def run(self, steps_max: int) -> Finding:
        """Search until every completed operation has its place, or no order is left."""
        taken, done = 0, 0
        state = self._model.initial
        stack: list[tuple[_Entry, int, Hashable]] = []
        seen: set[tuple[int, Hashable]] = set()
        longest: tuple[Record, ...] = ()
        stuck: tuple[Record, ...] = ()
        entry = self._head.next
        for _ in range(steps_max):
            if done == self._completed:
                return Finding(Verdict.LINEARIZABLE)
            if entry is not None and self._is_invocation(entry):
                record = entry.record
                after, result = self._model.apply(state, record.operation, record.argument)
                if record.completed_ns is None or result == record.result:
                    position = (taken | 1 << entry.id, after)
                    if position not in seen:
                        seen.add(position)
                        stack.append((entry, taken, state))
                        taken, state = position
                        done += record.completed_ns is not None
                        entry.take()
                        entry = self._head.next
                        continue
                entry = entry.next
                continue
            # A completion (or the end): whatever may come next was tried.
            if not stuck or len(stack) > len(longest):
                longest = tuple(e.record for e, _, _ in stack)
                stuck = self._candidates()
            while True:
                if not stack:
                    return Finding(Verdict.VIOLATED, self._key, longest, stuck)
                entry, taken, state = stack.pop()
                done -= entry.record.completed_ns is not None
                entry.put_back()
                if entry.record.operation not in self._reads:
                    break
            entry = entry.next
        return Finding(Verdict.UNDECIDED, self._key)

    def _is_invocation(self, entry: _Entry) -> bool:
        return entry is self._invocations[entry.id]

    def _candidates(self) -> tuple[Record, ...]:
        """Return the operations that were invoked before the first completion that is not taken."""
        found, entry = [], self._head.next
        while entry is not None and self._is_invocation(entry):
            found.append(entry.record)
            entry = entry.next
        return tuple(found)
