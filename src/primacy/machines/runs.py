"""The callback sequences in progress on one node: their callbacks' runs, contexts and outcomes.  Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from primacy.machines.coordination import Publish, ToHost
from primacy.machines.events import CallbackFailed, FunctionBegan, FunctionEnded, LevelCompleted
from primacy.machines.host_wire import Cancel, Context, Ran, Run
from primacy.machines.ids import MS
from primacy.machines.policies import meaning
from primacy.machines.sequence import (
    EVERY_LEVEL,
    CancelCallback,
    Finished,
    LevelComplete,
    RunCallback,
    Sequence,
    SequenceEffect,
    Step,
    Trouble,
    Undone,
    Wait,
)

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator


@dataclass(slots=True)
class Frame:
    """What the callbacks of one sequence are told."""

    cause: str
    old_state: str
    new_state: str
    peer: str | None = None
    clean: bool = True


@dataclass(slots=True)
class _Active:
    sequence: Sequence
    frame: Frame
    began_ns: int
    quiet: bool
    operation: str  # of the cluster, that it belongs to; empty: to none
    on_level: Callable[[int], None] | None
    on_end: Callable[[tuple[str, ...] | None], None]  # None: finished; else the reasons why it was undone


class Runs:
    """Sequences by key; `key` is the function, or function:service for a single server's own."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self._ids = itertools.count(1)
        self._active: dict[str, _Active] = {}
        self._begun: set[tuple[str, int, str, str, bool]] = set()  # callbacks begun in this term
        self._begun_term = 0
        self._judged = ""  # the service whose callbacks end with a host that was ended for a failure

    def __contains__(self, key: str) -> bool:
        return key in self._active

    def progress(self) -> tuple[str, int, list[str]] | None:
        """The function in progress, its level, and who it waits for."""
        for active in self._active.values():
            level = active.sequence.level
            return active.sequence.function, level if level is not None else 0, active.sequence.waits_for()
        return None

    def waits(self) -> list[Wait]:
        """Who is waited for by what is in progress."""
        return [wait for active in self._active.values() for wait in active.sequence.waits()]

    def begin(
        self,
        key: str,
        function: str,
        steps: Iterable[Step],
        frame: Frame,
        on_end: Callable[[tuple[str, ...] | None], None],
        *,
        on_level: Callable[[int], None] | None = None,
        descending: bool = False,
        abortable: bool = False,
        barrier: int = EVERY_LEVEL,
        quiet: bool = False,
        undo: bool = False,
    ) -> None:
        """Start a sequence; `on_end` is called once, unless it is cancelled. quiet: no began/ended events. undo: all
        steps were completed by a run that has ended, and are taken back."""
        assert key not in self._active, key
        sequence = Sequence(
            function, steps, self._ids, descending=descending, abortable=abortable, barrier=barrier
        )
        operation = self._ssc.functions.named(function)
        self._active[key] = _Active(sequence, frame, self._ssc.now_ns, quiet, operation, on_level, on_end)
        if not quiet:
            event = FunctionBegan(
                term=self._ssc.term,
                node=self._ssc.node,
                function=function,
                cause=frame.cause,
                operation=operation,
            )
            self._ssc.emit(Publish(event))
        self._obey(key, (sequence.take_back if undo else sequence.start)(self._ssc.now_ns))

    def open_to(self, key: str, level: int) -> None:
        """Open the barrier of a sequence that is in progress up to this level."""
        self._obey(key, self._active[key].sequence.open_to(level, self._ssc.now_ns))

    def ran(self, message: Ran) -> None:
        """A callback ended."""
        for key, active in list(self._active.items()):
            self._obey(
                key, active.sequence.ran(message.id, message.outcome, message.reason, self._ssc.now_ns)
            )

    def lost(self, service: str, reason: str, *, judged: bool = False) -> None:
        """The host of a service is gone. judged: it was ended for a failure that is seen to; that its callbacks end
        with it is told, and means nothing more."""
        self._judged = service if judged else ""
        for key, active in list(self._active.items()):
            self._obey(key, active.sequence.lost(service, reason, self._ssc.now_ns))
        self._judged = ""

    def tick(self) -> None:
        """Time has passed."""
        for key, active in list(self._active.items()):
            self._obey(key, active.sequence.tick(self._ssc.now_ns))

    def wake(self) -> None:
        """Ask for the tick that the sequences in progress need next; last in a step, when all have begun."""
        for active in self._active.values():
            at_ns = active.sequence.next_ns()
            if at_ns is not None:
                self._ssc.wake(at_ns)

    def cancel(self, key: str) -> None:
        """The term of a sequence ended."""
        active = self._active.pop(key, None)
        if active is not None:
            for effect in active.sequence.cancel():
                assert isinstance(effect, CancelCallback)
                self._ssc.emit(ToHost(effect.service, Cancel(effect.id)))

    def abort(self, key: str, reason: str) -> None:
        """Refuse an abortable sequence from outside; it undoes and ends with this reason."""
        if key in self._active:
            self._obey(key, self._active[key].sequence.abort(reason, self._ssc.now_ns))

    def _obey(self, key: str, effects: list[SequenceEffect]) -> None:
        active = self._active.get(key)
        for effect in effects:
            assert active is not None
            if self._active.get(key) is not active:
                return  # what came before ended it
            match effect:
                case RunCallback():
                    self._run(active, effect)
                case CancelCallback(id=run, service=service):
                    self._ssc.emit(ToHost(service, Cancel(run)))
                case LevelComplete(level=level, services=services):
                    self._level(active, level, services)
                case Trouble():
                    self._trouble(active, effect)
                case Finished():
                    self._end(key, active, None)
                case Undone(reasons=reasons):
                    self._end(key, active, reasons)
                case _:
                    assert_never(effect)

    def _run(self, active: _Active, effect: RunCallback) -> None:
        callback, frame = effect.step.callback, active.frame
        old, new = (frame.new_state, frame.old_state) if effect.undo else (frame.old_state, frame.new_state)
        context = Context(
            function=callback.function,
            level=callback.level,
            term=self._ssc.term,
            cause=f"undone: {frame.cause}" if effect.undo else frame.cause,
            old_state=old,
            new_state=new,
            peer=frame.peer,
            clean=frame.clean,
            deadline_s=callback.timeout_s,
            node=self._ssc.node,
            again=self._again(effect),
        )
        self._ssc.emit(ToHost(effect.step.service, Run(effect.id, callback.name, context)))

    def _again(self, effect: RunCallback) -> bool:
        """Was this callback begun before in this term, on this life of the node? From now on it was."""
        if self._begun_term != self._ssc.term:
            self._begun_term = self._ssc.term
            self._begun.clear()
        callback = effect.step.callback
        what = (callback.function, callback.level, effect.step.service, callback.name, effect.undo)
        again = what in self._begun
        self._begun.add(what)
        return again

    def _level(self, active: _Active, level: int, services: tuple[str, ...]) -> None:
        event = LevelCompleted(
            term=self._ssc.term,
            node=self._ssc.node,
            function=active.sequence.function,
            level=level,
            services=list(services),
            operation=active.operation,
        )
        self._ssc.emit(Publish(event))
        if active.on_level is not None:
            active.on_level(level)

    def _trouble(self, active: _Active, trouble: Trouble) -> None:
        callback, sequence = trouble.step.callback, active.sequence
        means = meaning(
            sequence.function,
            active.frame.new_state,
            trouble.policy,
            abortable=sequence.abortable,
            undo=trouble.undo,
        )
        seen_to = trouble.policy == "retry" or trouble.step.service == self._judged
        event = CallbackFailed(
            term=self._ssc.term,
            node=self._ssc.node,
            service=trouble.step.service,
            function=active.sequence.function,
            level=callback.level,
            callback=callback.name,
            reason=trouble.reason,
            meaning="" if seen_to else means.value,
        )
        self._ssc.emit(Publish(event))
        if not seen_to:
            where = f"{callback.name} ({sequence.function}, level {callback.level})"
            self._ssc.recovery.callback_failed(trouble.step.service, means, trouble.reason, where)

    def _end(self, key: str, active: _Active, reasons: tuple[str, ...] | None) -> None:
        del self._active[key]
        if not active.quiet:
            event = FunctionEnded(
                term=self._ssc.term,
                node=self._ssc.node,
                function=active.sequence.function,
                outcome="completed" if reasons is None else "was refused and undone",
                reasons=list(reasons or ()),
                duration_ms=(self._ssc.now_ns - active.began_ns) / MS,
                operation=active.operation,
            )
            self._ssc.emit(Publish(event))
        active.on_end(reasons)
