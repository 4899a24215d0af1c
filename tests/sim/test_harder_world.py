"""The harder parts of the simulated world: packets that are held, half-open streams, disks that fail, clocks."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from primacy.errors import DamagedJournal, DiskError
from primacy.machines.history import Batch
from primacy.machines.ids import MS, SECOND
from primacy.sim.disk import DAMAGES, Disk, Journal, Snapshot, Writer
from primacy.sim.draw_world import draw_drift, draw_world
from primacy.sim.faults import Fault, decode, encode
from primacy.sim.network import SILENT_NS, Network, Stream
from primacy.sim.plan import Plan
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.world import Outcome, World
from tests.sim.test_world_parts import LIVES, Recorder, go, network_of

NODES = ("n1", "n2", "n3")


# ---- the network: hold and release ----


@pytest.mark.parametrize("in_order", [True, False])
def test_what_is_held_arrives_once_when_it_is_released_however_late(
    random_source: random.Random, in_order: bool
) -> None:
    scheduler, network = network_of(random_source)
    seen: list[int] = []
    for twice in (1, 2):
        network.hold("a", "b")
        network.datagram("a", "b", LIVES, seen.append, twice)
    for number in range(3, 40):
        network.datagram("a", "b", LIVES, seen.append, number)
    network.datagram("b", "a", LIVES[::-1], seen.append, 0)
    go(scheduler, 60 * SECOND)
    assert seen == [0]
    network.release("a", "b", in_order=in_order)
    go(scheduler, 120 * SECOND)
    assert seen == [0]
    network.release("a", "b", in_order=in_order)
    go(scheduler, 180 * SECOND)
    assert sorted(seen) == list(range(40))
    assert (seen == list(range(40))) == in_order
    network.datagram("a", "b", LIVES, seen.append, 40)
    go(scheduler, 240 * SECOND)
    assert seen[-1] == 40


def test_a_held_stream_stands_still_and_goes_on_in_order(random_source: random.Random) -> None:
    scheduler, network = network_of(random_source)
    a, b = Recorder(scheduler), Recorder(scheduler)
    stream = Stream(network, (a, b), ("a", "b"), lambda end, stream: None)
    network.hold("a", "b")
    for number in range(20):
        stream.send(a, b.take, number)
    stream.send(b, a.take, "back")
    go(scheduler)
    assert (a.seen, b.seen) == (["back"], [])
    network.release("a", "b", in_order=False)
    go(scheduler, 20 * SECOND)
    assert b.seen == list(range(20))


# ---- the network: half-open streams ----


def test_only_the_streams_that_there_are_stand_still_and_all_else_passes(
    random_source: random.Random,
) -> None:
    scheduler, network = network_of(random_source)
    a, b = Recorder(scheduler), Recorder(scheduler)
    old = Stream(network, (a, b), ("a", "b"), lambda end, stream: None)
    network.stall("a", "b", 1)
    new = Stream(network, (a, b), ("a", "b"), lambda end, stream: None)
    for number in (1, 2):
        old.send(a, b.take, f"old {number}")
        new.send(a, b.take, f"new {number}")
    old.send(b, a.take, "back")
    network.datagram("a", "b", LIVES, b.take, "datagram")
    network.cut("a", "b", -1, 1)
    network.cut("a", "b", -1, -1)
    go(scheduler)
    assert sorted(map(str, b.seen)) == ["datagram", "new 1", "new 2"]
    assert a.seen == ["back"]
    network.stall("a", "b", -1)
    go(scheduler, 20 * SECOND)
    assert b.seen[-2:] == ["old 1", "old 2"]


def half_open(source: random.Random, *, silent: bool) -> tuple[Scheduler, Network, Recorder]:
    """A stream whose one machine has lost its power a second after the beginning; return who is at the other end."""
    scheduler, network = network_of(source)
    dead, alive = Recorder(scheduler), Recorder(scheduler)
    stream = Stream(network, (dead, alive), ("a", "b"), lambda end, stream: alive.take(scheduler.now_ns))
    go(scheduler, SECOND)
    if silent:
        network.fall_silent("a")
    dead.kill(abruptly=True)
    stream.send(alive, dead.take, "swallowed")
    return scheduler, network, alive


def test_a_machine_that_fell_silent_is_missed_when_the_kernel_gives_up(random_source: random.Random) -> None:
    scheduler, _, alive = half_open(random_source, silent=True)
    go(scheduler, SECOND + SILENT_NS[0] - MS)
    assert alive.seen == []
    go(scheduler, 60 * SECOND)
    assert len(alive.seen) == 1


def test_a_machine_that_is_back_refuses_the_streams_of_its_former_life(random_source: random.Random) -> None:
    scheduler, network, alive = half_open(random_source, silent=True)
    go(scheduler, 2 * SECOND)
    network.speak("a")
    go(scheduler, 3 * SECOND + 10 * MS)
    assert len(alive.seen) == 1
    go(scheduler, 60 * SECOND)
    assert len(alive.seen) == 1


def test_a_machine_that_did_not_fall_silent_is_missed_at_once(random_source: random.Random) -> None:
    scheduler, _, alive = half_open(random_source, silent=False)
    go(scheduler, SECOND + 10 * MS)
    assert len(alive.seen) == 1


# ---- disks ----


class Host(Recorder):
    """Notes how it has ended."""

    def broken(self, error: Exception) -> None:
        self.seen.append(error)
        self.kill()


def written(source: random.Random, count: int, disk: Disk | None = None) -> tuple[Scheduler, Host, Writer]:
    """A journal of so many batches, of which all but the last are synced."""
    scheduler = Scheduler()
    journal, process = Journal(source, disk), Host(scheduler)
    journal.open()
    writer = Writer(journal, process, source, lambda: None)
    for number in range(1, count):
        writer.submit(whole(number))
    writer.flush()
    writer.submit(whole(count))
    scheduler.run(60 * MS, lambda: journal.written_upto == count)
    assert (journal.written_upto, journal.synced_upto) == (count, count - 1)
    return scheduler, process, writer


def whole(number: int) -> Batch:
    return Batch(1, number, number, b"batch %d" % number)


def test_what_was_torn_is_cut_off_at_the_next_opening(random_source: random.Random) -> None:
    kept: set[int] = set()
    for _ in range(60):
        scheduler, process, writer = written(random_source, 3)
        for number in (4, 5):
            writer.submit(whole(number))
            writer.journal.batches.append(whole(number))
        process.kill()
        go(scheduler)
        writer.journal.power_lost(torn=True)
        writer.journal.open()
        kept.add(writer.journal.written_upto)
        assert writer.journal.batches == [whole(n) for n in range(1, writer.journal.written_upto + 1)]
        assert writer.journal.synced_upto == writer.journal.written_upto
    assert kept == {2, 3, 4, 5}


def test_what_a_full_disk_takes_no_more_ends_the_process_and_damages_nothing(
    random_source: random.Random,
) -> None:
    disk = Disk()
    scheduler, process, writer = written(random_source, 3, disk)
    journal = writer.journal
    disk.full += 1
    tries: tuple[Callable[[], None], ...] = (
        lambda: writer.submit(whole(4)),
        lambda: journal.cut(2),
        lambda: journal.replace(Snapshot(9, [(1, 1, 9)], b"state")),
        lambda: journal.prune(Snapshot(3, [(1, 1, 3)], b"state")),
        writer.flush,
    )
    for refused in tries:
        with pytest.raises(DiskError, match="free space on this disk"):
            refused()
    go(scheduler)
    assert [str(error) for error in process.seen] == [
        "the journal cannot be synced: no space is left; free space on this disk"
    ]
    assert (journal.batches, journal.synced_upto) == ([whole(1), whole(2), whole(3)], 2)
    opened = 0
    for _ in range(40):
        try:
            assert journal.open() == ""
            opened += 1
        except DiskError:
            pass
    assert 5 < opened < 35
    disk.full -= 1
    assert journal.open() == ""
    assert (journal.position, journal.incomplete) == ((1, 3), False)


@pytest.mark.parametrize(
    ("damage", "told", "raises"),
    [("journal", "journal set aside", False), ("deleted", "journal missing", False), ("snapshot", "", True)],
)
def test_a_damaged_journal_is_set_aside_and_only_a_primary_makes_the_next_one_whole(
    random_source: random.Random, damage: str, told: str, raises: bool
) -> None:
    journal = Journal(random_source)
    journal.open()
    journal.replace(Snapshot(9, [(1, 1, 9)], b"state"))
    journal.damage(damage)
    assert (journal.position, journal.incomplete) == ((1, 9), False)  # nobody has looked yet
    assert journal.open() == told
    if raises:
        with pytest.raises(DamagedJournal, match="set aside"):
            journal.state()
    assert (journal.position, journal.incomplete, journal.state()) == ((0, 0), True, b"")
    assert journal.open() == ""
    journal.replace(Snapshot(12, [(1, 1, 9), (2, 10, 12)], b"the primary's"))
    assert (journal.position, journal.incomplete) == ((2, 12), False)
    assert journal.state() == b"the primary's"


def test_the_log_behind_the_last_snapshot_but_one_makes_a_damaged_one_good(
    random_source: random.Random,
) -> None:
    _, _, writer = written(random_source, 6)
    journal = writer.journal
    for upto in (2, 4):
        writer.prune(upto, b"after %d" % upto)
    journal.damage("snapshot")
    runs = journal.runs
    assert journal.open() == ""
    assert journal.state() == b"after 2"
    assert [each.first for each in journal.batches] == [3, 4, 5, 6]
    assert (journal.runs, journal.incomplete, journal.damaged) == (runs, False, set())


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_never_was_cannot_be_damaged(random_source: random.Random, damage: str) -> None:
    journal = Journal(random_source)
    journal.damage(damage)
    assert journal.open() == ""
    assert not journal.incomplete


# ---- clocks ----


def test_a_wall_clock_is_set_and_nothing_else_moves() -> None:
    scheduler = Scheduler()
    clock = Clock(scheduler, 2_000_000, 5)
    before_ns = clock.wall_ns
    scheduler.now_ns += SECOND
    assert clock.wall_ns == before_ns + SECOND
    clock.wall_offset_ns -= 7_200 * SECOND
    assert clock.wall_ns == before_ns - 7_199 * SECOND
    assert clock.now_ns == 5 + 2 * SECOND


# ---- drawing ----


def lists(count: int) -> list[tuple[Fault, ...]]:
    return [draw_world(random.Random(number), NODES, 300.0, 300, 7500) for number in range(count)]


def test_every_kind_is_drawn_and_told_and_can_be_stored() -> None:
    kinds = {fault.kind: fault for faults in lists(400) for fault in faults}
    assert set(kinds) == {
        "hold",
        "half-open",
        "power",
        "disk",
        "full",
        "damage",
        "wall",
        "crash",
        "kill",
        "ledger",
    }
    for kind, fault in kinds.items():
        assert fault.sentence().startswith("at "), kind
        assert not fault.sentence().endswith(f": {kind}"), kind
    for faults in lists(50):
        assert decode(encode(faults)) == faults
        assert list(faults) == sorted(faults, key=lambda fault: fault.at_ms)
    assert lists(20) == lists(20)


@pytest.mark.parametrize("steep", [False, True])
def test_a_drawn_rate_is_beyond_what_grace_and_lease_allow(steep: bool) -> None:
    low, high = (500_000, 1_000_000) if steep else (1_000_000, 1_045_000)
    for number in range(200):
        source = random.Random(number)
        rates = draw_drift(source, (low, high, high), steep=steep)
        plan = Plan(1, profile="steep" if steep else "lan", rates_ppm=rates)
        pairs = [(a, b) for a in plan.ids for b in plan.ids if plan.beyond(a, b)]
        assert pairs or rates[0] != low or rates.count(high) < 2, rates
        assert len([rate for rate in rates if not low <= rate <= high]) == 1


# ---- whole clusters ----


def lived(
    faults: tuple[Fault, ...], *, nodes: int = 2, seed: int = 5, **more: object
) -> tuple[World, Outcome]:
    plan = Plan(seed, nodes=nodes, clients=3, think_ms=(5, 60), heal_ms=7_000, faults=faults, **more)  # type: ignore[arg-type]
    world = World(plan)
    return world, world.run()


def words(outcome: Outcome) -> str:
    return "\n".join(sentence for _, _, sentence in outcome.timeline)


def test_a_master_whose_disk_is_full_hands_over_and_its_journal_is_whole_afterwards() -> None:
    world, outcome = lived((Fault(2000, "full", "master", for_ms=3000),))
    assert outcome.violation is None, outcome.report()
    assert outcome.terms > 1
    assert "no space is left" in words(outcome)
    assert not [j for node in world.nodes.values() for j in node.journals.values() if j.incomplete]
    assert "set aside" not in words(outcome)


def test_when_all_disks_are_full_nothing_is_lost_and_all_goes_on_when_there_is_room() -> None:
    for seed in range(10):
        faults = tuple(Fault(2000, "full", node, for_ms=3000) for node in NODES)
        _, outcome = lived(faults, nodes=3, seed=seed)
        assert outcome.violation is None, outcome.report()
        assert not outcome.waits


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_vice_whose_journal_is_damaged_begins_anew_from_its_primary(damage: str) -> None:
    faults = (
        Fault(1500, "kill", "vice", what="logbook"),
        Fault(3500, "damage", "vice", "logbook", what=damage),
        Fault(3600, "crash", "vice", what="sent", for_ms=100),
    )
    world, outcome = lived(faults, snapshot_every=15)
    assert outcome.violation is None, outcome.report()
    assert not outcome.waits
    assert not [j for node in world.nodes.values() for j in node.journals.values() if j.incomplete]


@pytest.mark.parametrize("damage", ["journal", "deleted"])
def test_a_master_that_was_alone_serves_no_old_state_when_its_journal_is_damaged(damage: str) -> None:
    faults = (
        Fault(1500, "power", "n2", for_ms=-1),
        Fault(3500, "damage", "n1", "logbook", what=damage),
        Fault(3600, "crash", "n1", what="sent", for_ms=100),
    )
    for seed in range(20):
        _, outcome = lived(faults, seed=seed)
        assert outcome.violation is None, outcome.report()
        record_n1 = "n1 is master of term" in words(outcome) or "master n1" in words(outcome)
        assert outcome.waits or not record_n1


def test_wall_clocks_that_are_set_change_nothing() -> None:
    faults = tuple(
        Fault(1000 + 300 * number, "wall", f"n{number % 3 + 1}", for_ms=700, amount=hours)
        for number, hours in enumerate((-48.0, 9_000.0, 0.25, 72.0, -2.0))
    )
    _, outcome = lived(faults, nodes=3)
    assert outcome.violation is None, outcome.report()
    assert outcome.terms == 1


# ---- the bound of the clocks' rates is needed, and is what is broken ----

APART = (Fault(2000, "isolate", "master", for_ms=1500),)


def judged(rates_ppm: tuple[int, int], *, excused: bool) -> str:
    """Cut the master off, and return the clause that is violated (empty: none); all of them are judged."""
    plan = Plan(3, nodes=2, clients=3, heal_ms=5_000, rates_ppm=rates_ppm, faults=APART)
    world = World(plan)
    world.checkers.excuses.of_clocks = excused
    outcome = world.run()
    return outcome.violation.clause if outcome.violation is not None else ""


@pytest.mark.parametrize("rates_ppm", [(600_000, 1_000_000), (1_000_000, 1_700_000)])
def test_two_primaries_are_found_when_a_lease_outlasts_the_grace_of_the_vice(
    rates_ppm: tuple[int, int],
) -> None:
    slow_master, fast_master = rates_ppm, rates_ppm[::-1]
    found = [judged(rates, excused=False) for rates in (slow_master, fast_master)]
    assert sorted(found) == [
        "",
        "S1",
    ]  # n1 or n2 is master; a master that is faster than its vice harms nobody
    assert [judged(rates, excused=True) for rates in (slow_master, fast_master)] == ["", ""]


@pytest.mark.parametrize("rates_ppm", [(840_000, 1_000_000), (1_000_000, 1_180_000), (1_000_000, 1_000_000)])
def test_within_the_bound_there_is_never_a_second_one(rates_ppm: tuple[int, int]) -> None:
    assert [judged(rates, excused=False) for rates in (rates_ppm, rates_ppm[::-1])] == ["", ""]


def test_clocks_excuse_only_the_former_master_of_a_claim_that_did_not_wait_for_it() -> None:
    plan = Plan(1, nodes=3, rates_ppm=(600_000, 1_000_000, 1_000_000))
    assert [pair for pair in ((a, b) for a in plan.ids for b in plan.ids) if plan.beyond(*pair)] == [
        ("n1", "n2"),
        ("n1", "n3"),
    ]
