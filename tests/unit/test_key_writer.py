"""One change of a record: every answer of the ledger, in every order in which the watch may tell it, too."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines.key_writer import AGAIN_NS
from primacy.machines.membership import SwapAnswer
from primacy.machines.swap import Outcome
from tests.unit.ssc_tools import Rig


class Silent(Rig):
    """A rig whose ledger answers when the test says so."""

    def _swap(self, swap: c.SwapKey) -> None:
        """Nothing yet."""

    def begin(self, value: bytes | None = b"{}") -> list[Outcome]:
        """Begin a change of the key `k`; return where its outcome will be."""
        found: list[Outcome] = []
        self.ssc.writer.write("k", value, found.append)
        return found

    def answer(self, said: SwapAnswer, token: int = 1, revision: int = 0) -> None:
        """The ledger answers."""
        self.give(c.KeySwapped(now_ns=self.now_ns, token=token, answer=said, revision=revision))

    def tell(self, revision: int, value: bytes | None, key: str = "k") -> None:
        """The watch tells a record."""
        self.give(c.RecordChanged(now_ns=self.now_ns, key=key, revision=revision, value=value))

    def swaps(self) -> list[c.SwapKey]:
        """The tries that were sent."""
        return [e for e in self.effects if isinstance(e, c.SwapKey)]


def test_done_is_done() -> None:
    rig = Silent()
    found = rig.begin()
    assert rig.ssc.writer.busy
    rig.answer(SwapAnswer.DONE, revision=7)
    assert found == [Outcome.DONE]
    assert rig.ssc.writer.revision("k") == 7
    assert not rig.ssc.writer.busy


def test_the_watch_may_be_the_first_to_tell() -> None:
    rig = Silent()
    found = rig.begin()
    rig.tell(7, b"{}")
    assert found == [Outcome.DONE]
    rig.answer(SwapAnswer.DONE, revision=7)
    assert found == [Outcome.DONE]


def test_another_change_came_first() -> None:
    rig = Silent()
    found = rig.begin()
    rig.answer(SwapAnswer.CONFLICT)
    assert found == []  # by what, tells the watch
    rig.tell(7, b"[]")
    assert found == [Outcome.LOST]


def test_a_change_that_is_surely_not_written() -> None:
    rig = Silent()
    found = rig.begin()
    rig.answer(SwapAnswer.UNAVAILABLE)
    assert found == [Outcome.NOT_WRITTEN]
    assert rig.ssc.writer.revision("k") == 0


def test_what_is_uncertain_is_repeated_until_it_is_settled() -> None:
    rig = Silent()
    found = rig.begin()
    rig.effects.clear()
    rig.answer(SwapAnswer.UNCERTAIN)
    assert found == []
    rig.run(2 * AGAIN_NS / 1e6)
    [again] = rig.swaps()
    assert (again.key, again.value, again.expect, again.token) == ("k", b"{}", 0, 2)
    rig.answer(SwapAnswer.UNAVAILABLE, token=1)  # an old try's answer settles nothing
    rig.answer(SwapAnswer.UNAVAILABLE, token=2)  # nor does this: the first one may be written still
    assert found == []
    rig.run(2 * AGAIN_NS / 1e6)
    rig.answer(SwapAnswer.CONFLICT, token=3)
    rig.tell(9, b"{}")
    assert found == [Outcome.DONE]


def test_old_news_is_no_news() -> None:
    rig = Silent()
    rig.tell(9, b"1")
    assert not rig.ssc.writer.told(c.RecordChanged(now_ns=1, key="k", revision=8, value=b"2"))
    found = rig.begin()
    rig.ssc.writer.proceed()
    rig.tell(8, b"2")
    assert found == []
    assert rig.ssc.writer.revision("k") == 9


def test_what_is_not_there_is_deleted_already() -> None:
    rig = Silent()
    assert rig.begin(None) == [Outcome.DONE]
    rig.tell(3, b"1")
    rig.tell(4, None)
    assert rig.ssc.writer.revision("k") == 0
    assert rig.begin(None) == [Outcome.DONE]


def test_a_record_is_what_was_told_last() -> None:
    rig = Silent()
    assert rig.ssc.writer.value("k") is None
    rig.tell(7, b"{}")
    assert rig.ssc.writer.value("k") == b"{}"
    rig.tell(8, None)
    assert rig.ssc.writer.value("k") is None
