"""The recovery ladder at work: what is applied to a server that failed, and how it comes back."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import InService, RecoveryStep, ServerDied
from primacy.machines.ids import SECOND, ServerState
from primacy.machines.recovery import IN_PLACE
from primacy.machines.rungs import Limits
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, Rig, record

TAKE_OVER = {"stock": [h.Callback("failover", 1, "take_over")]}


def _rig(limits: Limits = Limits(), callbacks=None, **row) -> Rig:  # noqa: B008 (immutable)
    stock = c.ServiceEntry("stock", recovery=limits, **row)
    return Rig(callbacks, services=(c.ServiceEntry("naming"), stock, c.ServiceEntry("door", local=True)))


def _master(limits: Limits = Limits(), *, vice: bool = False, **options) -> Rig:  # noqa: B008 (immutable)
    """n1 serves term 1; n2 is its ready vice, or nobody is."""
    rig = _rig(limits, **options)
    rig.master()
    if vice:
        rig.cmm(m.Adopted(2, record(1, N1, N2, ready=True, appointment=2)))
        rig.cmm(m.ViceReady(1, 2))
    return rig


def _renewed(rig: Rig) -> None:
    """The monitor writes the new term that the coordinator has asked for."""
    term = rig.fed(m.Renew)[-1].term + 1
    rig.cmm(m.Closed(Purpose.RENEW, Outcome.DONE))
    rig.become("master", "restart", record(term, N1, appointment=term + 5))


def _alone(rig: Rig, reason: str = "was ended by signal 9", service: str = "stock") -> None:
    """The primary dies, nobody can take over, and the master goes on in a new term."""
    handed = len(rig.fed(m.HandOver))
    rig.exit(service, reason)
    if len(rig.fed(m.HandOver)) > handed:
        rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    _renewed(rig)


def _opens(rig: Rig, service: str = "stock") -> None:
    rig.say(service, h.Opened(service, rig.callbacks.get(service, []), 1, 9))


def _steps(rig: Rig) -> list[tuple[int, str, str]]:
    return [(e.failures, e.recommended, e.applied) for e in rig.events(RecoveryStep)]


def _spawned(rig: Rig) -> int:
    return len([e for e in rig.effects if isinstance(e, c.Spawn) and e.service == "stock"])


# ---- which rung ----


def test_by_default_the_death_of_a_primary_is_a_hand_over_at_once() -> None:
    rig = _master(vice=True)
    rig.exit("stock")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [False]
    assert _steps(rig) == []  # what was applied is known when the swap is settled
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.become("member", "deposed", record(2, N2, appointment=3, by=N1))
    assert _steps(rig) == [(1, "switchover", "switchover at once: n2 is master of term 2")]
    assert not rig.fed(m.Renew)


def test_restarts_in_place_come_first_where_they_are_configured() -> None:
    rig = _master(Limits(restarts=2), vice=True)
    for _ in range(2):
        _alone(rig)
        _opens(rig)
    assert not rig.fed(m.HandOver)
    rig.exit("stock")
    assert rig.fed(m.HandOver)[-1].term == 3
    assert _steps(rig) == [(1, "restart", IN_PLACE), (2, "restart", IN_PLACE)]
    assert [e.action for e in rig.events(ServerDied)] == [
        IN_PLACE,
        IN_PLACE,
        "switchover to the vice at once",
    ]


def test_what_was_recommended_and_could_not_be_applied_is_told() -> None:
    rig = _master()
    _alone(rig)
    assert _steps(rig) == [(1, "switchover", f"{IN_PLACE}: nobody could take over")]


def test_a_secondary_that_fails_again_and_again_makes_its_node_rest() -> None:
    rig = Rig.of_vice({})
    for appointment in range(5, 9):
        rig.exit("stock")
        rig.become("member", "dropped", record(1, N2, appointment=appointment))
        rig.exit("naming")  # it has held a role, and is renewed
        rig.run(2_000)
        for service in ("naming", "stock"):
            rig.say(service, h.Opened(service, [], 1, 3))
        rig.become("vice", "appointment", record(1, N2, N1, appointment=appointment))
    last = _steps(rig)[-1]
    assert last[:2] == (4, "restart")
    assert "n1 takes no role for 2 s" in last[2]


def test_a_node_that_rests_says_so_and_is_able_again_when_the_pause_is_over() -> None:
    rig = Rig()
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    for _ in range(4):
        rig.exit("stock")
        rig.run(1_500)
        _opens(rig)
    assert not rig.fed(m.Health)[-1].able
    wakes = [e.at_ns for e in rig.effects if isinstance(e, c.Wake)]
    assert rig.now_ns < wakes[-1] <= rig.now_ns + 2 * SECOND
    rig.run(2_000)
    assert rig.fed(m.Health)[-1].able


def test_a_local_server_climbs_no_ladder() -> None:
    rig = _master()
    for _ in range(6):
        rig.exit("door")
    assert _steps(rig) == []
    assert not rig.fed(m.HandOver)


def test_node_out_ends_this_life_of_the_node() -> None:
    rig = _master(Limits(node_out=2))
    _alone(rig)
    _opens(rig)
    assert not any(isinstance(e, c.Abandon) for e in rig.effects)
    rig.exit("stock")
    assert _steps(rig)[-1] == (2, "node out", "node out")
    assert any(isinstance(e, c.Abandon) and "stock" in e.reason for e in rig.effects)


def test_what_a_life_that_ended_has_counted_goes_on_in_the_next() -> None:
    rig = _master(Limits(node_out=2))
    _alone(rig)
    _opens(rig)
    rig.exit("stock")
    assert rig.ssc.recovery.counts() == {"stock": (2, 0)}
    stock = c.ServiceEntry("stock", recovery=Limits(node_out=2))
    services = (c.ServiceEntry("naming"), stock, c.ServiceEntry("door", local=True))
    following = Rig(services=services, failures={"stock": (3, 1), "gone": (9, 9)})
    following.open_hosts()
    following.cmm(m.Adopted(1, record(1, N2)))
    following.cmm(m.Served(1))
    assert not following.fed(m.Health)[-1].able
    following.run(1_100)
    assert following.fed(m.Health)[-1].able
    following.exit("stock")
    assert _steps(following)[-1][0] == 4


def test_a_hand_over_that_nobody_could_take_does_not_count() -> None:
    rig = _master(Limits(switchovers=1))
    for _ in range(3):
        _alone(rig)
        rig.run(3_000)
        _opens(rig)
        if rig.fed(m.Renew)[-1].term == rig.ssc.term:
            _renewed(rig)
    assert [step[1] for step in _steps(rig)] == ["switchover"] * 3
    rig.exit("stock")
    assert rig.fed(m.HandOver)[-1].term == rig.ssc.term


# ---- failed: kept back ----


def _failed() -> Rig:
    """The primary of stock failed three times in a row on a lone master: it is kept back for a second."""
    rig = _master(Limits(switchovers=0), callbacks=TAKE_OVER)
    for _ in range(2):
        _alone(rig)
        _opens(rig)
    _alone(rig)
    return rig


def test_a_server_that_is_kept_back_holds_up_no_other_one() -> None:
    rig = _failed()
    assert _steps(rig)[-1] == (3, "failed", "kept back for 1 s")
    assert rig.ssc.serving.own_term == rig.ssc.term == 4
    assert rig.told("naming", h.Serve)[-1] == h.Serve(4)
    assert rig.told("stock", h.Assign)[-1].term == 3
    before = _spawned(rig)
    rig.run(900)
    assert _spawned(rig) == before
    rig.run(200)
    assert _spawned(rig) == before + 1


def test_a_server_that_was_kept_back_comes_in_with_a_new_term() -> None:
    rig = _failed()
    rig.run(1_100)
    ran = len([run for run in rig.runs if run.name == "take_over"])
    _opens(rig)
    assert rig.fed(m.Renew)[-1] == m.Renew(now_ns=rig.now_ns, term=4, cause="stock on n1 is up again")
    assert rig.told("stock", h.Assign)[-1].term == 3
    _renewed(rig)
    assert rig.told("stock", h.Assign)[-1] == h.Assign(5, "primary")
    assert len([run for run in rig.runs if run.name == "take_over"]) == ran + 1
    assert rig.told("stock", h.Serve)[-1] == h.Serve(5)
    assert rig.ssc.servers.by_service["stock"].state is ServerState.PRIMARY


def test_a_term_in_which_every_server_is_kept_back_is_not_served_before_one_is_up_again() -> None:
    limits = Limits(switchovers=0)
    rig = Rig(
        TAKE_OVER,
        services=(c.ServiceEntry("naming", recovery=limits), c.ServiceEntry("stock", recovery=limits)),
    )
    rig.master()
    for service in ("stock", "naming"):
        for _ in range(2):
            _alone(rig, service=service)
            _opens(rig, service)
        _alone(rig, service=service)
    assert [_steps(rig)[-1], rig.ssc.term] == [(3, "failed", "kept back for 1 s"), 7]
    assert rig.ssc.serving.own_term == 6
    assert [e.term for e in rig.events(InService)][-1] == 6
    rig.run(1_100)
    _opens(rig, "naming")
    assert rig.ssc.serving.own_term == 7
    assert rig.told("naming", h.Serve)[-1] == h.Serve(7)


def test_without_it_no_vice_becomes_ready() -> None:
    rig = _failed()
    rig.cmm(m.Appointed(4, 20, N2))
    rig.say("naming", h.Joined(4, 20, 5))
    assert not rig.fed(m.Joined)


def test_an_orderly_stop_is_not_recorded_while_nobody_can_say_how_far_it_is() -> None:
    rig = _failed()
    rig.ask("shutdown", node=None)
    rig.run(50)
    assert not rig.fed(m.StopCluster)
    assert rig.answers()[-1].result["recorded"] is False


def test_pauses_grow_and_the_mastership_does_not_move() -> None:
    """A service that runs nowhere: its node keeps the mastership, and tries ever more seldom."""
    rig = _failed()
    began_ns = rig.now_ns
    terms = [rig.ssc.term]
    while rig.now_ns - began_ns < 120 * SECOND:
        before = _spawned(rig)
        while _spawned(rig) == before:
            rig.run(100)
        _opens(rig)
        _renewed(rig)
        _alone(rig, "exited with 1")
        terms.append(rig.ssc.term)
    assert len(terms) <= 9  # 1, 2, 4, ... seconds
    assert not rig.fed(m.HandOver)
    assert len(rig.events(InService)) >= len(terms)


def test_before_the_first_service_all_wait_for_all() -> None:
    """At the formation of a cluster a service that does not start is shown, not left out."""
    rig = _rig()
    rig.say("naming", h.Opened("naming", [], 0, 0))
    rig.become("master", "formation", record(1))
    for _ in range(5):
        rig.exit("stock", "exited with 1")
        rig.run(6_000)
    assert rig.ssc.serving.own_term == 0
    assert "has not been in service" in _steps(rig)[-1][2]
    rig.say("door", h.Opened("door", [], 0, 0))
    _opens(rig)
    assert rig.ssc.serving.own_term == 1


# ---- not well ----


def test_a_primary_that_is_not_well_is_handed_over_in_order() -> None:
    rig = _master(vice=True)
    rig.say("stock", h.Unhealthy(1, 3, "check: no answer within 2 s"))
    assert [(e.in_step, e.cause) for e in rig.fed(m.HandOver)] == [
        (True, "stock on n1 failed its health check 3 times in a row: check: no answer within 2 s")
    ]
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=3, by=N1), clean=True)
    assert c.KillHost("stock") not in rig.effects
    rig.cmm(m.Served(2))
    assert c.KillHost("stock") in rig.effects  # it begins anew as secondary
    rig.exit("stock")
    assert rig.fed(m.Health)[-1].healthy is False
    assert [step[1:] for step in _steps(rig)] == [
        ("switchover", "switchover in order: n2 is master of term 2"),
    ]


def test_when_it_cannot_be_handed_over_in_order_its_host_ends() -> None:
    rig = _master(vice=True, callbacks={"stock": [h.Callback("switchover", 1, "give_up")]})
    rig.fail = {"give_up": "I will not"}
    rig.say("stock", h.Unhealthy(1, 3, "sick"))
    assert c.KillHost("stock") in rig.effects
    rig.exit("stock")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [False]
    assert "I will not" in rig.events(ServerDied)[-1].reason


@pytest.mark.parametrize("limits", [Limits(), Limits(restarts=1)])
def test_without_a_vice_a_primary_that_is_not_well_starts_again_where_it_is(limits: Limits) -> None:
    rig = _master(limits)
    rig.say("stock", h.Unhealthy(1, 3, "sick"))
    rig.say("stock", h.Unhealthy(1, 6, "sick"))  # one failure, judged once
    assert c.KillHost("stock") in rig.effects
    _alone(rig)
    assert [step[0] for step in _steps(rig)] == [1]
    assert IN_PLACE in _steps(rig)[0][2]


def test_what_is_said_of_another_term_counts_for_nothing() -> None:
    rig = _master()
    rig.say("stock", h.Unhealthy(9, 3, "sick"))
    assert c.KillHost("stock") not in rig.effects


def test_its_host_may_die_while_it_is_handed_over_in_order() -> None:
    rig = _master(vice=True)
    rig.quiesces = False
    rig.say("stock", h.Unhealthy(1, 3, "sick"))
    assert not rig.fed(m.HandOver)
    rig.exit("stock")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [False]
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.become("member", "deposed", record(2, N2, appointment=3, by=N1))
    assert [step[0] for step in _steps(rig)] == [1]


# ---- where it meets others ----


def _held(rig: Rig, why: str = "the cluster is in maintenance") -> None:
    rig.give(c.Maintained(now_ns=rig.now_ns, cluster=why))


def test_in_maintenance_neither_a_failing_server_nor_an_unhealthy_one_moves_mastership() -> None:
    rig = _master(Limits(restarts=1, node_out=4), vice=True)
    _held(rig)
    for _ in range(4):
        rig.say("stock", h.Unhealthy(rig.ssc.term, 3, "sick"))
        assert not rig.told("naming", h.Quiesce)
        rig.exit("stock")
        _renewed(rig)
        rig.run(10_000)
        _opens(rig)
        if rig.ssc.rescue.lost:  # it was kept back, and is up again
            _renewed(rig)
    assert not rig.fed(m.HandOver)
    assert not any(isinstance(e, c.Abandon) for e in rig.effects)
    assert [recommended for _, recommended, _ in _steps(rig)] == [
        "restart",
        "switchover",
        "switchover",
        "node out",
    ]
    _held(rig, "")
    rig.exit("stock")
    assert rig.fed(m.HandOver)  # none of the hand-overs was used up


def test_in_maintenance_a_switchover_that_cannot_be_completed_goes_back() -> None:
    rig = _rig(callbacks={"stock": [h.Callback("switchover", 1, "take_over")]})
    rig.hold = {"take_over"}
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    _held(rig)
    rig.become("master", "switchover", record(2, N1, N2, ready=True, appointment=3, by=N2), clean=True)
    assert not rig.ssc.serving.serves
    rig.exit("stock")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [False]


def test_a_service_that_is_taken_out_of_the_table_is_recovered_no_more() -> None:
    rig = _master(vice=True)
    rig.exit("stock")
    assert rig.fed(m.HandOver)
    rig.give(c.ServicesGone(now_ns=rig.now_ns, services=("stock",)))
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    _renewed(rig)
    assert rig.ssc.serving.own_term == 2


def test_in_maintenance_an_escalating_callback_ends_its_server_and_not_the_node() -> None:
    callback = h.Callback("initialize", 1, "warm_up", on_failure="escalate")
    rig = _rig(callbacks={"stock": [callback]})
    rig.master()
    _held(rig)
    rig.exit("stock")
    _renewed(rig)
    rig.fail = {"warm_up": "no"}
    _opens(rig)
    assert c.KillHost("stock") in rig.effects
    assert not any(isinstance(e, c.Abandon) for e in rig.effects)
    _held(rig, "")
    rig.exit("stock")
    rig.run(10_000)
    _opens(rig)
    assert any(isinstance(e, c.Abandon) for e in rig.effects)


@pytest.mark.parametrize(("policy", "asked"), [("escalate", m.HandOver), ("restart", m.Renew)])
def test_an_escalating_callback_of_a_take_over_hands_on_at_once(policy: str, asked: type) -> None:
    limits = Limits(restarts=3)
    rig = _rig(limits, {"stock": [h.Callback("failover", 1, "take_over", on_failure=policy)]})
    rig.fail = {"take_over": "no"}
    rig.open_hosts()
    rig.become("master", "failover", record(2, N1, appointment=2))
    assert c.KillHost("stock") in rig.effects
    rig.exit("stock")
    assert [type(each) for each in rig.fed(m.HandOver) + rig.fed(m.Renew)] == [asked]


def test_a_server_that_was_kept_back_and_is_up_before_its_term_has_begun_takes_part_in_it() -> None:
    rig = _master(Limits(switchovers=0), callbacks=TAKE_OVER)
    for _ in range(2):
        _alone(rig)
        _opens(rig)
    rig.exit("stock")
    rig.exit("naming")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    _renewed(rig)
    assert rig.ssc.servers.by_service["stock"].held
    assert not rig.ssc.serving.begun  # it waits for naming
    rig.run(1_100)
    renewals = len(rig.fed(m.Renew))
    _opens(rig)
    assert not rig.ssc.servers.by_service["stock"].held
    rig.say("naming", h.Opened("naming", [], 1, 9))
    assert rig.ssc.serving.serves
    assert rig.told("stock", h.Assign)[-1] == rig.told("naming", h.Assign)[-1] == h.Assign(4, "primary")
    assert len(rig.fed(m.Renew)) == renewals  # no term of its own
