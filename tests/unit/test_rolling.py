"""How a changed table goes through the cluster: one node at a time, the master last, and never without a net."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primacy.machines.ids import SECOND
from primacy.machines.membership import NodeEntry
from primacy.machines.rolling import (
    AGAIN_NS,
    BACK_NS_MAX,
    LATE_NS,
    YIELD_NS,
    Renew,
    Report,
    Rest,
    Rolling,
    Settle,
    View,
    Wait,
    Yield,
)

WHY = ("service stock added",)
NODES = (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"), NodeEntry("n4", eligible=False))


def _view(behind: str = "", life: str = "1", **changed: Any) -> View:
    members = ("n1", "n2", "n3", "n4")
    reports = {n: Report(life, 7, WHY if n in behind.split() else ()) for n in members}
    view = View(
        now_ns=0,
        me="n1",
        serving=True,
        busy="",
        nodes=NODES,
        members=members,
        vice="n2",
        vice_ready=True,
        able=("n1", "n2", "n3"),
        revision=7,
        mixing=False,
        reports=reports,
    )
    return msgspec.structs.replace(view, **changed)


def test_nothing_is_done_when_everybody_has_it() -> None:
    assert Rolling().decide(_view()) == Rest()


ALL_BEHIND = "n1 n2 n3 n4"
WAITS = [
    ({"serving": False}, "not in service"),
    ({"busy": "promote n3 is in progress"}, "promote n3"),
    ({"vice_ready": False}, "no vice is ready"),
    ({"members": ("n1", "n2", "n4")}, "n3 is eligible and does not run"),
    ({"revision": 8}, "n1, n2, n3, n4: the new table is not known there yet"),
    ({"reports": {}}, "not known there yet"),
]


@pytest.mark.parametrize(("changed", "words"), WAITS, ids=[row[1] for row in WAITS])
def test_it_waits_and_says_for_what(changed: dict[str, Any], words: str) -> None:
    decision = Rolling().decide(_view(ALL_BEHIND, **changed))
    assert isinstance(decision, Wait)
    assert words in decision.reason


@pytest.mark.parametrize(
    ("behind", "node"), [(ALL_BEHIND, "n4"), ("n1 n2 n3", "n3"), ("n1 n2", "n2"), ("n3", "n3")]
)
def test_the_nodes_that_matter_least_restart_first(behind: str, node: str) -> None:
    assert Rolling().decide(_view(behind)) == Renew(node, "the table has changed: service stock added")


def test_a_spare_goes_before_one_that_is_available() -> None:
    nodes = (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"), NodeEntry("n4", available=False))
    decision = Rolling().decide(_view("n1 n2 n3 n4", nodes=nodes))
    assert isinstance(decision, Renew)
    assert decision.node == "n4"


def test_the_master_is_last_and_switches_over() -> None:
    assert Rolling().decide(_view("n1")) == Yield("n2", "the table has changed: service stock added")


def test_a_master_without_anybody_to_follow_it_says_so() -> None:
    alone = _view("n1", nodes=NODES[:1], members=("n1",), vice="", vice_ready=False)
    decision = Rolling().decide(alone)
    assert isinstance(decision, Wait)
    assert "outage" in decision.reason


def test_the_next_node_waits_until_the_last_is_back_with_the_new_table() -> None:
    rolling = Rolling()
    assert isinstance(rolling.decide(_view("n1 n2 n3")), Renew)
    for view in (
        _view("n1 n2 n3", now_ns=SECOND),  # it has not gone yet
        _view("n1 n2", now_ns=SECOND, members=("n1", "n2", "n4")),
    ):
        decision = rolling.decide(view)
        assert isinstance(decision, Wait)
        assert "n3 restarts" in decision.reason
    back = _view("n1 n2", now_ns=2 * SECOND)
    back.reports["n3"] = Report("2", 7)
    assert rolling.decide(back) == Renew("n2", "the table has changed: service stock added")


def test_it_is_not_over_before_the_last_node_is_initialized() -> None:
    rolling = Rolling()
    assert rolling.decide(_view("n3")) == Renew("n3", "the table has changed: service stock added")
    back = _view(now_ns=SECOND, able=("n2",))
    back.reports["n3"] = Report("2", 7)
    assert rolling.decide(back) == Wait("n3 initializes its servers")
    rolling = Rolling()
    rolling.decide(_view("n3"))
    assert rolling.decide(msgspec.structs.replace(back, able=("n2", "n3"))) == Rest()


def test_a_node_that_cannot_be_initialized_restarts_with_the_corrected_table() -> None:
    order = Renew("n3", "the table has changed: service stock added")
    failing = _view("n1 n2 n3 n4", able=("n2",))
    assert Rolling().decide(failing) == order, "it first: it takes nothing away"
    assert Rolling().decide(_view("n1 n2 n4", able=("n2",))) == Wait("n3 initializes its servers")
    rolling = Rolling()
    alone = msgspec.structs.replace(failing, vice="", vice_ready=False, able=("n2",))
    assert isinstance(rolling.decide(alone), Wait), "perhaps a new master has only not heard of it yet"
    assert rolling.decide(msgspec.structs.replace(alone, now_ns=LATE_NS)) == order
    assert isinstance(Rolling().decide(msgspec.structs.replace(failing, busy="promote n4")), Wait)


def test_a_vice_that_lacks_what_its_master_has_restarts_although_none_is_ready() -> None:
    rolling = Rolling()
    waits = _view("n2", vice_ready=False)
    assert rolling.decide(waits) == Wait("no vice is ready: it is catching up")
    assert isinstance(rolling.decide(msgspec.structs.replace(waits, now_ns=LATE_NS - 1)), Wait)
    late = msgspec.structs.replace(waits, now_ns=LATE_NS)
    decision = rolling.decide(late)
    assert isinstance(decision, Renew)
    assert decision.node == "n2"
    busy = msgspec.structs.replace(late, busy="promote n3 is in progress")
    other = Rolling()
    other.decide(waits)
    assert other.decide(busy) == Wait("promote n3 is in progress"), "not while a function goes on"


def test_a_vice_that_is_up_to_date_may_take_its_time() -> None:
    rolling, waits = Rolling(), _view("n3", vice_ready=False)
    rolling.decide(waits)
    assert isinstance(rolling.decide(msgspec.structs.replace(waits, now_ns=20 * LATE_NS)), Wait)


def test_a_master_that_gets_mastership_back_does_not_swing() -> None:
    rolling = Rolling()
    assert isinstance(rolling.decide(_view("n1")), Yield)
    assert isinstance(rolling.decide(_view("n1", now_ns=SECOND)), Yield), "the switchover was refused: again"
    rolling.resigned()
    waits = rolling.decide(_view("n1", now_ns=2 * SECOND))
    assert isinstance(waits, Wait)
    assert "got it back" in waits.reason
    assert isinstance(rolling.decide(_view("n1", now_ns=SECOND + YIELD_NS)), Yield)
    rolling = Rolling()
    rolling.resigned()
    assert isinstance(rolling.decide(_view("n1")), Yield), "it has given nothing away"


def test_nobody_waits_for_a_node_that_is_gone_and_shall_be() -> None:
    gone = _view("n2 n4", members=("n1", "n2", "n4"), able=("n2",))
    assert isinstance(Rolling().decide(gone), Wait)
    leaving = msgspec.structs.replace(gone, leaving=("n3",))
    assert Rolling().decide(leaving) == Renew("n4", "the table has changed: service stock added")
    alone = _view(members=("n1",), vice="", vice_ready=False, leaving=("n2", "n3"))
    assert Rolling.against(alone) == "", "nobody else could be vice"


def test_a_node_that_does_not_come_back_stops_the_going_on() -> None:
    rolling = Rolling()
    rolling.decide(_view("n1 n2 n4"))
    gone = _view("n1 n2", now_ns=BACK_NS_MAX, members=("n1", "n2", "n3"))
    decision = rolling.decide(gone)
    assert isinstance(decision, Wait)
    assert "n4 did not come back" in decision.reason
    removed = msgspec.structs.replace(gone, nodes=NODES[:3])
    assert isinstance(rolling.decide(removed), Renew), "it was taken out of the table"


def test_the_times_are_settled_when_every_member_has_those_between() -> None:
    assert Rolling().decide(_view(mixing=True)) == Settle(7)
    late = _view(mixing=True)
    late.reports["n3"] = Report("1", 6)
    assert isinstance(Rolling().decide(late), Wait)


def test_a_new_master_goes_on_where_the_old_one_was() -> None:
    """Node by node with a simulated cluster whose master changes its mind's owner after every step."""
    behind, lives = {"n1", "n2", "n3", "n4"}, dict.fromkeys(("n1", "n2", "n3", "n4"), 1)
    master, vice, order = "n1", "n2", []
    while behind:
        reports = {n: Report(str(lives[n]), 7, WHY if n in behind else ()) for n in lives}
        view = _view(me=master, vice=vice)
        decision = Rolling().decide(msgspec.structs.replace(view, reports=reports))
        match decision:
            case Renew(node=node):
                behind.discard(node)
                lives[node] += 1
                order.append(node)
            case Yield(to=to):
                master, vice = to, master
                order.append(f"switchover to {to}")
            case _:
                raise AssertionError(decision)
    assert order == ["n4", "n3", "n2", "switchover to n2", "n1"]


def test_a_node_that_stays_is_told_again() -> None:
    rolling = Rolling()
    order = rolling.decide(_view("n1 n2 n3"))
    assert isinstance(rolling.decide(_view("n1 n2 n3", now_ns=AGAIN_NS - 1)), Wait)
    assert rolling.decide(_view("n1 n2 n3", now_ns=AGAIN_NS)) == order
    assert isinstance(rolling.decide(_view("n1 n2 n3", now_ns=AGAIN_NS + 1)), Wait)
