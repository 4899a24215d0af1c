"""Questions that trust no clock: answered by an echo of a later beat, or by the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from primacy.agent.ledger_line import LedgerLine
from primacy.ledger.memory import MemoryLedger, Store
from primacy.machines import membership as m
from primacy.machines.confirming import Confirming
from primacy.machines.host_wire import Confirmed
from primacy.machines.messages import Beat
from primacy.machines.records import MASTERSHIP, Mastership, encode
from primacy.machines.timing import PROFILES, between
from tests.unit.cgtp_tools import until
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster


class Rig:
    """Three monitors with an instant network, and the questions of n1; its ledger is asked for real."""

    def __init__(self) -> None:
        self.cluster = Cluster(N1, N2, N3)
        self.cluster.formed()
        self.store = Store("c")
        self.ledger = MemoryLedger(self.store)
        self.told: list[tuple[str, Confirmed]] = []
        self.line = LedgerLine(self.ledger, lambda available, reason: None)
        self.confirming = Confirming(
            self.cluster.monitors["n1"],
            self.line.read,
            lambda service, answer: self.told.append((service, answer)),
        )

    def write(self, record: Mastership) -> None:
        """Put a record into the ledger."""
        self.store.swap(MASTERSHIP, encode(record), 0)

    def ask(self, number: int = 1) -> None:
        """A primary of n1 asks now."""
        self.confirming.asked("stock", number, self.cluster.now_ns)
        self.confirming.answer()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.line.close()


async def test_only_an_echo_of_a_beat_that_was_sent_after_the_question_answers_it(rig: Rig) -> None:
    cluster = rig.cluster
    cluster.cut = {("n1", "n2")}
    cluster.run(20, "n1")
    cluster.now_ns += 1
    rig.ask()
    assert rig.told == [], "the lease is held, by an echo of an earlier beat"
    cluster.effects["n1"].clear()
    cluster.give("n1", m.EchoWanted(now_ns=cluster.now_ns))
    sent = [e.message for e in cluster.took("n1", m.Send) if isinstance(e.message, Beat) and e.node == "n2"]
    assert [b.sent_ns for b in sent] == [cluster.now_ns], "the next beat goes out at once"
    rig.confirming.answer()
    assert rig.told == []
    cluster.cut = set()
    cluster.run(TIMING.beat_ms)
    rig.confirming.answer()
    assert rig.told == [("stock", Confirmed(1, True))]
    rig.confirming.answer()
    assert len(rig.told) == 1


async def test_other_times_confirm_nothing(rig: Rig) -> None:
    cluster = rig.cluster
    cluster.cut = {("n1", "n2")}
    cluster.run(20, "n1")
    cluster.now_ns += 1
    rig.ask()
    cluster.now_ns += 1
    for times in (between(TIMING, PROFILES["carrier"]), PROFILES["carrier"], PROFILES["wan"]):
        cluster.give("n1", m.Retimed(now_ns=cluster.now_ns, timing=times))
        rig.confirming.answer()
        assert rig.told == [], "no beat that was sent since is answered"


async def test_a_question_of_a_term_that_is_over_is_denied(rig: Rig) -> None:
    cluster = rig.cluster
    cluster.cut = {("n1", "n2")}
    rig.ask()
    cluster.give("n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=True, cause="test"))
    rig.confirming.answer()
    assert rig.told == [("stock", Confirmed(1, False))]


@pytest.mark.parametrize(("case", "valid"), [("ours", True), ("newer", False), ("none", False)])
async def test_without_a_ready_vice_the_ledger_answers(rig: Rig, case: str, valid: bool) -> None:
    cluster = rig.cluster
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N3))
    assert cluster.record.ready_vice is None
    if case == "ours":
        rig.write(cluster.record)
    elif case == "newer":
        rig.write(Mastership(2, N3, None, 9, "forced", N3))
    rig.ask(1)
    rig.ask(2)
    await until(lambda: len(rig.told) == 2, "both are answered")
    assert rig.told == [("stock", Confirmed(1, valid)), ("stock", Confirmed(2, valid))]


def test_a_reading_that_fails_denies_nothing_and_one_answers_all_that_waited_for_it() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N3))
    readings: list[tuple[Callable[[int, Mastership | None], None], Callable[[], None]]] = []
    told: list[Confirmed] = []
    confirming = Confirming(
        cluster.monitors["n1"],
        lambda answer, failed: readings.append((answer, failed)),
        lambda service, answer: told.append(answer),
    )
    for number in (1, 2):
        confirming.asked("stock", number, cluster.now_ns)
    confirming.answer()
    confirming.answer()
    assert len(readings) == 1
    readings.pop()[1]()
    assert (told, readings) == ([], []), "not at once again: its time will come"
    confirming.answer()
    confirming.asked("stock", 3, cluster.now_ns)
    readings.pop()[0](9, cluster.record)
    assert told == [Confirmed(1, True), Confirmed(2, True)]
    assert len(readings) == 1, "what was asked after the reading began needs another one"
    cluster.give(
        "n1", m.Learned(now_ns=cluster.now_ns, revision=99, record=Mastership(2, N3, None, 9, "forced", N3))
    )
    readings.pop()[0](9, Mastership(1, N1, None, 9, "late", N1))
    assert told[2:] == [Confirmed(3, False)], "the term has ended meanwhile, whatever was read before"


async def test_a_question_that_waits_when_the_vice_is_lost_goes_to_the_ledger(rig: Rig) -> None:
    cluster = rig.cluster
    cluster.cut = {("n1", "n2"), ("n2", "n1"), ("n3", "n2")}
    rig.ask()
    assert rig.told == []
    cluster.run(TIMING.lease_ms + 20, "n1")
    assert cluster.record.ready_vice is None
    rig.write(cluster.record)
    rig.confirming.answer()
    await until(lambda: rig.told, "it is answered")
    assert rig.told == [("stock", Confirmed(1, True))]
