"""Simulated clients: what they do by their manners, and that what is told to them and is not true is found."""

from __future__ import annotations

import random

import msgspec
import pytest

from primacy.machines.client_session import Pushed
from primacy.machines.replica import Published
from primacy.sim.client import Client
from primacy.sim.faults import Fault
from primacy.sim.host import Host
from primacy.sim.linearizability import Log, Model, Record, Verdict, check
from primacy.sim.manners import OPEN_LOOP_MAX, PLAIN, Manners, draw_manners
from primacy.sim.naming_client import NamingClient, unbound
from primacy.sim.plan import Plan
from primacy.sim.settled import Versions, carried_out, numbered, settled
from primacy.sim.watches import LATE_NS, Told
from primacy.sim.world import World

EVENTS = [Published(position, position, topic, b"") for position, topic in enumerate("xyxxy", 1)]


def lived(manners: Manners, *faults: Fault, seed: int = 3, **more: object) -> World:
    """Return the world of a run that nothing was wrong with."""
    plan = Plan(seed, nodes=2, heal_ms=4_000, manners=manners, faults=faults)
    world = World(msgspec.structs.replace(plan, **more))
    outcome = world.run()
    assert outcome.violation is None, outcome.report()
    return world


def labels(world: World, kind: type[Client] = Client) -> list[str]:
    return [client.label for client in world.clients if type(client) is kind]


def timeline(world: World) -> str:
    return "\n".join(sentence for _, _, sentence in world.checkers.timeline)


# ---- manners ----


def test_manners_are_drawn_from_the_seed_and_told_in_words(random_source: random.Random) -> None:
    drawn = [draw_manners(random_source) for _ in range(300)]
    assert 100 < sum(manners != PLAIN for manners in drawn) < 200
    assert PLAIN.sentences() == []
    every = set(msgspec.structs.asdict(PLAIN))
    unusual = {name for manners in drawn for name in every if getattr(manners, name) != getattr(PLAIN, name)}
    assert unusual == every
    for manners in drawn:
        plan = Plan(1, manners=manners)
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
        assert bool(manners.sentences()) == (manners != PLAIN)
    assert msgspec.json.decode(b'{"seed": 7}', type=Plan).manners == PLAIN


def test_operations_arrive_whatever_is_outstanding_up_to_a_limit() -> None:
    away = Fault(1_000, "power", "n1", for_ms=2_500), Fault(1_000, "power", "n2", for_ms=2_500)
    world = lived(Manners(every_ms=5), *away, clients=1)
    waited = [o for o in world.clients[0].operations if o.invoked_ns < 3_400_000_000 <= (o.completed_ns or 0)]
    assert len(waited) == OPEN_LOOP_MAX


def test_who_runs_out_of_time_learns_what_is_true_of_the_call() -> None:
    slow = Fault(1_500, "delay", "master", "vice", for_ms=2_000, amount=900.0)
    world = lived(Manners(every_ms=20, deadline_ms=(1, 60)), slow)
    operations = [o for client in world.clients for o in client.operations]
    unknown = [o for o in operations if o.completed_ns is None and not o.refused]
    refused = [o for o in operations if o.refused]
    assert len(unknown) > 5, "they were sent"
    assert len(refused) > 5, "nobody served yet"
    assert not [client.failures for client in world.clients if client.failures]


def test_a_client_that_closes_or_dies_is_followed_by_another_one() -> None:
    closed = lived(Manners(life_ms=(200, 600)))
    assert {"c1", "c1.2", "c1.3", "d1", "d1.2"} <= set(labels(closed) + labels(closed, NamingClient))
    assert "c1 closes in order" in timeline(closed)
    died = lived(Manners(every_ms=20, life_ms=(200, 600), killed=1.0))
    assert "leaves its session behind" in timeline(died)
    sessions = {host.service: len(host.replica.sessions) for host in primaries(died)}
    assert sessions["logbook"] > 5, "nobody has ended them"
    ended = {host.service: len(host.replica.sessions) for host in primaries(closed)}
    assert ended["logbook"] <= len({client.name for client in closed.clients})


def test_names_end_with_the_session_that_has_bound_them() -> None:
    world = lived(Manners(life_ms=(300, 900), names=2, names_every_ms=(20, 60), tied=1.0))
    naming = next(host for host in primaries(world) if host.service == "naming")
    operations = [operation for client in world.clients for operation in client.operations]
    by_clients = sum(o.key in "xyz" and o.argument is None and o.name == "write" for o in operations)
    assert by_clients
    assert len(unbound(list(naming.replica.events), set())) > by_clients, "by the service, too"


def test_a_session_that_is_left_behind_ends_by_its_silence() -> None:
    world = lived(Manners(every_ms=20, life_ms=(200, 600), killed=1.0, uptime_times=1_000))
    left = next(host for host in primaries(world) if host.service == "logbook").replica.sessions
    assert len(left) < len(labels(world)) / 2


def primaries(world: World) -> list[Host]:
    assert world.ledger.record is not None
    node = world.nodes[world.ledger.record.master.node]
    return [host for host in node.hosts if isinstance(host, Host) and host.holds()]


def test_reads_may_be_confirmed_by_the_vice_or_by_the_ledger() -> None:
    gone = Fault(1_500, "power", "vice", for_ms=1_500)
    for manners in (Manners(every_ms=20, confirmed=1.0), Manners(confirmed=0.5)):
        world = lived(manners, gone, reads=0.9)
        hosts = primaries(world)
        assert max(host._confirms for host in hosts) > 10
        assert not any(host._confirming for host in hosts)


def test_a_primary_that_is_sick_is_handed_over_in_order() -> None:
    world = lived(PLAIN, Fault(1_500, "mood", "master", "logbook", what="sick", for_ms=3_000))
    said = timeline(world)
    assert "health checks of logbook on master: sick" in said
    assert "failed its health check 2 times in a row: well: RuntimeError" in said
    stuck = lived(PLAIN, Fault(1_500, "mood", "master", "logbook", what="stuck", for_ms=2_000))
    assert "well: no answer within 0.3 s" in timeline(stuck)


# ---- what watches are told ----


def pushed(told: Told, *positions: int, lost: bool = False, upto: int = 0) -> None:
    """A primary tells these events."""
    assert told.watching is not None
    told.watching.begun = True
    told.watching.position = max(positions, default=upto)
    items = [(event.position, event.topic, b"") for event in EVENTS if event.position in positions]
    told.take(Pushed(told.watching, items, lost))


def judged(*rounds: tuple[int, ...], topic: str = "") -> str:
    told = Told("c1", topic)
    for positions in rounds:
        told.begin(0)
        pushed(told, *positions)
        told.end()
    return told.judge(EVENTS, "n1/a")


def test_a_watch_that_was_told_everything() -> None:
    assert judged((2, 3), (4, 5)) == ""
    assert judged((1,), (3, 4), topic="x") == ""
    assert judged() == ""


@pytest.mark.parametrize(
    ("rounds", "topic", "wrong"),
    [
        (((2,), (4,)), "", "c1 was not told of event 3, which n1/a keeps"),
        (((1, 4),), "x", "c1 was not told of event 3, which n1/a keeps"),
        (((2, 3), (2,)), "", "c1 was told of event 2 after event 3"),
    ],
)
def test_a_watch_that_missed_something(rounds: tuple[tuple[int, ...], ...], topic: str, wrong: str) -> None:
    assert judged(*rounds, topic=topic) == wrong


def test_a_watch_that_was_told_what_nobody_keeps() -> None:
    told = Told("c1", "")
    told.begin(0)
    pushed(told, 4, 5)
    assert told.judge(EVENTS[:4], "n1/a") == "c1 was told of event 5, which n1/a does not keep"
    other = [*EVENTS[:4], Published(5, 5, "z", b"")]
    assert told.judge(other, "n1/a") == "c1 was told another event 5 than n1/a keeps"
    assert told.judge(EVENTS[4:], "n1/a") == "", "what is kept no longer is not compared"


def test_a_watch_that_goes_on_is_told_all_that_concerns_it() -> None:
    told = Told("c1", "x")
    told.begin(0)
    assert told.behind(EVENTS, 5, LATE_NS - 1) == ""
    assert told.behind(EVENTS, 5, LATE_NS) == "c1 watches 'x', and no primary has answered"
    pushed(told, 1, 3)
    assert told.behind(EVENTS, 5, LATE_NS) == "c1 was not told of event 4"
    assert told.behind(EVENTS, 3, LATE_NS) == ""
    pushed(told, 4)
    assert told.behind(EVENTS, 5, LATE_NS) == ""
    ended = told.end()
    told.take(Pushed(ended, [], lost=False))
    assert told.behind(EVENTS, 5, LATE_NS) == ""
    assert "a watch that it had ended" in told.judge(EVENTS, "n1/a")


# ---- what is settled at the end ----


def record(
    argument: str | None, times: tuple[int, int | None], result: object = None, name: str = "append"
) -> Record:
    return Record("c1", "x", name if argument else "read", argument, times[0], times[1], result)


def test_a_call_without_an_end_is_what_the_service_says_of_it() -> None:
    done, lost, unread = record("a", (1, 2), (1, "a")), record("b", (3, None)), record(None, (3, None))
    assert settled([done, lost, unread], {"a": (1, "a")}, "read") == [done]
    whole = settled([done, lost, unread], {"a": (1, "a"), "b": (2, "b")}, "read")
    assert [r.result for r in whole] == [(1, "a"), (2, "b")]
    seen = record(None, (8, 9), (2, "b"))
    assert check([*whole, seen], Log()).verdict is Verdict.LINEARIZABLE
    assert check([done, seen], Log()).verdict is Verdict.VIOLATED, "it was read, and is not there"


def test_what_was_told_as_not_carried_out_must_not_be_there() -> None:
    assert carried_out([record("a", (1, None))], {"b": 2}) == ""
    assert "told as not carried out, and the service holds it: 2" in carried_out(
        [record("b", (1, None))], {"b": 2}
    )


def test_numbered_writes_stand_in_the_order_of_their_numbers() -> None:
    model: Model = Versions()
    one, two = record("a", (1, 9), 5, "write"), record("b", (2, 9), 7, "write")
    early, late = record(None, (3, 4), (7, "b")), record(None, (5, 6), (5, "a"))
    assert (
        check(numbered([one, two, record(None, (3, 4), (0, None)), early]), model).verdict
        is Verdict.LINEARIZABLE
    )
    assert check(numbered([one, two, early, late]), model).verdict is Verdict.VIOLATED
