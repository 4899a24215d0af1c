"""The agent's line to the ledger: one answer to each question, and the truth about whether the ledger answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from primacy.agent.ledger_line import LedgerLine
from primacy.errors import Unavailable, Uncertain
from primacy.ledger.api import Entry
from primacy.ledger.memory import MemoryLedger, Store
from primacy.machines.ids import Member
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import Mastership
from tests.unit.waiting import wait_until

ME = Member("n1", "1" * 32)
RECORD = Mastership(1, ME, None, 1, "a test", ME)
LIMIT_S = 5.0


class Troubled(MemoryLedger):
    """A ledger that fails with `error` while there is one; a swap is written all the same when it is uncertain."""

    def __init__(self) -> None:
        super().__init__(Store("c"))
        self.error: Exception | None = None

    async def read(self, prefix: str) -> tuple[int, list[Entry]]:
        """Fail, or read."""
        if self.error is not None:
            raise self.error
        return await super().read(prefix)

    async def swap(self, key: str, value: bytes | None, expect: int) -> int:
        """Fail, or swap."""
        if isinstance(self.error, Unavailable):
            raise self.error
        revision = await super().swap(key, value, expect)
        if self.error is not None:
            raise self.error
        return revision


class Line:
    """A line with what it has told."""

    def __init__(self) -> None:
        self.ledger = Troubled()
        self.told: list[tuple[bool, str]] = []
        self.answers: list[Any] = []
        self.line = LedgerLine(self.ledger, lambda available, reason: self.told.append((available, reason)))

    def read(self) -> None:
        """Ask for the record."""
        self.line.read(lambda *found: self.answers.append(found), lambda: self.answers.append("failed"))

    def swap(self, expect: int) -> None:
        """Ask for a change of the record."""
        self.line.swap(expect, RECORD, lambda *said: self.answers.append(said))


async def until(condition: Callable[[], Any]) -> None:
    await wait_until(condition, "the line has told it", LIMIT_S)


async def test_every_question_has_one_answer() -> None:
    line = Line()
    line.read()
    await until(lambda: line.answers)
    line.swap(0)
    await until(lambda: len(line.answers) == 2)
    line.swap(0)
    await until(lambda: len(line.answers) == 3)
    line.read()
    await until(lambda: len(line.answers) == 4)
    revision = line.ledger.store.revision
    assert line.answers == [
        (0, None),
        (SwapAnswer.DONE, revision),
        (SwapAnswer.CONFLICT, 0),
        (revision, RECORD),
    ]
    assert line.told == []
    await line.line.close()


async def test_a_ledger_that_fails_is_told_once_and_its_return_too_though_nobody_asks() -> None:
    line = Line()
    line.ledger.error = Unavailable("the file is gone")
    line.read()
    line.swap(0)
    await until(lambda: len(line.answers) == 2)
    assert sorted(map(str, line.answers)) == sorted(["failed", str((SwapAnswer.UNAVAILABLE, 0))])
    assert line.told == [(False, "the file is gone")]
    line.ledger.error = None
    await until(lambda: line.line.available)
    assert line.told == [(False, "the file is gone"), (True, "")]
    assert len(line.answers) == 2
    await line.line.close()


async def test_a_swap_without_a_clear_answer_is_uncertain() -> None:
    line = Line()
    line.ledger.error = Uncertain("no answer in time")
    line.swap(0)
    await until(lambda: line.answers)
    assert line.answers == [(SwapAnswer.UNCERTAIN, 0)]
    await line.line.close()


async def test_a_watch_tells_every_change_of_the_record() -> None:
    line = Line()
    seen: list[tuple[int, Mastership]] = []
    line.line.watch(lambda revision, record: seen.append((revision, record)))
    line.swap(0)
    await until(lambda: seen)
    assert seen == [(line.ledger.store.revision, RECORD)]
    await line.line.close()
