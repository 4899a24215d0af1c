"""Services that are taken out of the table: their servers end in order, and nobody counts on them meanwhile."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import ServerChanged
from primacy.machines.retiring import STOP_NS_MAX
from tests.unit.ssc_tools import Rig

CALLBACKS = {"stock": [h.Callback("shutdown", 1, "low"), h.Callback("shutdown", 2, "high")]}


def _gone(rig: Rig, *services: str) -> None:
    rig.effects.clear()
    rig.give(c.ServicesGone(now_ns=rig.now_ns, services=services))


def _offline(rig: Rig) -> list[str]:
    published = [e.event for e in rig.effects if isinstance(e, c.Publish)]
    return [e.service for e in published if isinstance(e, ServerChanged) and e.new == "offline"]


def test_its_shutdown_callbacks_run_downwards_then_it_stops_and_is_offline() -> None:
    rig = Rig(CALLBACKS)
    rig.pair()
    _gone(rig, "stock")
    assert [r.name for r in rig.runs] == ["high", "low"]
    assert rig.told("stock", h.Stop)
    assert "stock" not in rig.ssc.servers.by_service
    assert not _offline(rig)
    rig.exit("stock", "exited with 0")
    assert _offline(rig) == ["stock"]
    rig.run(1_000)
    assert c.Spawn("stock") not in rig.effects, "it is not started again"


def test_a_switchover_does_not_wait_for_it() -> None:
    rig = Rig(CALLBACKS)
    rig.hold = {"high"}
    rig.pair()
    _gone(rig, "stock")
    rig.say("stock", h.MirrorStalled(1, 1))
    assert not [e for e in rig.effects if isinstance(e, c.Feed) and isinstance(e.input, m.Stalled)]
    assert [s.service for s in rig.ssc.servers.centralized] == ["naming"]


def test_the_vice_has_joined_when_only_this_service_was_missing() -> None:
    rig = Rig()
    rig.master()
    rig.cmm(m.Appointed(1, 1, m.Member("n2", "x")))
    rig.say("naming", h.Joined(1, 1, 0))
    joined = m.Joined(now_ns=rig.now_ns, term=1, appointment=1)
    assert c.Feed(joined) not in rig.effects
    _gone(rig, "stock")
    assert c.Feed(joined) in rig.effects


def test_what_does_not_end_is_killed() -> None:
    rig = Rig(CALLBACKS)
    rig.hold = {"high"}
    rig.pair()
    _gone(rig, "stock")
    assert c.KillHost("stock") not in rig.effects
    rig.run(STOP_NS_MAX / 1e6 + 60_000)
    assert c.KillHost("stock") in rig.effects
    rig.exit("stock")
    assert _offline(rig) == ["stock"]


def test_a_process_that_is_not_open_yet_is_killed_and_one_that_is_none_is_forgotten() -> None:
    rig = Rig()
    _gone(rig, "stock", "door", "unknown")
    assert [e.service for e in rig.effects if isinstance(e, c.KillHost)] == ["stock", "door"]
    rig.exit("stock")
    rig.exit("door")
    assert list(rig.ssc.servers.by_service) == ["naming"]
    rig.exit("naming")
    _gone(rig, "naming")
    assert not [e for e in rig.effects if isinstance(e, c.KillHost)]
