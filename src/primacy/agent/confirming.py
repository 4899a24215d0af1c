"""Queries that trust no clock: answered when the vice has echoed a beat that was sent after the question.

Without a ready vice the ledger is asked instead: is this still the master of this term?
"""

from __future__ import annotations

from collections.abc import Callable

from primacy.agent.ledger_line import LedgerLine
from primacy.machines.host_wire import Confirmed
from primacy.machines.mastership import Monitor
from primacy.machines.records import Mastership

Tell = Callable[[str, Confirmed], None]


class Confirming:
    """The questions that wait. tell(service, answer): to the host that asked."""

    def __init__(self, monitor: Monitor, ledger: LedgerLine, tell: Tell) -> None:
        self._monitor, self._ledger, self._tell = monitor, ledger, tell
        self._waiting: list[tuple[int, str, int, int]] = []  # (asked_ns, service, id, term)

    def asked(self, service: str, number: int, now_ns: int) -> None:
        """A primary asks; the caller has the monitor send the next beat at once."""
        self._waiting.append((now_ns, service, number, self._monitor.term))

    def answer(self) -> None:
        """Something was heard, or time has passed: answer what can be answered."""
        if not self._waiting:
            return
        monitor = self._monitor
        lease = monitor.master.lease
        record = monitor.record
        with_vice = record is not None and record.ready_vice is not None
        waiting = []
        for asked_ns, service, number, term in self._waiting:
            if monitor.role != "master" or monitor.term != term:
                self._tell(service, Confirmed(number, False))
            elif not with_vice:
                self._ask_ledger(service, number, term)
            elif lease.until_ns - lease.lease_ns > asked_ns:
                self._tell(service, Confirmed(number, True))
            else:
                waiting.append((asked_ns, service, number, term))
        self._waiting = waiting

    def _ask_ledger(self, service: str, number: int, term: int) -> None:
        def read(_: int, record: Mastership | None) -> None:
            valid = record is not None and record.term == term and record.is_master(self._monitor.me)
            self._tell(service, Confirmed(number, valid))

        self._ledger.read(read, lambda: self._tell(service, Confirmed(number, False)))
