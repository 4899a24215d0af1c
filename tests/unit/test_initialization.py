"""Initialization level by level, master first."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.ids import Member
from primacy.machines.initialization import FUNCTION
from primacy.machines.peer_wire import Progress
from primacy.machines.sequence import EVERY_LEVEL
from tests.unit.ssc_tools import N1, N2, N3, Rig, record

INIT = {
    "naming": [h.Callback(FUNCTION, 1, "one")],
    "stock": [h.Callback(FUNCTION, 2, "two", on_failure="retry", retries=1)],
    "door": [h.Callback(FUNCTION, 3, "three")],
}


def _waiting() -> Rig:
    """Every host is open here, n2 is master and has said nothing yet."""
    rig = Rig(INIT)
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    return rig


def _hear(rig: Rig, who: Member, level: int, complete: bool = False) -> None:
    message = Progress(1, FUNCTION, level, complete)
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node=who.node, incarnation=who.incarnation, message=message))


def _names(rig: Rig) -> list[str]:
    return [r.name for r in rig.runs]


def test_nothing_begins_before_the_master_has_begun() -> None:
    rig = _waiting()
    assert _names(rig) == []
    assert FUNCTION not in rig.ssc.runs


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_node_is_never_ahead_of_the_master(level: int) -> None:
    rig = _waiting()
    _hear(rig, N2, level)
    assert _names(rig) == ["one", "two", "three"][:level]


def test_what_an_earlier_life_of_the_master_said_counts_for_nothing() -> None:
    rig = _waiting()
    _hear(rig, Member("n2", "an earlier life"), 0, complete=True)
    assert _names(rig) == []
    _hear(rig, N2, 1)
    assert _names(rig) == ["one"]


def test_a_node_that_was_heard_before_it_became_master_has_been_heard() -> None:
    rig = _waiting()
    _hear(rig, N3, 0, complete=True)
    assert _names(rig) == []
    rig.cmm(m.Adopted(2, record(2, N3)))
    rig.run(5)
    assert _names(rig) == ["one", "two", "three"]


def test_a_late_node_hears_all_at_once() -> None:
    rig = _waiting()
    rig.cmm(m.Served(1))
    assert _names(rig) == ["one", "two", "three"]


@pytest.mark.parametrize(("role", "to"), [("master", None), ("member", "n2")])
def test_progress_is_told_to_who_waits_for_it(role: str, to: str | None) -> None:
    rig = Rig(INIT)
    rig.open_hosts()
    if role == "master":
        rig.become("master", "formation", record(1))
    else:
        rig.cmm(m.Adopted(1, record(1, N2)))
        _hear(rig, N2, 0, complete=True)
    told = [e for e in rig.effects if isinstance(e, c.TellNode)]
    assert [(e.node, e.message.level, e.message.complete) for e in told] == [
        (to, 1, False), (to, 2, False), (to, 3, False), (to, 0, True),
    ]  # fmt: skip


def test_a_host_started_later_is_initialized_by_itself_and_levels_are_not_told_again() -> None:
    rig = Rig(INIT)
    rig.master()
    rig.effects.clear()
    rig.exit("door")
    rig.run(250)
    rig.say("door", h.Opened("door", INIT["door"], 0, 0))
    assert _names(rig)[-1] == "three"
    assert rig.ssc.servers.by_service["door"].initialized
    assert not [e for e in rig.effects if isinstance(e, c.TellNode) and isinstance(e.message, Progress)]


@pytest.mark.parametrize("service", ["naming", "stock"])
def test_a_server_whose_callback_fails_for_good_is_no_use(service: str) -> None:
    """One that retries is ended after its last try, as any other after its first."""
    rig = Rig(INIT)
    rig.fail = {"one" if service == "naming" else "two": "no licence"}
    rig.open_hosts()
    rig.become("master", "formation", record(1))
    rig.run(50)
    killed = [e.service for e in rig.effects if isinstance(e, c.KillHost)]
    assert killed == [service]
    server = rig.ssc.servers.by_service[service]
    assert "no licence" in server.error
    assert not server.initialized
    assert rig.ssc.serving.own_term == 0


def test_the_barrier_is_open_for_the_master_and_where_it_serves() -> None:
    rig = _waiting()
    assert rig.ssc.initialization._barrier() == 0
    _hear(rig, N2, 2)
    assert rig.ssc.initialization._barrier() == 2
    rig.cmm(m.Served(1))
    assert rig.ssc.initialization._barrier() == EVERY_LEVEL
    assert N1.node == "n1"


def test_another_functions_level_opens_nothing() -> None:
    rig = _waiting()
    message = Progress(1, "failover", 3, True)
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation=N2.incarnation, message=message))
    assert _names(rig) == []
