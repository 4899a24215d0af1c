"""What a callback's failure means: the whole table, and each cell carried out by the coordinator."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import CallbackFailed, RecoveryStep
from primacy.machines.ids import Function
from primacy.machines.policies import POLICIES, TABLE, Meaning, Part, meaning, part
from primacy.machines.runs import Frame
from primacy.machines.sequence import plan
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, Rig, record

PARTS = {
    ("initialize", "available"): Part.INITIALIZE,
    ("switchover", "secondary"): Part.GIVING_UP,
    ("switchover", "primary"): Part.TAKING_OVER,
    ("failover", "primary"): Part.TAKING_OVER,
    ("reconnect", "available"): Part.RECONNECT,
    ("shutdown", "offline"): Part.SHUTDOWN,
    ("qualify", "spare"): Part.UP,
    ("promote", "available"): Part.UP,
    ("demote", "spare"): Part.DOWN,
    ("disqualify", "offline"): Part.DOWN,
    ("remove", "offline"): Part.DOWN,
}


def test_every_function_has_its_part() -> None:
    assert {part(function, new) for function, new in PARTS} == set(Part) == set(TABLE)
    assert {function for function, _ in PARTS} == set(Function)
    assert {(f, n): part(f, n) for f, n in PARTS} == PARTS


@pytest.mark.parametrize("where", PARTS)
@pytest.mark.parametrize("abortable", [True, False])
def test_every_policy_means_something_in_every_function(where: tuple[str, str], abortable: bool) -> None:
    refuse, restart, escalate = TABLE[PARTS[where]]
    if refuse is Meaning.UNDONE and not abortable:
        refuse = Meaning.RESTARTED
    want = dict(zip(POLICIES, (refuse, refuse, restart, escalate), strict=True))
    assert {p: meaning(*where, p, abortable=abortable) for p in POLICIES} == want
    undone = {p: meaning(*where, p, abortable=abortable, undo=True) for p in POLICIES}
    assert undone == want | {"refuse": Meaning.GOES_ON, "retry": Meaning.GOES_ON}


# ---- each cell, carried out ----


def _initialize(rig: Rig) -> None:
    rig.open_hosts()
    rig.become("master", "formation", record(1))


def _give_up(rig: Rig) -> None:
    rig.master()
    rig.cmm(m.Adopted(2, record(1, N1, N2, ready=True, appointment=2)))
    rig.ask("switchover")


def _take_over(how: str) -> Callable[[Rig], None]:
    def begin(rig: Rig) -> None:
        rig.open_hosts()
        rig.cmm(m.Adopted(1, record(1, N2)))
        rig.cmm(m.Served(1))
        rig.become("vice", "appointment", record(1, N2, N1, ready=True, appointment=2))
        rig.become("master", how, record(2, N1, appointment=3), clean=False)

    return begin


def _reconnect(rig: Rig) -> None:
    rig.master()


def _shut_down(rig: Rig) -> None:
    rig.master()
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="the end", facts=rig.facts(vice="", vice_ready=False)))
    rig.cmm(m.Closed(Purpose.STOP, Outcome.DONE))


def _on_the_ladder(function: str, new: str, *, abortable: bool) -> Callable[[Rig], None]:
    def begin(rig: Rig) -> None:
        rig.open_hosts()
        rig.cmm(m.Adopted(1, record(1, N2)))
        rig.cmm(m.Served(1))
        steps = plan(function, {"stock": rig.callbacks["stock"]})
        frame = Frame("asked", "spare", new)
        rig.during(
            c.Tick(now_ns=rig.now_ns),
            lambda: rig.ssc.runs.begin(function, function, steps, frame, lambda _: None, abortable=abortable),
        )

    return begin


BEGIN = {
    ("initialize", "available"): _initialize,
    ("switchover", "secondary"): _give_up,
    ("switchover", "primary"): _take_over("switchover"),
    ("failover", "primary"): _take_over("failover"),
    ("reconnect", "available"): _reconnect,
    ("shutdown", "offline"): _shut_down,
    ("qualify", "spare"): _on_the_ladder("qualify", "spare", abortable=True),
    ("promote", "available"): _on_the_ladder("promote", "available", abortable=True),
    ("demote", "spare"): _on_the_ladder("demote", "spare", abortable=True),
    ("disqualify", "offline"): _on_the_ladder("disqualify", "offline", abortable=False),
    ("remove", "offline"): _on_the_ladder("remove", "offline", abortable=False),
}


def _killed(rig: Rig, service: str) -> bool:
    return c.KillHost(service) in rig.effects


def _check(rig: Rig, service: str, what: Meaning) -> None:
    """Look at what the coordinator does about it, and then does when the ended host has gone."""
    ended = what in (Meaning.RESTARTED, Meaning.RECOVERED, Meaning.HANDED_ON, Meaning.ENDED)
    assert _killed(rig, service) is ended
    abandoned = any(isinstance(e, c.Abandon) for e in rig.effects)
    assert abandoned is (what is Meaning.NODE_OUT)
    if abandoned:
        assert rig.events(RecoveryStep)[-1].applied == "node out"
    if not ended:
        return
    rig.exit(service)
    handed = bool(rig.fed(m.HandOver)) or bool(rig.fed(m.Renew))
    assert handed is (what in (Meaning.RECOVERED, Meaning.HANDED_ON))
    if what is Meaning.HANDED_ON:
        assert rig.fed(m.HandOver), "an escalated failure is not restarted in place"
        assert not rig.fed(m.Renew)
    if what is Meaning.RECOVERED:
        assert rig.fed(m.Renew), "restarted in place first, as this service is configured"


@pytest.mark.parametrize("where", PARTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_each_cell_is_carried_out(where: tuple[str, str], policy: str) -> None:
    function, new = where
    service = "door" if function == "reconnect" else "stock"
    callback = h.Callback(function, 3, "fails", on_failure=policy, retries=1, delay_s=0.01)
    descending = function == "shutdown" or where == ("switchover", "secondary")
    later = h.Callback(function, 1 if descending else 4, "later")
    in_place = c.ServiceEntry("stock", restart_in_place=True)
    rig = Rig(
        {service: [callback, later]},
        services=(c.ServiceEntry("naming"), in_place, c.ServiceEntry("door", local=True)),
    )
    rig.fail = {"fails": "I will not"}
    BEGIN[where](rig)
    rig.run(50)
    abortable = function in ("switchover", "qualify", "promote", "demote") and new != "primary"
    what = meaning(function, new, policy, abortable=abortable)
    tries = [run for run in rig.runs if run.name == "fails"]
    assert len(tries) == (2 if policy == "retry" else 1)
    failed = rig.events(CallbackFailed)
    assert [event.meaning for event in failed] == ([""] if policy == "retry" else []) + [what.value]
    went_on = any(run.name == "later" for run in rig.runs)
    assert went_on is (what in (Meaning.GOES_ON, Meaning.ENDED) or (ended_alone(what) and not abortable))
    _check(rig, service, what)
    if what is Meaning.UNDONE and function == "switchover":
        assert rig.answers()[-1].kind == "failed"
        assert "stock.fails at level 3" in rig.answers()[-1].reasons[0]
        assert rig.told("stock", h.Resume)
    if what is Meaning.CUT_SHORT:
        assert rig.told("stock", h.Stop)


def ended_alone(what: Meaning) -> bool:
    """Whether the function goes on (on other servers) though one of them is ended."""
    return what in (Meaning.RESTARTED, Meaning.NODE_OUT)
