"""The rules about roles, as tables: every clause decides on its own."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from primacy.machines.rulings import (
    Appoint,
    AppointView,
    Claim,
    ClaimView,
    Drop,
    DropView,
    EndLife,
    GoOn,
    HandOver,
    Hold,
    Keep,
    MakeReady,
    Nobody,
    NotYet,
    ReadyView,
    RescueView,
    TryAgain,
    ViceCandidate,
    against,
    appoint,
    claim,
    drop,
    ready,
    rescue,
)

CLAIM = ClaimView("n1", True, False, 300, 250, 300, on_time=True, record_read=True)
DROP = DropView("n2", False, True, True, "", False, "", -1, on_time=True, linked=True)
CANDIDATE = ViceCandidate("n2", "b", 0, True, True, "", True, False, False, 10)
RESCUE = RescueView("the host of shop died", "", False, True, True)


@pytest.mark.parametrize(
    ("changed", "claims", "reads"),
    [
        ({}, True, False),
        ({"silence_ns": 299}, False, False),
        ({"silence_ns": 249}, False, False),
        ({"record_read": False}, False, True),
        ({"on_time": False}, False, False),
        ({"ready": False}, False, True),
        ({"master_dead": True, "silence_ns": 0, "record_read": False, "on_time": False}, True, False),
        ({"master_dead": True, "ready": False}, False, True),
    ],
)
def test_a_vice_claims_when_all_of_it_holds(changed: dict[str, object], claims: bool, reads: bool) -> None:
    verdict = claim(replace(CLAIM, **changed))
    assert isinstance(verdict, Claim) is claims
    if isinstance(verdict, Hold):
        assert verdict.reason
        assert verdict.read is reads
    else:
        assert "n1" in verdict.cause


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("silence_ns", [0, 250, 300, 1 << 40])
@pytest.mark.parametrize("read", [False, True])
def test_nothing_replaces_ready(dead: bool, silence_ns: int, read: bool) -> None:
    view = replace(CLAIM, ready=False, master_dead=dead, silence_ns=silence_ns, record_read=read)
    assert isinstance(claim(view), Hold)


AMISS = {
    "dead": True,
    "eligible": False,
    "available": False,
    "kept_back": "n2 is being demoted",
    "leaving": True,
    "unfit": "the mirror of shop stalled",
    "overdue_ns": 0,
}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("what", [*AMISS, ""])
def test_a_vice_is_dropped_for_each_reason_unless_this_node_is_cut_off(what: str, linked: bool) -> None:
    view = replace(DROP, linked=linked, **({what: AMISS[what]} if what else {}))
    verdict = drop(view)
    assert isinstance(verdict, Drop) is (bool(what) and linked)
    if isinstance(verdict, Drop):
        assert "n2" in verdict.cause
    else:
        assert verdict.fit is not bool(what)
    assert verdict.lapsed is (what == "overdue_ns")


def test_a_late_agent_judges_nobody_by_the_clock_but_believes_an_obituary() -> None:
    late = replace(DROP, overdue_ns=1 << 40, on_time=False)
    assert isinstance(drop(late), Keep)
    assert isinstance(drop(replace(late, dead=True)), Drop)


@pytest.mark.parametrize(("joined", "lease"), [*itertools.product([False, True], repeat=2)])
def test_ready_wants_joined_and_the_lease(joined: bool, lease: bool) -> None:
    verdict = ready(ReadyView("n2", joined, lease))
    assert isinstance(verdict, MakeReady if joined and lease else NotYet)


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({}, 0),
        ({"eligible": False}, 1),
        ({"available": False}, 1),
        ({"kept_back": "n2 is being demoted"}, 1),
        ({"able": False}, 1),
        ({"leaving": True}, 1),
        ({"dead": True}, 1),
        ({"unheard_ns": 100}, 1),
        ({"resting_ns": 1}, 1),
        ({"available": False, "leaving": True, "resting_ns": 1, "unheard_ns": 1 << 60}, 4),
    ],
)
def test_everything_that_speaks_against_a_candidate_is_told(changed: dict[str, object], reasons: int) -> None:
    candidate = replace(CANDIDATE, **changed)
    assert len(against(candidate, 100)) == reasons
    verdict = appoint(AppointView(100, (candidate,)))
    assert isinstance(verdict, Nobody if reasons else Appoint)


def test_the_highest_priority_then_the_first_id_is_appointed() -> None:
    others = tuple(replace(CANDIDATE, node=n, priority=p) for n, p in (("n5", 1), ("n4", 3), ("n3", 3)))
    verdict = appoint(AppointView(100, (CANDIDATE, *others)))
    assert isinstance(verdict, Appoint)
    assert (verdict.node, verdict.incarnation) == ("n3", "b")
    assert isinstance(appoint(AppointView(100, ())), Nobody)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, HandOver),
        ({"in_place": True}, GoOn),
        ({"in_place": True, "on_disk": False}, HandOver),
        ({"tried": "handover"}, GoOn),
        ({"tried": "handover", "on_disk": False}, TryAgain),
        ({"tried": "handover", "on_disk": False, "ready_vice": False}, EndLife),
        ({"tried": "renew"}, TryAgain),
        ({"tried": "renew", "on_disk": False, "ready_vice": False}, TryAgain),
    ],
)
def test_a_lost_primary_is_saved_where_the_data_is(changed: dict[str, object], kind: type) -> None:
    verdict = rescue(replace(RESCUE, **changed))
    assert type(verdict) is kind
    if not isinstance(verdict, TryAgain):
        assert RESCUE.lost in verdict.cause
