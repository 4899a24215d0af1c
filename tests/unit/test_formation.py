"""Who may form the cluster, and who should: a table over what is recorded, known and configured."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.formation import Candidate, Form, Positions, View, Wait, decide, standing, stranded
from primacy.machines.ids import Member
from primacy.machines.records import Mastership, Vice

WINDOW_NS, GRACE_NS = 2_000, 300
OLD = {n: Member(n, f"old {n}") for n in ("n1", "n2", "n3")}
NEW = {n: Member(n, f"new {n}") for n in ("n1", "n2", "n3")}
AT: Positions = {"s": (4, 10)}
BEHIND: Positions = {"s": (3, 9)}


def _record(kind: str) -> Mastership | None:
    """n1 was master, n2 its vice where there was one."""
    vice = Vice("n2", OLD["n2"].incarnation, ready=kind == "ready vice") if "vice" in kind else None
    stopped = AT if kind == "stopped" else None
    return None if kind == "none" else Mastership(4, OLD["n1"], vice, 2, kind, OLD["n1"], stopped)


def _view(
    node: str = "n1",
    kind: str = "ready vice",
    *,
    heard: tuple[str, ...] = ("n1", "n2", "n3"),
    waited_ns: int = 0,
    age_ns: int = GRACE_NS,
    dead: bool = False,
    volatile: bool = False,
    availability: bool = False,
    eligible: tuple[str, ...] = ("n1", "n2", "n3"),
    positions: dict[str, Positions] | None = None,
    priority: dict[str, int] | None = None,
) -> View:
    return View(
        me=NEW[node],
        record=_record(kind),
        eligible=frozenset(eligible),
        heard=tuple(
            Candidate(NEW[n], (priority or {}).get(n, 0), (positions or {}).get(n, AT))
            for n in dict.fromkeys((node, *heard))
        ),
        since_start_ns=age_ns,
        waited_ns=waited_ns,
        window_ns=WINDOW_NS,
        grace_ns=GRACE_NS,
        dead=frozenset({OLD["n1"].incarnation} if dead else ()),
        volatile=volatile,
        availability=availability,
    )


MAY = {  # (record, node): may it claim, when its data is at the recorded position and it is older than the grace?
    ("none", "n1"): True, ("none", "n2"): True, ("none", "n3"): True,
    ("stopped", "n1"): True, ("stopped", "n2"): True, ("stopped", "n3"): True,
    ("alone", "n1"): True, ("alone", "n2"): False, ("alone", "n3"): False,
    ("vice", "n1"): True, ("vice", "n2"): False, ("vice", "n3"): False,
    ("ready vice", "n1"): True, ("ready vice", "n2"): True, ("ready vice", "n3"): False,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "node"), MAY)
@pytest.mark.parametrize("volatile", [False, True])
@pytest.mark.parametrize("dead", [False, True])
def test_who_may_claim(kind: str, node: str, volatile: bool, dead: bool) -> None:
    view = _view(node, kind, volatile=volatile, dead=dead)
    expected = MAY[kind, node] and not (volatile and kind not in ("none", "stopped"))
    assert isinstance(standing(view, view.heard[0]), Form) is expected


@pytest.mark.parametrize(("kind", "node"), MAY)
def test_availability_lets_anybody_form_once_the_master_is_proven_dead(kind: str, node: str) -> None:
    view = _view(node, kind, dead=True, availability=True, volatile=True)
    assert isinstance(standing(view, view.heard[0]), Form)


@pytest.mark.parametrize("node", ["n2", "n3"])
def test_availability_without_proof_of_death_is_integrity(node: str) -> None:
    view = _view(node, "alone", availability=True)
    assert isinstance(standing(view, view.heard[0]), Wait)


@pytest.mark.parametrize(
    ("age_ns", "dead", "may"),
    [(0, False, False), (GRACE_NS - 1, False, False), (GRACE_NS, False, True), (0, True, True)],
)
def test_a_restarted_vice_waits_its_grace_unless_the_master_is_proven_dead(
    age_ns: int, dead: bool, may: bool
) -> None:
    view = _view("n2", "ready vice", age_ns=age_ns, dead=dead)
    assert isinstance(standing(view, view.heard[0]), Form) is may


def test_an_obituary_of_another_life_of_the_master_proves_nothing() -> None:
    view = _view("n2", "ready vice", age_ns=0)
    other = View(**{f: getattr(view, f) for f in view.__struct_fields__} | {"dead": frozenset({"new n1"})})
    assert isinstance(standing(other, other.heard[0]), Wait)


@pytest.mark.parametrize("positions", [BEHIND, {}, {"s": (4, 11)}, {"other": (4, 10)}])
def test_after_an_orderly_stop_only_complete_data_may(positions: Positions) -> None:
    view = _view("n2", "stopped", positions={"n2": positions})
    decision = standing(view, view.heard[0])
    assert isinstance(decision, Wait)
    assert "behind the orderly stop in s" in decision.reason


@pytest.mark.parametrize(("waited_ns", "forms"), [(0, False), (WINDOW_NS - 1, False), (WINDOW_NS, True)])
def test_a_missing_eligible_node_is_waited_for_until_the_window_ends(waited_ns: int, forms: bool) -> None:
    decision = decide(_view("n1", heard=("n2",), waited_ns=waited_ns))
    assert isinstance(decision, Form) is forms
    if isinstance(decision, Wait):
        assert "n3" in decision.reason


def test_an_ineligible_node_never_forms() -> None:
    assert isinstance(decide(_view("n3", "none", eligible=("n1", "n2"))), Wait)


@pytest.mark.parametrize(
    ("positions", "priority", "best"),
    [
        ({}, {}, "n1"),
        ({}, {"n3": 5, "n2": 1}, "n3"),
        ({"n1": BEHIND}, {"n1": 9}, "n2"),
        ({"n1": BEHIND, "n2": BEHIND}, {}, "n3"),
    ],
)
def test_one_node_forms_at_once_and_the_others_name_it(
    positions: dict[str, Positions], priority: dict[str, int], best: str
) -> None:
    decided = {n: decide(_view(n, "none", positions=positions, priority=priority)) for n in NEW}
    assert [n for n, decision in decided.items() if isinstance(decision, Form)] == [best]
    assert all(best in d.reason for d in decided.values() if isinstance(d, Wait))


@pytest.mark.parametrize(("waited_ns", "forms"), [(2 * WINDOW_NS - 1, False), (2 * WINDOW_NS, True)])
def test_a_better_candidate_that_does_not_claim_is_not_waited_for_for_ever(
    waited_ns: int, forms: bool
) -> None:
    assert isinstance(decide(_view("n2", "none", waited_ns=waited_ns)), Form) is forms


def test_a_living_ready_vice_claims_by_itself() -> None:
    view = _view("n1", "ready vice")
    living = tuple(Candidate(OLD["n2"], 0, AT) if c.member.node == "n2" else c for c in view.heard)
    waiting = View(**{f: getattr(view, f) for f in view.__struct_fields__} | {"heard": living})
    decision = decide(waiting)
    assert isinstance(decision, Wait)
    assert decision.reason.startswith("n2")


@given(
    node=st.sampled_from(["n1", "n2", "n3"]),
    kind=st.sampled_from(["none", "stopped", "alone", "vice", "ready vice"]),
    heard=st.sets(st.sampled_from(["n1", "n2", "n3"])),
    waited_ns=st.integers(0, 3 * WINDOW_NS),
    age_ns=st.integers(0, 2 * GRACE_NS),
    dead=st.booleans(),
    volatile=st.booleans(),
    availability=st.booleans(),
)
def test_nobody_forms_without_the_right_to_and_every_wait_says_why(
    node: str, kind: str, heard: set[str], **rest: object
) -> None:
    view = _view(node, kind, heard=tuple(heard), **rest)
    decision = decide(view)
    if isinstance(decision, Form):
        assert isinstance(standing(view, view.heard[0]), Form)
    else:
        assert decision.reason


def test_with_all_heard_and_time_enough_somebody_forms_wherever_data_is_complete() -> None:
    for kind, volatile in itertools.product(
        ["none", "stopped", "alone", "vice", "ready vice"], [False, True]
    ):
        views = [_view(n, kind, waited_ns=2 * WINDOW_NS, volatile=volatile) for n in NEW]
        formed = [isinstance(decide(view), Form) for view in views]
        assert any(formed) is (not volatile or kind in ("none", "stopped")), kind


@pytest.mark.parametrize("kind", ["none", "stopped", "ready vice"])
def test_nobody_is_stranded_while_somebody_may_claim(kind: str) -> None:
    assert stranded(_record(kind)) == ""


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("dropped: no echo", "and no vice (dropped: no echo): n1 may have acknowledged"),
        ("", "and no vice: n1 may have acknowledged"),
        ("a vice", "and n2 as vice that was not in step: n1 may have acknowledged"),
    ],
)
def test_a_record_that_names_only_the_dead_says_whom_it_waits_for(kind: str, why: str) -> None:
    told = stranded(_record(kind))
    assert told.startswith("the record names n1 as master of term 4 ")
    assert why in told
