"""Queries that trust no clock: answered when the vice has echoed a beat that was sent after the question.  Pure.

Without a ready vice the ledger is asked instead: is this still the master of this term? One reading that was begun
after them answers all questions that wait; one that fails answers none: they wait for the next one, as long as this
is master of that term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from primacy.machines.host_wire import Confirmed
from primacy.machines.mastership import Monitor
from primacy.machines.records import Mastership

Read = Callable[[Callable[[int, Mastership | None], None], Callable[[], None]], None]
Tell = Callable[[str, Confirmed], None]


class _Question(NamedTuple):
    asked_ns: int
    service: str
    id: int
    term: int


class Confirming:
    """The questions that wait. read(answer, failed): asks the ledger; tell(service, answer): to the host that asked."""

    def __init__(self, monitor: Monitor, read: Read, tell: Tell) -> None:
        self._monitor, self._read, self._tell = monitor, read, tell
        self._waiting: list[_Question] = []
        self._reading = False

    def asked(self, service: str, id: int, now_ns: int) -> None:
        """A primary asks; the caller has the monitor send the next beat at once."""
        self._waiting.append(_Question(now_ns, service, id, self._monitor.term))

    def answer(self) -> None:
        """Something was heard, or time has passed: answer what can be answered."""
        if not self._waiting:
            return
        monitor = self._monitor
        lease, record = monitor.master.lease, monitor.record
        alone = record is None or record.ready_vice is None
        questions, self._waiting = self._waiting, []
        for question in questions:
            if not self._current(question):
                self._answer(question, False)
            elif not alone and lease.sent_ns > question.asked_ns:
                self._answer(question, True)
            else:
                self._waiting.append(question)
        if alone and self._waiting and not self._reading:
            self._reading = True
            questions, self._waiting = self._waiting, []
            self._read(lambda _, record: self._told(questions, record), lambda: self._unread(questions))

    def _told(self, questions: list[_Question], record: Mastership | None) -> None:
        """The ledger has answered; what was asked meanwhile needs another reading."""
        self._reading = False
        me = self._monitor.me
        for question in questions:
            named = record is not None and record.term == question.term and record.is_master(me)
            self._answer(question, named and self._current(question))
        self.answer()

    def _unread(self, questions: list[_Question]) -> None:
        self._reading = False
        self._waiting = questions + self._waiting

    def _current(self, question: _Question) -> bool:
        return self._monitor.role == "master" and self._monitor.term == question.term

    def _answer(self, question: _Question, valid: bool) -> None:
        self._tell(question.service, Confirmed(question.id, valid))
