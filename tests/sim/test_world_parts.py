"""The parts of the simulated world keep what they promise: time, processes, network, disk, the lines to the ledger."""

from __future__ import annotations

import random
from functools import partial

from primacy.machines.history import Batch
from primacy.machines.ids import MS, SECOND, Member
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import Mastership
from primacy.sim.disk import Journal, Writer
from primacy.sim.line import Ledger
from primacy.sim.network import LINKS, Network, Stream
from primacy.sim.process import INBOX_MAX, Pipe, Process
from primacy.sim.scheduler import Clock, Scheduler

A1 = Member("a", "a.1")
LIVES = ("a.1", "b.1")


def go(scheduler: Scheduler, until_ns: int = 10 * SECOND) -> None:
    scheduler.run(until_ns, lambda: False)


# ---- time ----


def test_events_happen_in_the_order_of_time_then_of_coming() -> None:
    scheduler, seen = Scheduler(), list[str]()
    for at_ns, name in ((5, "c"), (1, "a"), (5, "d"), (2, "b")):
        scheduler.at(at_ns, seen.append, name)
    scheduler.run(4, lambda: False)
    assert (seen, scheduler.now_ns) == (["a", "b"], 4)
    scheduler.at(0, seen.append, "late")
    go(scheduler)
    assert seen == ["a", "b", "late", "c", "d"]


def test_a_clock_has_shown_a_reading_no_earlier_than_it_says(random_source: random.Random) -> None:
    for _ in range(300):
        scheduler = Scheduler()
        clock = Clock(scheduler, random_source.randint(500_000, 2_000_000), random_source.randint(0, 10**12))
        local_ns = clock.now_ns + random_source.randint(1, 10**10)
        scheduler.now_ns = clock.true_ns(local_ns)
        assert clock.now_ns >= local_ns
        scheduler.now_ns -= 1
        assert clock.now_ns < local_ns


# ---- processes ----


class Recorder(Process):
    """Notes what it handles."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__("recorder", scheduler)
        self.seen: list[object] = []

    def take(self, item: object) -> None:
        self.seen.append(item)

    def resumed(self) -> None:
        self.seen.append("resumed")

    def drained(self) -> None:
        self.seen.append("drained")


def test_what_reaches_a_frozen_process_waits() -> None:
    scheduler = Scheduler()
    process = Recorder(scheduler)
    process.timer(10, process.take, "timer")
    process.freeze()
    process.freeze()
    process.deliver(process.take, "message")
    go(scheduler, 20)
    process.thaw()
    assert process.seen == []
    process.thaw()
    assert process.seen == ["resumed", "message", "timer", "drained"]


def test_a_full_socket_keeps_the_oldest_datagrams() -> None:
    process = Recorder(Scheduler())
    process.freeze()
    for number in range(INBOX_MAX + 10):
        process.deliver_datagram(process.take, number)
    process.thaw()
    assert process.seen == ["resumed", *range(INBOX_MAX), "drained"]


def test_a_dead_process_takes_nothing_and_a_stop_comes_once() -> None:
    process = Recorder(Scheduler())
    process.arm("Send", process.freeze)
    assert not process.stopped_before("Seal")
    assert process.stopped_before("Send")
    process.thaw()
    assert not process.stopped_before("Send")
    process.kill()
    process.deliver(process.take, "late")
    assert process.seen == ["resumed", "drained"]


def test_a_pipe_is_in_order(random_source: random.Random) -> None:
    scheduler = Scheduler()
    process = Recorder(scheduler)
    pipe = Pipe(process, random_source)
    for number in range(100):
        pipe.put(process.take, number)
    go(scheduler)
    assert process.seen == list(range(100))


# ---- the network ----


def network_of(source: random.Random) -> tuple[Scheduler, Network]:
    scheduler = Scheduler()
    return scheduler, Network(scheduler, source, (MS // 10, 2 * MS))


def test_a_datagram_arrives_once_as_long_as_one_link_is_open(random_source: random.Random) -> None:
    scheduler, network = network_of(random_source)
    seen: list[str] = []
    for cut in range(LINKS + 1):
        network.datagram("a", "b", LIVES, seen.append, f"{cut} cut")
        if cut < LINKS:
            network.cut("a", "b", cut, 1)
    network.datagram("b", "a", LIVES[::-1], seen.append, "back")
    go(scheduler)
    assert sorted(seen) == ["0 cut", "1 cut", "back"]


def test_filtered_datagrams_are_lost_and_doubled_ones_come_once(random_source: random.Random) -> None:
    scheduler, network = network_of(random_source)
    seen: list[str] = []
    for wire in network.route("a", "b").wires:
        wire.duplication = 1.0
    network.datagram("a", "b", LIVES, seen.append, "doubled")
    network.route("a", "b").filters += 1
    network.datagram("a", "b", LIVES, seen.append, "filtered")
    go(scheduler)
    assert seen == ["doubled"]


def test_a_stream_is_in_order_and_waits_while_it_is_cut(random_source: random.Random) -> None:
    scheduler, network = network_of(random_source)
    a, b = Recorder(scheduler), Recorder(scheduler)
    stream = Stream(network, (a, b), ("a", "b"), lambda end, stream: None)
    for wire in network.route("a", "b").wires:
        wire.loss, wire.extra_ns = 0.5, 50 * MS
    for number in range(50):
        stream.send(a, b.take, number)
    network.cut("a", "b", -1, 1)
    stream.send(a, b.take, "held")
    stream.send(b, a.take, "back")
    go(scheduler, 5 * SECOND)
    assert b.seen == list(range(50))
    assert a.seen == ["back"]
    network.cut("a", "b", -1, -1)
    go(scheduler, 10 * SECOND)
    assert b.seen == [*range(50), "held"]


def test_the_end_of_a_process_is_heard_after_what_it_sent(random_source: random.Random) -> None:
    scheduler, network = network_of(random_source)
    a, b = Recorder(scheduler), Recorder(scheduler)
    stream = Stream(network, (a, b), ("a", "b"), lambda end, stream: end.take("closed"))  # type: ignore[attr-defined]
    stream.send(a, b.take, "last")
    a.kill()
    stream.send(b, a.take, "never")
    go(scheduler)
    assert b.seen == ["last", "closed"]
    assert a.seen == []
    assert a.streams == b.streams == []


# ---- the disk ----


def _is_written(journal: Journal, upto: int) -> bool:
    return journal.written_upto == upto


def batch(number: int) -> Batch:
    return Batch(1, number, number, b"")


def test_what_is_not_synced_may_be_lost_with_the_power_only(random_source: random.Random) -> None:
    kept: set[int] = set()
    for _ in range(60):
        scheduler, journal = Scheduler(), Journal(random_source)
        process = Recorder(scheduler)
        writer = Writer(journal, process, random_source, lambda: None)
        writer.submit(batch(1))
        writer.submit(batch(2))
        go(scheduler, 30 * MS)
        writer.submit(batch(3))
        scheduler.run(60 * MS, partial(_is_written, journal, 3))
        assert (journal.written_upto, journal.synced_upto) == (3, 2)
        process.kill()
        go(scheduler)
        assert journal.written_upto == 3
        journal.power_lost()
        kept.add(journal.written_upto)
    assert kept == {2, 3}


def test_a_killed_process_loses_what_it_had_not_written(random_source: random.Random) -> None:
    scheduler, journal = Scheduler(), Journal(random_source)
    process = Recorder(scheduler)
    writer = Writer(journal, process, random_source, lambda: None)
    writer.submit(batch(1))
    assert [b.first for b in writer.batches] == [1]
    process.kill()
    go(scheduler)
    assert journal.batches == []


def test_a_journal_is_cut_pruned_and_replaced(random_source: random.Random) -> None:
    journal = Journal(random_source)
    writer = Writer(journal, Recorder(Scheduler()), random_source, lambda: None)
    for number in range(1, 7):
        writer.submit(batch(number))
    writer.prune(3, b"state after 3")
    assert (journal.snapshot.sequence, [b.first for b in journal.batches]) == (3, [4, 5, 6])
    journal.cut(5)
    assert (journal.position, journal.synced_upto, journal.runs) == ((1, 5), 5, [(1, 1, 5)])


# ---- the lines to the ledger ----


def record(term: int) -> Mastership:
    return Mastership(term, A1, None, 1, "a test", A1)


def answers_of(mode: str, source: random.Random) -> tuple[list[tuple[SwapAnswer, int]], Ledger]:
    scheduler = Scheduler()
    ledger = Ledger(scheduler, source)
    ledger.line("a").modes.append(mode)
    answers: list[tuple[SwapAnswer, int]] = []
    ledger.swap("a", 0, record(1), lambda answer, revision: answers.append((answer, revision)))
    go(scheduler)
    return answers, ledger


def test_each_swap_ends_as_its_line_says(random_source: random.Random) -> None:
    table = {
        "": (SwapAnswer.DONE, True),
        "slow": (SwapAnswer.DONE, True),
        "unavailable": (SwapAnswer.UNAVAILABLE, False),
        "written": (SwapAnswer.UNCERTAIN, True),
        "late": (SwapAnswer.UNCERTAIN, True),
        "never": (SwapAnswer.UNCERTAIN, False),
    }
    for mode, (answer, written) in table.items():
        answers, ledger = answers_of(mode, random_source)
        assert [said for said, _ in answers] == [answer], mode
        assert (ledger.record is not None) == written, mode


def test_the_second_of_two_swaps_on_one_revision_conflicts_and_watches_hear_the_first(
    random_source: random.Random,
) -> None:
    scheduler = Scheduler()
    ledger = Ledger(scheduler, random_source)
    heard: list[int] = []
    ledger.line("b").watch_delay_ns = 100 * MS
    ledger.watch("b", lambda key, revision, value: heard.append(revision))
    answers: list[SwapAnswer] = []
    ledger.swap("a", 0, record(1), lambda answer, revision: answers.append(answer))
    go(scheduler, SECOND)
    ledger.swap("a", 0, record(2), lambda answer, revision: answers.append(answer))
    go(scheduler)
    assert answers == [SwapAnswer.DONE, SwapAnswer.CONFLICT]
    assert heard == [ledger.revision]


def test_a_watch_tells_all_records_as_they_stand_then_each_change_in_order_also_after_a_silence(
    random_source: random.Random,
) -> None:
    scheduler = Scheduler()
    ledger = Ledger(scheduler, random_source)
    ledger.put("config", b"1")
    ledger.put("nodes/a", b"2")
    heard: list[tuple[str, bytes | None]] = []
    ledger.watch("a", lambda key, revision, value: heard.append((key, value)))
    go(scheduler, SECOND)
    assert heard == [("config", b"1"), ("nodes/a", b"2")]
    heard.clear()
    ledger.line("a").modes.append("partition")
    for number in range(5):
        ledger.put("operation", b"%d" % number)
    ledger.put("nodes/a", None)
    go(scheduler, 2 * SECOND)
    assert heard == []
    ledger.line("a").modes.clear()
    go(scheduler, 3 * SECOND)
    assert heard == [*(("operation", b"%d" % number) for number in range(5)), ("nodes/a", None)]
    ledger.put("operation", b"late")
    ledger.unwatch("a")
    go(scheduler, 4 * SECOND)
    assert len(heard) == 6


def test_a_silent_line_fails_reads(random_source: random.Random) -> None:
    scheduler = Scheduler()
    ledger = Ledger(scheduler, random_source)
    seen: list[str] = []
    for mode in ("unavailable", "partition", "deaf", ""):
        ledger.line("a").modes[:] = [mode]
        ledger.read("a", lambda revision, known: seen.append("answer"), lambda: seen.append("failed"))
        go(scheduler, scheduler.now_ns + SECOND)
    assert seen == ["failed", "failed", "failed", "answer"]
