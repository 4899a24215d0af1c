"""The servers of a node, one step at a time nearer to what the record makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import ServerChanged
from primacy.machines.ids import MS, SECOND, ServerState
from primacy.machines.records import Mastership
from primacy.machines.servers import BACKOFF_NS_MAX, LIFE_NS, RESPAWN_NS
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, N3, Rig, record


@pytest.mark.parametrize(
    ("role", "rec", "target"),
    [
        ("member", record(3, N2), ("available", 0, 0)),
        ("vice", record(3, N2, N1, appointment=7), ("secondary", 3, 7)),
        ("master", record(3, N1), ("primary", 3, 0)),
        ("master", record(3, N1, N2, ready=True, appointment=7), ("primary", 3, 0)),
    ],
)
def test_the_target_follows_from_the_record(role: str, rec: Mastership, target: tuple[str, int, int]) -> None:
    rig = Rig()
    assert rig.ssc.servers.target(None) == ("available", 0, 0)
    assert rig.ssc.servers.target(m.Became(role, "test", 1, rec, False)) == target


def test_a_host_speaks_for_its_own_service_only() -> None:
    rig = Rig()
    rig.say("stock", h.Opened("naming", [h.Callback("initialize", 1, "f")], 5, 5))
    rig.say("naming", h.Opened("a service that nobody knows", [], 1, 2))
    servers = rig.ssc.servers.by_service
    assert (servers["stock"].process, servers["stock"].position) == ("open", (5, 5))
    assert (servers["naming"].process, servers["naming"].position) == ("open", (1, 2))


def test_the_table_registers_callbacks_beside_those_of_the_service() -> None:
    more = h.Callback("failover", 7, "warm_up")
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", callbacks=(more,))))
    rig.say("stock", h.Opened("stock", [h.Callback("initialize", 1, "f")], 0, 0))
    assert [each.name for each in rig.ssc.servers.by_service["stock"].callbacks] == ["f", "warm_up"]


def test_a_second_opening_changes_nothing() -> None:
    rig = Rig()
    rig.say("stock", h.Opened("stock", [], 1, 2))
    rig.say("stock", h.Opened("stock", [], 8, 9))
    assert rig.ssc.servers.by_service["stock"].position == (1, 2)


def test_a_host_that_was_ended_on_purpose_starts_again_after_a_short_while() -> None:
    rig = Rig()
    rig.open_hosts()
    server = rig.ssc.servers.by_service["stock"]
    rig.ssc.servers.renew(server)
    rig.ssc.servers.renew(server)  # it is ending already
    died_ns = rig.now_ns
    rig.exit("stock")
    assert server.restart_ns == died_ns + RESPAWN_NS
    assert server.failures == 0
    assert server.error == ""


@pytest.mark.parametrize(
    ("deaths", "pause_ns"),
    [(1, 200 * MS), (2, 300 * MS), (3, 400 * MS), (6, 1_800 * MS), (20, BACKOFF_NS_MAX)],
)
def test_a_host_that_dies_again_and_again_waits_longer(deaths: int, pause_ns: int) -> None:
    rig = Rig()
    server = rig.ssc.servers.by_service["stock"]
    for _ in range(deaths):
        server.process = "open"
        rig.ssc.servers.exited("stock", "exited with 1")
    assert server.restart_ns - rig.ssc.now_ns == pause_ns


def test_after_a_long_life_a_death_is_the_first_one_again() -> None:
    rig = Rig()
    server = rig.ssc.servers.by_service["stock"]
    server.failures, server.process = 9, "open"
    rig.ssc.now_ns += LIFE_NS + SECOND
    rig.ssc.servers.exited("stock", "exited with 1")
    assert server.failures == 0


def test_a_change_is_told_once_and_for_centralized_services_only() -> None:
    rig = Rig()
    for service in ("stock", "door"):
        server = rig.ssc.servers.by_service[service]
        rig.ssc.servers.change(server, ServerState.AVAILABLE)
        rig.ssc.servers.change(server, ServerState.AVAILABLE)
    told = [e.event for e in rig.ssc._out if isinstance(e, c.Publish) and isinstance(e.event, ServerChanged)]
    assert [e.service for e in told].count("stock") == 1
    assert "door" not in [e.service for e in told]


PLACES = st.sampled_from(
    [
        ("member", "dropped", lambda term: record(term, N2, by=N2, appointment=term)),
        ("vice", "appointment", lambda term: record(term, N2, N1, by=N2, appointment=term)),
        ("vice", "switchover", lambda term: record(term, N3, N1, ready=True, by=N1, appointment=term)),
        ("master", "failover", lambda term: record(term, N1, by=N1, appointment=term)),
        ("master", "switchover", lambda term: record(term, N1, N2, ready=True, by=N2, appointment=term)),
    ]
)
MOVES = st.lists(PLACES | st.sampled_from(["naming", "stock", "door"]) | st.integers(1, 400), max_size=25)


@given(MOVES)
def test_whatever_happens_every_server_comes_to_what_it_should_be(moves: list[object]) -> None:
    """A process that held a role takes another one only where it is complete; nobody is assigned what he was told."""
    rig = Rig()
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    term = 1
    for move in moves:
        if isinstance(move, tuple):
            role, how, make = move
            term += 1
            rig.become(role, how, make(term), clean=how == "switchover")
        elif isinstance(move, str):
            if rig.ssc.servers.by_service[move].process != "none":
                rig.exit(move)
        else:
            rig.run(move)
        _answer_monitor(rig)
        _revive(rig)
    for _ in range(40):
        rig.run(200)
        _revive(rig)
        _answer_monitor(rig)
    servers, target = rig.ssc.servers, rig.ssc.servers.target(rig.ssc.place)
    withdrawn = rig.ssc.broken_appointment == target[2] and target[0] == "secondary"
    for server in servers.centralized:
        assert server.ready
        if not withdrawn:
            assert server.assigned == target
            assert server.state == (target[0] if target[0] != "available" else ServerState.AVAILABLE)


def _revive(rig: Rig) -> None:
    """What was killed exits, what was started opens."""
    for server in rig.ssc.servers.by_service.values():
        if server.process == "ending":
            rig.exit(server.service)
        elif server.process == "starting":
            rig.say(server.service, h.Opened(server.service, [], 1, 1))


def _answer_monitor(rig: Rig) -> None:
    """The monitor has nobody to hand over to, and renews the term."""
    asked = [e.input for e in rig.effects if isinstance(e, c.Feed)]
    rig.effects.clear()
    for each in asked:
        if isinstance(each, m.HandOver):
            rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
        elif isinstance(each, m.Renew) and rig.ssc.role == "master" and each.term == rig.ssc.term:
            renewed = record(each.term + 1, N1, by=N1, appointment=each.term + 1)
            rig.become("master", "restart", renewed)
