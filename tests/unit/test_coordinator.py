"""The coordinator as a whole: initialization, places, death of hosts, reconnection."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.coordinator import Coordinator
from primacy.machines.events import InService, LevelCompleted, ServerDied
from primacy.machines.ids import ServerState
from primacy.machines.peer_wire import EndNode, Leave, Progress
from tests.unit.ssc_tools import N1, N2, Rig, record

INIT = {
    "naming": [h.Callback("initialize", 1, "first"), h.Callback("failover", 1, "take_over")],
    "stock": [h.Callback("initialize", 2, "second")],
    "door": [h.Callback("initialize", 2, "hinge"), h.Callback("reconnect", 1, "reattach")],
}


def test_hosts_are_started_and_register_themselves() -> None:
    rig = Rig(INIT)
    assert [e.service for e in rig.effects if isinstance(e, c.Spawn)] == ["naming", "stock", "door"]
    assert not rig.fed(m.Health)[-1:] or rig.fed(m.Health)[-1].positions is None
    rig.open_hosts()
    assert rig.fed(m.Health)[-1].positions == {"naming": (0, 0), "stock": (0, 0)}


def test_master_runs_initialize_by_levels_then_serves() -> None:
    rig = Rig(INIT)
    rig.master()
    assert [r.name for r in rig.runs] == ["first", "hinge", "second", "reattach"]
    assert [(e.function, e.level) for e in rig.events(LevelCompleted)][:2] == [
        ("initialize", 1),
        ("initialize", 2),
    ]
    assert rig.told("stock", h.Assign) == [h.Assign(1, "primary")]
    assert rig.told("stock", h.Serve) == [h.Serve(1)]
    assert rig.fed(m.Serving)[-1].term == 1
    assert rig.events(InService)[-1].term == 1


def test_other_nodes_keep_step_with_the_master() -> None:
    rig = Rig(INIT)
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.run(50)
    assert rig.runs == []
    rig.give(
        c.PeerSaid(now_ns=rig.now_ns, node="n3", incarnation="x", message=Progress(1, "initialize", 9, False))
    )
    assert rig.runs == []  # not the master's word
    rig.give(
        c.PeerSaid(
            now_ns=rig.now_ns,
            node="n2",
            incarnation=N2.incarnation,
            message=Progress(1, "initialize", 1, False),
        )
    )
    assert [r.name for r in rig.runs] == ["first"]
    assert rig.ssc.runs.progress() == ("initialize", 2, ["the master to complete level 2"])
    rig.give(
        c.PeerSaid(
            now_ns=rig.now_ns,
            node="n2",
            incarnation=N2.incarnation,
            message=Progress(1, "initialize", 2, False),
        )
    )
    assert [r.name for r in rig.runs] == ["first", "hinge", "second"]
    assert rig.fed(m.Health)[-1].able


def test_vice_becomes_secondary_of_the_master() -> None:
    rig = Rig()
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.become("vice", "appointment", record(1, N2, N1, appointment=4))
    assign = rig.told("stock", h.Assign)[-1]
    assert (assign.role, assign.term, assign.appointment, assign.in_step) == ("secondary", 1, 4, False)
    assert assign.peer.member == N2
    assert rig.ssc.servers.by_service["stock"].state is ServerState.SECONDARY


def test_a_server_that_held_a_role_rejoins_in_a_new_process() -> None:
    rig = Rig.of_vice(INIT)
    rig.become("vice", "appointment", record(1, N2, N1, appointment=6))
    assert {e.service for e in rig.effects if isinstance(e, c.KillHost)} == {"naming", "stock"}
    for service in ("naming", "stock"):
        rig.exit(service)
        rig.run(300)
        rig.say(service, h.Opened(service, rig.callbacks.get(service, []), 1, 3))
    assign = rig.told("stock", h.Assign)[-1]
    assert (assign.role, assign.appointment) == ("secondary", 6)
    assert rig.events(ServerDied) == []


def test_after_a_switchover_the_old_primary_goes_on_as_it_is() -> None:
    rig = Rig()
    rig.master()
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=5), clean=True)
    assign = rig.told("stock", h.Assign)[-1]
    assert (assign.role, assign.term, assign.in_step) == ("secondary", 2, True)
    assert not [e for e in rig.effects if isinstance(e, c.KillHost)]


def test_after_a_switchover_the_new_primary_waits_for_the_old_one() -> None:
    rig = Rig.of_vice(INIT)
    rig.become("master", "switchover", record(2, N1, N2, ready=True, appointment=5, by=N2), clean=True)
    assign = rig.told("stock", h.Assign)[-1]
    assert (assign.role, assign.appointment, assign.peer.member) == ("primary", 5, N2)


def test_death_of_a_secondarys_host_withdraws_the_vices_health() -> None:
    rig = Rig.of_vice(INIT)
    rig.exit("stock")
    health = rig.fed(m.Health)[-1]
    assert (health.healthy, health.appointment) == (False, 4)
    rig.say("stock", h.Opened("stock", [], 1, 3))
    assert len(rig.told("stock", h.Assign)) == 1  # not again in the appointment that is withdrawn


def test_joined_is_told_when_every_service_has_joined() -> None:
    rig = Rig()
    rig.master()
    rig.cmm(m.Appointed(1, 2, N2))
    assert rig.told("naming", h.Appoint)[-1].peer.member == N2
    rig.say("naming", h.Joined(1, 2, 5))
    assert not rig.fed(m.Joined)
    rig.say("stock", h.Joined(1, 1, 5))  # of another appointment
    assert not rig.fed(m.Joined)
    rig.say("stock", h.Joined(1, 2, 5))
    assert rig.fed(m.Joined)[-1].appointment == 2


def test_a_host_that_dies_again_and_again_waits_longer_each_time() -> None:
    rig = Rig()
    pauses = []
    for _ in range(6):
        before = len([e for e in rig.effects if isinstance(e, c.Spawn) and e.service == "stock"])
        rig.exit("stock", "exited with 1")
        waited = 0
        while len([e for e in rig.effects if isinstance(e, c.Spawn) and e.service == "stock"]) == before:
            rig.run(5)
            waited += 5
        pauses.append(waited)
    assert pauses == sorted(pauses)
    assert pauses[-1] >= pauses[0] + 700


def test_a_callback_that_fails_in_initialize_ends_its_host() -> None:
    rig = Rig({"stock": [h.Callback("initialize", 1, "warm_up")]})
    rig.fail = {"warm_up": "no disk"}
    rig.open_hosts()
    rig.become("master", "formation", record(1))
    assert c.KillHost("stock") in rig.effects
    assert rig.ssc.serving.own_term == 0
    rig.fail = {}
    rig.exit("stock")
    rig.run(300)
    rig.say("stock", h.Opened("stock", rig.callbacks["stock"], 0, 0))
    assert rig.ssc.serving.own_term == 1


def test_messages_of_other_coordinators() -> None:
    rig = Rig()
    rig.master()
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation=N2.incarnation, message=Leave("bye")))
    assert rig.fed(m.Leaving)[-1].member == N2
    rig.give(
        c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation=N2.incarnation, message=EndNode("all", True))
    )
    for service in ("naming", "stock", "door"):
        assert not any(isinstance(effect, c.End) for effect in rig.effects)
        rig.exit(service, "exited with 0")
    assert isinstance(rig.effects[-1], c.End)


def test_an_ineligible_node_runs_local_servers_only() -> None:
    ssc = Coordinator(
        N1,
        (c.ServiceEntry("naming"), c.ServiceEntry("door", local=True)),
        {},
        0,
        nodes=(m.NodeEntry("n1", eligible=False),),
    )
    effects = ssc.step(c.Started(now_ns=1))
    assert [e.service for e in effects if isinstance(e, c.Spawn)] == ["door"]


def test_the_reason_of_a_dead_host_is_one_sentence_whatever_its_last_words_were() -> None:
    rig = Rig()
    rig.master()
    rig.say(
        "stock", h.Failed("bug", "Traceback (most recent call last):\n" + "  File x\n" * 500 + "NameError: y")
    )
    rig.exit("stock")
    assert rig.fed(m.HandOver)[-1].cause == "the host of stock on n1 NameError: y"


def test_a_node_whose_journal_was_set_aside_takes_no_part_in_formation() -> None:
    rig = Rig()
    rig.say("naming", h.Opened("naming", [], 3, 9))
    rig.say("door", h.Opened("door", [], 0, 0))
    rig.say("stock", h.Opened("stock", [], 0, 0, incomplete=True))
    assert not rig.fed(m.Health)[-1].complete
    rig.exit("stock")
    rig.run(200)
    rig.say("stock", h.Opened("stock", [], 3, 9))
    assert rig.fed(m.Health)[-1].complete


def test_settings_of_a_changed_table_count_from_then_on() -> None:
    rig = Rig()
    rig.pair()
    moved = {"n2": {"stock": [("127.0.0.1", 9)]}}
    rig.give(c.SettingsChanged(now_ns=rig.now_ns, addresses=moved))
    assert rig.ssc.functions.auto_promote
    rig.cmm(m.Appointed(1, 5, N2))
    assert rig.told("stock", h.Appoint)[-1].peer.addresses == [("127.0.0.1", 9)]
    rig.give(c.SettingsChanged(now_ns=rig.now_ns, addresses={}, auto_promote=False))
    assert not rig.ssc.functions.auto_promote
