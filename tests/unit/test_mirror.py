"""The mirror's rules: tables for each clause, then two nodes, faults and a random agent in a small world."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primacy.machines.history import Batch, Run, common_prefix, extend, last_of
from primacy.machines.mirror import DISK, HOLD_LAG, MEMORY, Primary, Secondary
from primacy.machines.mirror_effects import (
    Acknowledge,
    Apply,
    Cut,
    Fail,
    Join,
    Joined,
    Journal,
    Load,
    Quiesced,
    Release,
    Restore,
    SendLog,
    SendSnapshot,
    Ship,
    Stalled,
)  # fmt: skip


def batch(term: int, first: int, last: int | None = None) -> Batch:
    return Batch(term, first, last or first, f"{term}:{first}")


def primary(durability: str = DISK, runs: list[Run] | None = None, **options: Any) -> Primary:
    runs = runs or []
    options.setdefault("synced", last_of(runs)[1])
    return Primary(options.pop("term", 5), runs, durability=durability, **options)


def joined(machine: Primary, appointment: int = 7) -> None:
    """Bring a vice to where everything waits for it."""
    machine.appoint(appointment)
    machine.join(machine.term, appointment, list(machine.runs), 0)
    machine.sent(appointment, machine.sequence)
    machine.acknowledged(machine.term, appointment, machine.sequence)
    assert machine.held
    assert machine.live


# ---- a master alone ----


@pytest.mark.parametrize("durability", [DISK, MEMORY])
def test_alone_nothing_leaves_before_it_is_synced(durability: str) -> None:
    machine = primary(durability)
    assert machine.append(batch(5, 1, 3)) == [Journal(batch(5, 1, 3))]
    assert machine.committed == 0
    assert machine.synced(2) == [Release(2)]
    assert machine.synced(3) == [Release(3)]
    assert machine.synced(3) == []


def test_a_fresh_primary_answers_for_what_is_synced() -> None:
    machine = primary(runs=[(1, 1, 4)], synced=2)
    assert machine.committed == 2
    assert machine.synced(4) == [Release(4)]


def test_a_term_has_one_primary_process() -> None:
    with pytest.raises(AssertionError, match="new term"):
        primary(runs=[(5, 1, 4)])


# ---- joining ----


def test_a_joiner_is_held_for_only_once_it_has_answered() -> None:
    machine = primary(runs=[(1, 1, 9)])
    assert machine.appoint(7) == []
    assert machine.join(5, 7, [(1, 1, 6)], 0) == [SendLog(5, 7, 6, opening=True, whole=False)]
    assert not machine.held
    assert machine.sent(7, 9) == []
    assert machine.append(batch(5, 10)) == [Journal(batch(5, 10))], "not live yet"
    assert machine.synced(10) == [Release(10)], "nobody waits for a joiner that is still loading"
    whole = SendLog(5, 7, 9, opening=False, whole=True)
    assert machine.acknowledged(5, 7, 9) == [whole, Release(9)], "the hold lowers what may leave"
    assert machine.append(batch(5, 11)) == [Journal(batch(5, 11)), Ship(5, 7, batch(5, 11))]
    assert machine.acknowledged(5, 7, 10) == [Release(10), Joined(5, 7, 10)]
    assert machine.synced(11) == []
    assert machine.acknowledged(5, 7, 11) == [Release(11)]


def test_a_joiner_far_behind_gets_chunk_after_chunk() -> None:
    machine = primary(runs=[(1, 1, 3 * HOLD_LAG)])
    machine.appoint(7)
    assert machine.join(5, 7, [], 0) == [SendLog(5, 7, 0, opening=True, whole=False)]
    assert machine.sent(7, 100) == []
    assert machine.acknowledged(5, 7, 99) == []
    assert machine.acknowledged(5, 7, 100) == [SendLog(5, 7, 100, opening=False, whole=False)]
    assert machine.sent(7, 2 * HOLD_LAG) == []
    assert machine.acknowledged(5, 7, 2 * HOLD_LAG)[0] == SendLog(
        5, 7, 2 * HOLD_LAG, opening=False, whole=True
    )


def test_joined_needs_everything_up_to_the_moment_of_the_hold() -> None:
    machine = primary(runs=[(1, 1, 2)])
    machine.appoint(7)
    machine.join(5, 7, [], 0)
    machine.sent(7, 2)
    machine.append(batch(5, 3))
    machine.synced(3)
    assert not any(isinstance(effect, Joined) for effect in machine.acknowledged(5, 7, 2))
    assert machine.acknowledged(5, 7, 3) == [Release(3), Joined(5, 7, 3)]
    assert machine.ready(7) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "after"),
    [
        ([(1, 1, 9)], [(1, 1, 9)], 9),
        ([(1, 1, 9)], [(1, 1, 12)], 9),
        ([(1, 1, 4), (3, 5, 9)], [(1, 1, 6)], 4),
        ([(1, 1, 4), (3, 5, 9)], [(1, 1, 4), (2, 5, 9)], 4),
        ([(2, 1, 9)], [(1, 1, 9)], 0),
        ([(1, 1, 9)], [], 0),
    ],
)
def test_logs_are_cut_at_the_first_entry_that_differs(mine: list[Run], theirs: list[Run], after: int) -> None:
    assert common_prefix(mine, theirs) == common_prefix(theirs, mine) == after
    machine = primary(runs=mine)
    machine.appoint(7)
    assert machine.join(5, 7, theirs, 0) == [SendLog(5, 7, after, opening=True, whole=False)]


@pytest.mark.parametrize(("kept", "theirs_kept"), [(5, 0), (0, 5)])
def test_what_cannot_be_sent_or_cut_as_log_goes_as_a_snapshot(kept: int, theirs_kept: int) -> None:
    machine = primary(runs=[(1, 1, 9)], kept=kept)
    machine.appoint(7)
    assert machine.join(5, 7, [(1, 1, 3)], theirs_kept) == [SendSnapshot(5, 7)]
    assert machine.acknowledged(5, 7, 3) == [], "of something that was never sent to it"
    assert machine.sent(7, 8) == []
    assert machine.acknowledged(5, 7, 8)[0] == SendLog(5, 7, 8, opening=False, whole=True)


def test_log_that_is_pruned_under_a_joiner_becomes_a_snapshot() -> None:
    machine = primary(runs=[(1, 1, 3 * HOLD_LAG)])
    machine.appoint(7)
    machine.join(5, 7, [], 0)
    machine.sent(7, 100)
    machine.pruned(500)
    assert machine.acknowledged(5, 7, 100) == [SendSnapshot(5, 7)]


# ---- whose acknowledgements count ----


@pytest.mark.parametrize(("term", "appointment"), [(4, 7), (6, 7), (5, 6), (5, 8), (5, 0)])
def test_acknowledgements_of_another_term_or_appointment_count_for_nothing(
    term: int, appointment: int
) -> None:
    machine = primary()
    joined(machine)
    machine.append(batch(5, 1))
    machine.synced(1)
    assert machine.acknowledged(term, appointment, 1) == []
    assert machine.committed == 0
    assert machine.acknowledged(5, 7, 1) == [Release(1)]


def test_an_acknowledgement_of_what_was_not_sent_counts_for_nothing() -> None:
    machine = primary()
    joined(machine)
    assert machine.acknowledged(5, 7, 1) == []
    machine.append(batch(5, 1))
    machine.synced(1)
    assert machine.committed == 0


def test_a_new_appointment_begins_at_nothing() -> None:
    machine = primary()
    joined(machine)
    machine.append(batch(5, 1))
    machine.synced(1)
    assert machine.appoint(9) == [Release(1)], (
        "the record names another vice, not ready: alone until it has joined"
    )
    assert machine.acknowledged(5, 7, 1) == []
    assert machine.acknowledged_upto == -1
    assert machine.appoint(9) == [], "said twice"


def test_a_vice_that_lost_what_it_acknowledged_is_not_taken() -> None:
    machine = primary(runs=[(1, 1, 4)])
    joined(machine)
    effects = machine.join(5, 7, [(1, 1, 3)], 0)
    assert effects == [Stalled(5, 7, "the vice lost entries that it had acknowledged")]


def test_a_lost_stream_holds_everything_until_the_vice_is_back() -> None:
    machine = primary()
    joined(machine)
    machine.lost()
    assert machine.append(batch(5, 1)) == [Journal(batch(5, 1))]
    assert machine.synced(1) == []
    assert machine.acknowledged(5, 7, 1) == [], "nothing was sent on this stream"
    assert machine.join(5, 7, [], 0) == [SendLog(5, 7, 0, opening=True, whole=True)]
    assert machine.acknowledged(5, 7, 1) == [Release(1)]


# ---- durability ----


def test_disk_waits_for_both_sides() -> None:
    machine = primary()
    joined(machine)
    machine.ready(7)
    machine.append(batch(5, 1))
    assert machine.acknowledged(5, 7, 1) == []
    assert machine.synced(1) == [Release(1)]


def test_memory_waits_for_the_ready_vice_alone() -> None:
    machine = primary(MEMORY)
    joined(machine)
    machine.ready(7)
    machine.append(batch(5, 1))
    assert machine.acknowledged(5, 7, 1) == [Release(1)]


def test_memory_syncs_while_the_vice_is_not_settled_as_ready() -> None:
    machine = primary(MEMORY)
    joined(machine)
    machine.append(batch(5, 1))
    assert machine.acknowledged(5, 7, 1) == []
    assert machine.ready(7) == [Release(1)]


def test_memory_takes_back_what_has_not_left_when_the_vice_is_dropped() -> None:
    machine = primary(MEMORY)
    joined(machine)
    machine.ready(7)
    machine.append(batch(5, 1))
    machine.acknowledged(5, 7, 1)
    assert machine.alone() == [Release(0)], "alone it is on no disk yet"
    assert machine.synced(1) == [Release(1)]


# ---- switchover ----


def test_quiesced_when_everything_is_released() -> None:
    machine = primary()
    joined(machine)
    machine.append(batch(5, 1, 2))
    assert machine.quiesce() == []
    assert machine.synced(2) == []
    assert machine.acknowledged(5, 7, 2) == [Release(2), Quiesced(5, 2)]
    assert machine.resume() == []
    assert machine.quiesce() == [Quiesced(5, 2)]
    assert machine.quiesce(handing_over=True) == [Quiesced(5, 2, handing_over=True)]


def test_after_a_switchover_replies_wait_for_the_old_primary_from_the_start() -> None:
    machine = primary(runs=[(4, 1, 3)], appointment=8)
    assert machine.committed == 0
    old = Secondary(5, 8, [(4, 1, 3)], loaded=True)
    assert old.join() == [Join(5, 8, [(4, 1, 3)], 0)]
    assert machine.join(5, 8, [(4, 1, 3)], 0) == [SendLog(5, 8, 3, opening=True, whole=True)]
    assert old.follow(5, 8, 3) == [Acknowledge(5, 8, 3)]
    assert machine.acknowledged(5, 8, 3) == [Release(3)]


# ---- time ----


def test_a_silent_vice_is_told_once_and_again_after_it_moved() -> None:
    machine = primary(mirror_timeout_ns=100)
    joined(machine)
    assert machine.tick(0) == []
    machine.append(batch(5, 1))
    machine.synced(1)
    assert machine.tick(10) == []
    machine.append(batch(5, 2))
    assert machine.tick(60) == []
    assert [type(effect) for effect in machine.tick(110)] == [Stalled]
    assert machine.tick(120) == []
    machine.acknowledged(5, 7, 1)
    assert machine.tick(130) == []
    assert [type(effect) for effect in machine.tick(160)] == [Stalled]


def test_without_a_vice_nothing_stalls() -> None:
    machine = primary(mirror_timeout_ns=100)
    machine.append(batch(5, 1))
    assert machine.tick(0) == machine.tick(1_000) == []


# ---- the secondary ----


def follower(runs: list[Run] | None = None, **options: Any) -> Secondary:
    machine = Secondary(5, 7, runs or [], **options)
    machine.join()
    machine.follow(5, 7, last_of(runs or [])[1])
    return machine


def test_a_fresh_joiner_cuts_then_loads_then_acknowledges() -> None:
    machine = Secondary(5, 7, [(1, 1, 9)])
    assert machine.join() == [Join(5, 7, [(1, 1, 9)], 0)]
    assert machine.append(5, 7, batch(5, 10)) == [], "not before the logs are compared"
    assert machine.follow(5, 7, 6) == [Cut(6), Load(6), Acknowledge(5, 7, 6)]
    assert machine.runs == [(1, 1, 6)]
    assert machine.append(5, 7, batch(5, 7)) == [Journal(batch(5, 7)), Apply(batch(5, 7))]
    assert machine.journaled(7) == [Acknowledge(5, 7, 7)]
    assert machine.runs == [(1, 1, 6), (5, 7, 7)]


def test_what_is_applied_is_never_cut() -> None:
    machine = Secondary(5, 7, [(1, 1, 9)], loaded=True)
    machine.join()
    assert [type(effect) for effect in machine.follow(5, 7, 6)] == [Fail]


@pytest.mark.parametrize(("term", "appointment"), [(4, 7), (6, 7), (5, 6), (5, 8)])
def test_appends_of_another_term_or_appointment_are_refused(term: int, appointment: int) -> None:
    machine = follower()
    assert machine.append(term, appointment, batch(4, 1)) == []
    assert machine.follow(term, appointment, 0) == []
    assert machine.restore(term, appointment, 3, [(1, 1, 3)]) == []
    assert machine.sequence == 0


def test_a_gap_is_asked_for_again() -> None:
    machine = follower()
    assert machine.append(5, 7, batch(5, 2)) == [Join(5, 7, [], 0)]
    assert machine.append(5, 7, batch(5, 1)) == [], "until the primary has answered"
    assert machine.follow(5, 7, 0) == [Acknowledge(5, 7, 0)]
    assert machine.append(5, 7, batch(5, 1)) == [Journal(batch(5, 1)), Apply(batch(5, 1))]
    assert machine.append(5, 7, batch(5, 1)) == [], "had it already"


def test_an_entry_of_an_older_term_than_the_last_is_asked_for_again() -> None:
    machine = follower([(3, 1, 4)], loaded=True)
    assert machine.append(5, 7, batch(2, 5)) == [Join(5, 7, [(3, 1, 4)], 0)]


def test_a_snapshot_replaces_everything() -> None:
    machine = Secondary(5, 7, [(1, 1, 9)], kept=4)
    machine.join()
    runs = [(2, 1, 5), (4, 6, 20)]
    assert machine.restore(5, 7, 19, runs) == [], "not what its runs say"
    assert machine.restore(5, 7, 20, runs) == [Restore(20, runs), Acknowledge(5, 7, 20)]
    assert (machine.sequence, machine.kept, machine.runs) == (20, 20, runs)
    assert machine.journaled(9) == [], "of the log before"


def test_nothing_is_acknowledged_before_it_is_journaled() -> None:
    machine = Secondary(5, 7, [(1, 1, 9)], loaded=True, journaled=4)
    machine.join()
    assert machine.follow(5, 7, 9) == [Acknowledge(5, 7, 4)]
    assert machine.journaled(8) == [Acknowledge(5, 7, 8)]
    assert machine.journaled(8) == []


# ---- two nodes in a small world ----


class Node:
    """One node's disk, and the machine of its present process; `log` holds (term, first, last)."""

    def __init__(self) -> None:
        self.log: list[Batch] = []
        self.synced = 0
        self.machine: Primary | Secondary | None = None
        self.applied = 0

    @property
    def runs(self) -> list[Run]:
        runs: list[Run] = []
        for each in self.log:
            extend(runs, each.term, each.first, each.last)
        return runs

    @property
    def last(self) -> int:
        return self.log[-1].last if self.log else 0

    def entries(self) -> set[tuple[int, int]]:
        return {(each.term, sequence) for each in self.log for sequence in range(each.first, each.last + 1)}

    def crash(self, power: bool) -> None:
        if power:
            self.log = [each for each in self.log if each.last <= self.synced]
        self.machine, self.applied = None, 0


class World:
    """Two nodes, their channel, and a record that only settled swaps change (the rules of the CMM).

    What was under way when a term or an appointment ended arrives all the same, at whoever is there by then.
    """

    def __init__(self, durability: str) -> None:
        self.durability = durability
        self.nodes = {"a": Node(), "b": Node()}
        self.term, self.master, self.appointment, self.revision = 1, "a", 0, 0
        self.ready = False
        self.may_ready = 0
        self.quiesced = False
        self.channel: deque[tuple[str, tuple[Any, ...]]] = deque()
        self.answered: set[tuple[int, int]] = set()
        self.released = 0
        self.start_primary("a", 1, 0)

    @property
    def vice(self) -> str:
        return "b" if self.master == "a" else "a"

    def start_primary(self, name: str, term: int, appointment: int) -> None:
        node = self.nodes[name]
        missing = self.answered - node.entries()
        assert not missing, f"answered and lost: {missing}"
        node.machine = Primary(
            term, node.runs, durability=self.durability, synced=node.synced, appointment=appointment
        )
        node.applied = node.last
        self.term, self.master, self.released = term, name, node.machine.committed
        self.quiesced = False

    def obey(self, name: str, effects: list[Any]) -> None:
        node = self.nodes[name]
        for effect in effects:
            match effect:
                case Journal(batch=batch):
                    node.log.append(batch)
                case Apply(batch=batch):
                    assert batch.first == node.applied + 1
                    node.applied = batch.last
                case Ship(batch=batch):
                    self.channel.append((self.vice, ("append", effect.term, effect.appointment, batch)))
                case SendLog(after=after):
                    if effect.opening:
                        self.channel.append((self.vice, ("follow", effect.term, effect.appointment, after)))
                    rest = [each for each in node.log if each.first > after]
                    for each in rest if effect.whole else rest[:2]:
                        self.channel.append((self.vice, ("append", effect.term, effect.appointment, each)))
                        after = each.last
                    if not effect.whole:
                        self.channel.append((name, ("sent", effect.appointment, after)))
                case Release(upto=upto):
                    self.released = upto
                case Joined(appointment=appointment):
                    self.may_ready = appointment
                case Quiesced():
                    self.quiesced = True
                case Join():
                    message = ("join", effect.term, effect.appointment, effect.runs, effect.kept)
                    self.channel.append((self.master, message))
                case Cut(to=to):
                    node.log = [each for each in node.log if each.last <= to]
                    assert node.last == to, "batches are never split"
                    node.synced = min(node.synced, to)
                case Load(upto=upto):
                    assert node.last == upto
                    node.applied = upto
                case Acknowledge(upto=upto):
                    message = ("acknowledged", effect.term, effect.appointment, upto)
                    self.channel.append((self.master, message))
                case _:
                    raise AssertionError(effect)

    def deliver(self) -> None:
        if self.channel:
            name, (kind, *arguments) = self.channel.popleft()
            machine = self.nodes[name].machine
            kinds = Primary if kind in ("join", "acknowledged", "sent") else Secondary
            if isinstance(machine, kinds):
                self.obey(name, getattr(machine, kind)(*arguments))

    def answer(self) -> None:
        """Let the master's replies leave (it holds its lease: the record decides who may claim)."""
        node = self.nodes[self.master]
        self.answered |= {entry for entry in node.entries() if entry[1] <= self.released}

    def do(self, action: str, number: int) -> None:
        master, vice = self.nodes[self.master], self.nodes[self.vice]
        primary = master.machine
        assert isinstance(primary, Primary)
        match action:
            case "write" if not self.quiesced:
                first = primary.sequence + 1
                written = Batch(self.term, first, first + number % 3, None)
                master.applied = written.last
                self.obey(self.master, primary.append(written))
            case "deliver":
                for _ in range(1 + number):
                    self.deliver()
            case "answer":
                self.answer()
            case "sync master":
                master.synced = master.last
                self.obey(self.master, primary.synced(master.last))
            case "sync vice" if isinstance(vice.machine, Secondary):
                if self.durability == DISK or number % 2:
                    vice.synced = vice.last
                self.obey(self.vice, vice.machine.journaled(vice.last))
            case "appoint" if not self.appointment:
                vice.crash(power=False)
                self.revision += 1
                self.appointment, self.ready = self.revision, False
                self.obey(self.master, primary.appoint(self.appointment))
                vice.machine = Secondary(self.term, self.appointment, vice.runs)
                self.obey(self.vice, vice.machine.join())
            case "reconnect" if isinstance(vice.machine, Secondary):
                self.channel.clear()
                self.obey(self.master, primary.lost())
                self.obey(self.vice, vice.machine.join())
            case "ready" if self.appointment and self.may_ready == self.appointment:
                self.ready = True
                self.obey(self.master, primary.ready(self.appointment))
            case "drop" if self.appointment:
                vice.crash(power=number % 2 == 0)
                self.appointment, self.ready = 0, False
                self.obey(self.master, primary.alone())
            case "failover" if self.ready and isinstance(vice.machine, Secondary):
                new, old = self.vice, self.master
                self.nodes[old].crash(power=number % 2 == 0)
                self.appointment, self.ready = 0, False
                self.start_primary(new, self.term + 1, 0)
            case "restart" if not self.ready:
                # The record names only the master: its next life forms with what its disk kept.
                name = self.master
                self.nodes[name].crash(power=number % 2 == 0)
                self.nodes[self.vice].crash(power=False)
                self.appointment = 0
                self.start_primary(name, self.term + 1, 0)
            case "switchover" if self.ready and isinstance(vice.machine, Secondary):
                self.obey(self.master, primary.quiesce())
                if not self.quiesced:
                    self.obey(self.master, primary.resume())
                    return
                self.answer()
                old, new = self.master, self.vice
                self.revision += 1
                self.appointment = self.may_ready = self.revision
                self.start_primary(new, self.term + 1, self.appointment)
                node = self.nodes[old]
                synced = node.synced if self.durability == DISK else None
                node.machine = Secondary(
                    self.term, self.appointment, node.runs, loaded=True, journaled=synced
                )
                self.obey(old, node.machine.join())


ACTIONS = [
    "write", "write", "deliver", "deliver", "deliver", "answer", "answer", "sync master", "sync vice", "sync vice",
    "appoint", "reconnect", "ready", "ready", "drop", "failover", "restart", "switchover",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([DISK, MEMORY]),
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), min_size=20, max_size=120),
)
def test_nothing_answered_is_ever_lost(durability: str, script: list[tuple[str, int]]) -> None:
    world = World(durability)
    for action, number in script:
        world.do(action, number)
    # Liveness: left alone with a working agent, a ready vice comes to be and everything is committed.
    for _ in range(60):
        for action in ("appoint", "sync master", "sync vice", "deliver", "ready"):
            world.do(action, 7)
    assert world.ready
    primary = world.nodes[world.master].machine
    assert isinstance(primary, Primary)
    assert primary.committed == primary.sequence
    assert world.nodes["a"].entries() == world.nodes["b"].entries()


def test_a_snapshot_that_comes_twice_takes_nothing_back() -> None:
    joiner = Secondary(7, 14, [(1, 1, 55)])
    runs = [(1, 1, 55), (7, 56, 204)]
    assert joiner.restore(7, 14, 204, runs) == [Restore(204, runs), Acknowledge(7, 14, 204)]
    joiner.append(7, 14, Batch(7, 205, 207, b""))
    assert joiner.journaled(207) == [Acknowledge(7, 14, 207)]
    assert joiner.restore(7, 14, 204, runs) == [Acknowledge(7, 14, 207)]
    assert joiner.sequence == 207


@pytest.mark.parametrize("appointment", [6, 8])
def test_another_appointments_vice_is_not_the_ready_one(appointment: int) -> None:
    machine = primary(runs=[(1, 1, 4)])
    joined(machine)
    assert machine.ready(appointment) == []
    assert not machine.is_ready


def test_a_vice_that_has_not_joined_is_not_ready() -> None:
    """Nothing waits for it yet."""
    machine = primary(runs=[(1, 1, 4)])
    machine.appoint(7)
    assert machine.ready(7) == []
    assert not machine.is_ready


def test_an_answer_to_another_question_is_asked_again() -> None:
    """Only the last `Join` is answered, on its own stream; what does not fit to it is none of its answers."""
    machine = Secondary(5, 7, [(1, 1, 9)], loaded=True, kept=4)
    machine.join()
    asked = [Join(5, 7, [(1, 1, 9)], 4)]
    assert machine.follow(5, 7, 10) == asked, "it goes on behind the end of this log"
    assert machine.follow(5, 7, 3) == asked, "it goes on before this snapshot, where nothing can be cut"
    assert machine.append(5, 7, batch(5, 10)) == [], "it follows nobody yet"
    assert machine.follow(5, 7, 9) == [Acknowledge(5, 7, 9)]


def test_a_secondary_that_follows_says_again_how_far_it_is() -> None:
    machine = Secondary(5, 7, [(1, 1, 9)], loaded=True)
    assert machine.again() == [], "it has not been compared yet"
    machine.follow(5, 7, 9)
    assert machine.again() == [Acknowledge(5, 7, 9)]
