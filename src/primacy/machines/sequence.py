"""One callback sequence on one node: levels in order, callbacks of a level together, the next level waits for all.

The machine knows nothing of processes: it says which callback to run and is told how it ended.  An abortable sequence
undoes what was completed, in reverse, when a callback refuses; one that is not abortable goes on and reports the
trouble, since a failover must not stop half-way.  Pure; times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Struct

from primacy.machines.host_wire import Callback
from primacy.machines.ids import SECOND

SILENCE_NS = (
    SECOND // 2
)  # how long past its time-out a callback's host may be silent before it counts as timed out
CALLBACK_S_MAX = 86_400.0  # what a registration says beyond this (or says no number at all) counts as this
EVERY_LEVEL = 1 << 30


class Step(Struct, frozen=True):
    """One callback of one service in a plan."""

    service: str
    callback: Callback


class RunCallback(Struct, frozen=True):
    """Run this callback; answered by `ran` with the same id. undo: take back what it had completed."""

    id: int
    step: Step
    undo: bool


class CancelCallback(Struct, frozen=True):
    """Cancel it: its outcome does not matter any more."""

    id: int
    service: str


class LevelComplete(Struct, frozen=True):
    """All callbacks of the level have completed."""

    level: int
    services: tuple[str, ...]


class Trouble(Struct, frozen=True):
    """A callback did not complete. policy: refuse | restart | escalate; retry: it is tried again, nothing else yet.

    undo: it was its undoing that did not complete.
    """

    step: Step
    reason: str
    policy: str
    undo: bool = False


class Finished(Struct, frozen=True):
    """The last level is complete."""


class Undone(Struct, frozen=True):
    """The sequence was refused and is undone; `reasons` name the callbacks."""

    reasons: tuple[str, ...]


class Wait(Struct, frozen=True):
    """Somebody that is waited for: `what`, since when, and until when at most (0: not known, or for ever).

    function, level: what it holds up; no level before the first and after the last of them.
    """

    what: str
    since_ns: int = 0
    until_ns: int = 0
    function: str = ""
    level: int | None = None


SequenceEffect = RunCallback | CancelCallback | LevelComplete | Trouble | Finished | Undone


@dataclass(slots=True)
class _Running:
    step: Step
    began_ns: int
    deadline_ns: int
    attempts: int
    undo: bool


def plan(function: str, services: dict[str, list[Callback]]) -> list[Step]:
    """Return the steps of a function, by level, then service, then name."""
    steps = [Step(s, c) for s, callbacks in services.items() for c in callbacks if c.function == function]
    return sorted(steps, key=lambda s: (s.callback.level, s.service, s.callback.name))


def patience_ns(steps: Iterable[Step]) -> int:
    """Return how long the steps may take at most, one after the other, with all their retries."""
    return sum(
        (_ns(s.callback.timeout_s) + SILENCE_NS + _ns(s.callback.delay_s)) * (1 + max(0, s.callback.retries))
        for s in steps
    )


def _name(step: Step) -> str:
    return f"{step.service}.{step.callback.name}"


def _ns(seconds: float) -> int:
    """Nanoseconds of what a host has registered, whatever that is: a time is never negative, nor endless."""
    return int(min(max(0.0, seconds), CALLBACK_S_MAX) * SECOND)


def _last_resort(callback: Callback) -> str:
    """What counts when a callback is not tried again."""
    return "refuse" if callback.on_failure == "retry" else callback.on_failure


class Sequence:
    """One run of one function on one node.

    ids: source of run ids, shared by all sequences of the node. barrier: the highest level that may start now.
    """

    def __init__(
        self,
        function: str,
        steps: Iterable[Step],
        ids: Iterable[int],
        *,
        descending: bool = False,
        abortable: bool = False,
        barrier: int = EVERY_LEVEL,
    ) -> None:
        self.function = function
        self.ended = False
        self._ids = iter(ids)
        self.abortable = abortable
        self._barrier = barrier
        by_level: dict[int, list[Step]] = {}
        for step in steps:
            by_level.setdefault(step.callback.level, []).append(step)
        self._by_level = by_level
        self._levels = sorted(by_level, reverse=descending)
        self._index = -1
        self._begun = False
        self._reached_ns = 0  # when the level was reached: it may have waited for its barrier since
        self._running: dict[int, _Running] = {}
        self._retries: list[tuple[int, Step, int]] = []  # (at_ns, step, attempts so far)
        self._completed: list[Step] = []
        self._reasons: list[str] = []
        self._undo: list[list[Step]] | None = None

    @property
    def level(self) -> int | None:
        """The level in progress, or the one that waits for its barrier."""
        return self._levels[self._index] if 0 <= self._index < len(self._levels) else None

    def waits_for(self) -> list[str]:
        """Who this sequence waits for, in words only."""
        return [wait.what for wait in self.waits()]

    def waits(self) -> list[Wait]:
        """Who this sequence waits for: `service.callback`, one that is to be tried again, or the barrier."""
        if not self._begun and self.level is not None:
            return [self._wait(f"the master to complete level {self.level}", self._reached_ns)]
        found = []
        for r in self._running.values():
            what = f"{'the undoing of ' if r.undo else ''}{_name(r.step)}"
            found.append(self._wait(what, r.began_ns, r.began_ns + _ns(r.step.callback.timeout_s)))
        again = [self._wait(f"{_name(step)} to be tried again", 0, at_ns) for at_ns, step, _ in self._retries]
        return found + again

    def _wait(self, what: str, since_ns: int, until_ns: int = 0) -> Wait:
        return Wait(what, since_ns, until_ns, self.function, self.level)

    def start(self, now_ns: int) -> list[SequenceEffect]:
        """Begin with the first level."""
        return self._next_level(now_ns)

    def take_back(self, now_ns: int) -> list[SequenceEffect]:
        """Begin with undoing every step, last level first: all of them had been completed, by a run that has ended."""
        self._completed = [step for level in self._levels for step in self._by_level[level]]
        return self._begin_undo(now_ns)

    def open_to(self, level: int, now_ns: int) -> list[SequenceEffect]:
        """The barrier is open up to this level: the master has completed it."""
        self._barrier = max(self._barrier, level)
        waits = not self._begun and not self.ended and self._undo is None and self.level is not None
        return self._enter(now_ns) if waits else []

    def ran(self, run: int, outcome: str, reason: str, now_ns: int) -> list[SequenceEffect]:
        """A callback ended: done, or refused | failed | timeout | cancelled with a reason."""
        running = self._running.pop(run, None)
        if running is None or self.ended:
            return []
        if outcome == "done":
            if not running.undo:
                self._completed.append(running.step)
            return self._proceed(now_ns)
        return self._failed(running, f"{outcome}: {reason}" if reason else outcome, now_ns)

    def lost(self, service: str, reason: str, now_ns: int) -> list[SequenceEffect]:
        """The service's host is gone: its running callbacks will not answer, its other ones cannot run or be undone."""
        out: list[SequenceEffect] = []
        for steps in self._by_level.values():
            steps[:] = [s for s in steps if s.service != service or s in self._completed]
        self._levels[self._index + 1 :] = [n for n in self._levels[self._index + 1 :] if self._by_level[n]]
        self._completed = [s for s in self._completed if s.service != service]
        if self._undo is not None:
            self._undo = [
                kept for group in self._undo if (kept := [s for s in group if s.service != service])
            ]
        waited = [r.step for r in self._running.values() if r.step.service == service and not r.undo]
        waited += [step for _, step, _ in self._retries if step.service == service]
        self._running = {run: r for run, r in self._running.items() if r.step.service != service}
        self._retries = [r for r in self._retries if r[1].service != service]
        for step in waited:
            out += self._gave_up(step, reason)
        return out + self._proceed(now_ns)

    def tick(self, now_ns: int) -> list[SequenceEffect]:
        """Time has passed: retry what is due, give up what is silent past its time-out."""
        out: list[SequenceEffect] = []
        due = [r for r in self._retries if r[0] <= now_ns]
        self._retries = [r for r in self._retries if r[0] > now_ns]
        out += [self._run(step, now_ns, attempts, undo=False) for _, step, attempts in due]
        for run, running in list(self._running.items()):
            if now_ns >= running.deadline_ns:
                del self._running[run]
                out.append(CancelCallback(run, running.step.service))
                out += self._failed(running, "timeout: its host is silent", now_ns)
        return out

    def next_ns(self) -> int | None:
        """When `tick` is due next."""
        times = [r.deadline_ns for r in self._running.values()] + [r[0] for r in self._retries]
        return min(times, default=None)

    def cancel(self) -> list[SequenceEffect]:
        """The term ended: cancel what runs; nothing more comes of this sequence."""
        out: list[SequenceEffect] = [CancelCallback(run, r.step.service) for run, r in self._running.items()]
        self._running.clear()
        self._retries.clear()
        self.ended = True
        return out

    def abort(self, reason: str, now_ns: int) -> list[SequenceEffect]:
        """Refuse from outside (a precondition broke): cancel what runs, undo what was completed.  Once only."""
        if self.ended or self._undo is not None:
            return []
        out: list[SequenceEffect] = [CancelCallback(run, r.step.service) for run, r in self._running.items()]
        self._running.clear()
        self._retries.clear()
        self._reasons.append(reason)
        return out + self._begin_undo(now_ns)

    # ---- inside ----

    def _next_level(self, now_ns: int) -> list[SequenceEffect]:
        self._index += 1
        self._begun, self._reached_ns = False, now_ns
        if self._index >= len(self._levels):
            self.ended = True
            return [Finished()]
        return self._enter(now_ns)

    def _enter(self, now_ns: int) -> list[SequenceEffect]:
        level = self.level
        assert level is not None
        if level > self._barrier:
            return []
        self._begun = True
        started: list[SequenceEffect] = [self._run(s, now_ns, 0, undo=False) for s in self._by_level[level]]
        return started or self._proceed(now_ns)

    def _run(self, step: Step, now_ns: int, attempts: int, *, undo: bool) -> RunCallback:
        run = next(self._ids)
        deadline_ns = now_ns + _ns(step.callback.timeout_s) + SILENCE_NS
        self._running[run] = _Running(step, now_ns, deadline_ns, attempts + 1, undo)
        return RunCallback(run, step, undo)

    def _proceed(self, now_ns: int) -> list[SequenceEffect]:
        if self._running or self._retries or self.ended:
            return []
        if self._undo is not None:
            return self._next_undo(now_ns)
        if not self._begun:
            return []
        if self._reasons and self.abortable:
            return self._begin_undo(now_ns)
        level = self.level
        assert level is not None
        services = tuple(sorted({s.service for s in self._by_level[level]}))
        return [LevelComplete(level, services), *self._next_level(now_ns)]

    def _failed(self, running: _Running, reason: str, now_ns: int) -> list[SequenceEffect]:
        step = running.step
        callback = step.callback
        if not running.undo and callback.on_failure == "retry" and running.attempts <= callback.retries:
            self._retries.append((now_ns + _ns(callback.delay_s), step, running.attempts))
            return [Trouble(step, f"{reason}; attempt {running.attempts}, trying again", "retry")]
        if running.undo:
            return [Trouble(step, reason, _last_resort(callback), True), *self._proceed(now_ns)]
        return [*self._gave_up(step, reason), *self._proceed(now_ns)]

    def _gave_up(self, step: Step, reason: str) -> list[SequenceEffect]:
        callback = step.callback
        self._reasons.append(f"{step.service}.{callback.name} at level {callback.level}: {reason}")
        return [Trouble(step, reason, _last_resort(callback))]

    def _begin_undo(self, now_ns: int) -> list[SequenceEffect]:
        groups: dict[int, list[Step]] = {}
        for step in reversed(self._completed):
            groups.setdefault(step.callback.level, []).append(step)
        self._undo = list(groups.values())
        return self._next_undo(now_ns)

    def _next_undo(self, now_ns: int) -> list[SequenceEffect]:
        assert self._undo is not None
        if self._undo:
            return [self._run(step, now_ns, 0, undo=True) for step in self._undo.pop(0)]
        self.ended = True
        return [Undone(tuple(self._reasons))]
