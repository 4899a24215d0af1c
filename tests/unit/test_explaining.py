"""A change of roles told from events: who, why, by which rule, and how long each phase took."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines import events as e
from primacy.machines import explaining, rulings
from primacy.machines.coordination import Facts
from primacy.machines.deciding import again, decided
from primacy.machines.ids import MS
from primacy.machines.preconditions import Request, Situation, judge
from primacy.machines.timeline import Event

START_NS = 1_700_000_000 * 1_000_000_000
CLAIM = rulings.ClaimView("n1", True, True, 45 * MS, 250 * MS, 300 * MS, on_time=True, record_read=False)


class Story:
    """Events of several nodes in the order in which they are written here; `at_ms` is the wall clock."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self._numbers: dict[str, int] = {}

    def add(self, node: str, at_ms: float, event: e.Event) -> Event:
        """Let a node publish an event."""
        number = self._numbers[node] = self._numbers.get(node, 0) + 1
        wall_ns = START_NS + int(at_ms * MS)
        stamped = e.Stamped(node=node, incarnation=node * 16, number=number, wall_ns=wall_ns, event=event)
        self.told.append(json.loads(msgspec.json.encode(stamped.plain())))
        return self.told[-1]


def _formed(story: Story) -> None:
    story.add("n1", 0, e.NodeStarted(node="n1", incarnation="n1" * 16))
    story.add("n1", 90, e.ClaimBegan(term=1, node="n1", cause="first", silence_ns=0))
    story.add("n1", 92, e.MasterElected(term=1, node="n1", how="formation", cause="first"))
    story.add("n1", 93, e.InService(term=1, node="n1", function="initialize"))


def _failover(view: rulings.ClaimView = CLAIM) -> Story:
    story = Story()
    _formed(story)
    verdict = rulings.claim(view)
    assert isinstance(verdict, rulings.Claim)
    if view.master_dead:
        story.add("n2", 1_000, e.ObituaryHeard(term=1, node="n1", incarnation="n1" * 16))
    claim = e.ClaimBegan(term=2, node="n2", cause=verdict.cause, silence_ns=view.silence_ns)
    story.add("n2", 1_001, claim)
    story.add("n2", 1_001.5, decided("claim", 1, "n2", view, verdict))
    story.add("n2", 1_004, e.MasterElected(term=2, node="n2", how="failover", cause=verdict.cause))
    story.add("n2", 1_010, e.FunctionEnded(term=2, node="n2", function="failover", outcome="completed"))
    story.add("n2", 1_011, e.InService(term=2, node="n2", function="failover"))
    for node, took_ms in (("n2", 3.0), ("n3", 7.5)):
        ended = e.FunctionEnded(
            term=2, node=node, function="reconnect", outcome="completed", duration_ms=took_ms
        )
        story.add(node, 1_020, ended)
    story.add("n2", 1_015, e.ViceAppointed(term=2, node="n3", appointment=2))
    story.add("n2", 1_050, e.ViceInStep(term=2, node="n3", appointment=2))
    return story


def _phases(found: explaining.Explanation | None) -> dict[str, float]:
    assert found is not None
    assert all(p.phase in explaining.PHASES and p.what for p in found.phases)
    return {p.phase: p.ms for p in found.phases}


def test_a_failover_by_obituary() -> None:
    found = explaining.explain(_failover().told, 2)
    assert found is not None
    assert (found.how, found.former, found.to, found.in_service) == ("failover", "n1", "n2", True)
    assert _phases(found) == {
        "detect": pytest.approx(44.0), "decide": 1.0, "claim": 3.0, "levels": 6.0, "serving": 1.0, "reconnect": 7.5,
    }  # fmt: skip
    text = "\n".join(found.sentences)
    assert "the guardian of n1 had said that all its processes are dead" in text
    assert "55.0 ms after the last beat of n1 the cluster was in service again" in text
    assert "n3 was the ready vice 39.0 ms after service began" in text


def test_a_failover_by_the_clock() -> None:
    view = msgspec.structs.replace(CLAIM, master_dead=False, silence_ns=310 * MS, record_read=True)
    found = explaining.explain(_failover(view).told, 2)
    assert _phases(found)["detect"] == pytest.approx(310.0)
    assert "the grace is 300.0 ms" in "\n".join(found.sentences if found else [])


def test_an_obituary_that_came_after_the_claim_was_not_what_noticed_it() -> None:
    view = msgspec.structs.replace(CLAIM, master_dead=False, silence_ns=310 * MS, record_read=True)
    story = _failover(view)
    story.add("n2", 1_003, e.ObituaryHeard(term=1, node="n1", incarnation="n1" * 16))
    assert _phases(explaining.explain(story.told, 2))["detect"] == pytest.approx(310.0)


def test_a_formation() -> None:
    found = explaining.explain(_failover().told, 1)
    assert found is not None
    assert (found.how, found.former, found.to) == ("formation", "", "n1")
    assert _phases(found) == {"decide": 90.0, "claim": 2.0, "serving": 1.0}


def test_a_switchover_is_told_from_both_sides() -> None:
    story = _failover()
    facts = Facts("master", 2, "n2", "n3", True, True, False, ("n2", "n3"), ())
    request = Request("switchover", None, facts, Situation(serving=True, busy="", auto_promote=True))
    kept = story.add("n2", 1_990, decided("request", 2, "n2", request, judge(request)))
    story.add("n2", 2_000, e.FunctionBegan(term=2, node="n2", function="switchover", cause="asked"))
    story.add("n2", 2_004, e.FunctionEnded(term=2, node="n2", function="switchover", outcome="completed"))
    story.add("n2", 2_009, e.MasterDeposed(term=3, node="n2", by="n3", cause="asked"))
    story.add("n3", 9_000, e.MasterElected(term=3, node="n3", how="switchover", cause="asked"))
    story.add("n3", 9_002, e.FunctionEnded(term=3, node="n3", function="switchover", outcome="completed"))
    story.add("n3", 9_003, e.InService(term=3, node="n3", function="switchover"))
    found = explaining.explain(story.told, 3)
    assert _phases(found) == {"give up": 4.0, "claim": 5.0, "levels": 2.0, "serving": 1.0}
    assert found is not None
    assert "n2 handed over in order" in "\n".join(found.sentences)
    assert "n2 decided to permit: switchover" in "\n".join(found.sentences)
    assert kept in found.events
    assert _phases(explaining.explain(story.told, 2))["levels"] == 6.0


def test_a_lost_primary_names_the_rule_of_the_rescue() -> None:
    story = Story()
    _formed(story)
    view = rulings.RescueView("the host of shop on n1 died", "", False, True, True)
    died = e.ServerDied(term=1, node="n1", service="shop", reason="died", action="switchover")
    story.add("n1", 500, died)
    story.add("n1", 501, decided("rescue", 1, "n1", view, rulings.rescue(view)))
    story.add("n1", 505, e.MasterDeposed(term=2, node="n1", by="n2", cause=view.lost))
    story.add("n2", 506, e.MasterElected(term=2, node="n2", how="switchover", cause=view.lost))
    story.add("n2", 508, e.InService(term=2, node="n2", function="switchover"))
    found = explaining.explain(story.told, 2)
    assert _phases(found) == {"decide": 1.0, "claim": 4.0, "serving": 2.0}
    assert "rule `rescue`" in "\n".join(found.sentences if found else [])


def test_the_events_of_an_explanation_can_be_decided_again() -> None:
    found = explaining.explain(_failover().told, 2)
    assert found is not None
    plain = json.loads(msgspec.json.encode(found))
    assert plain["from"] == "n1"
    kept = [x["event"] for x in plain["events"] if x["event"]["event"] == "Decided"]
    assert [k["rule"] for k in kept] == ["claim"]
    assert again(msgspec.convert(kept[0], e.Decided)).same


def test_the_last_change_and_all_changes() -> None:
    told = _failover().told
    assert explaining.last_term(told) == 2
    assert explaining.terms(told) == [1, 2]
    assert explaining.last_term([]) == 0
    assert explaining.explain(told, 3) is None


def test_an_events_decision_is_found() -> None:
    story = _failover()
    view = rulings.DropView("n3", True, True, True, "", False, "", -1, on_time=True, linked=True)
    kept = story.add("n2", 3_000, decided("drop", 2, "n2", view, rulings.drop(view)))
    dropped = story.add("n2", 3_003, e.ViceDropped(term=2, node="n3", cause="x"))
    assert explaining.explain_event(story.told, "n2", dropped["number"]) == (dropped, kept)
    assert explaining.explain_event(story.told, "n2", kept["number"]) == (kept, kept)
    started = explaining.explain_event(story.told, "n1", 1)
    assert started is not None
    assert started[1] is None
    assert explaining.explain_event(story.told, "n9", 1) is None
    assert "the guardian of n3" in "\n".join(explaining.decision_lines(kept))


def test_a_master_that_does_not_serve_yet_is_told() -> None:
    told = [x for x in _failover().told if not (x["event"]["event"] == "InService" and x["node"] == "n2")]
    found = explaining.explain(told, 2)
    assert found is not None
    assert not found.in_service
    assert "No event tells that n2 serves" in found.sentences[-1]


@given(keep=st.lists(st.booleans(), min_size=20, max_size=20), terms=st.integers(0, 3))
def test_with_any_events_lost_something_is_told_and_nothing_raises(keep: list[bool], terms: int) -> None:
    told = [x for x, kept in zip(_failover().told, keep, strict=False) if kept]
    found = explaining.explain(told, terms)
    if found is not None:
        assert found.sentences
        assert all(p.ms >= 0 for p in found.phases)
    for event in told:
        assert explaining.explain_event(told, event["node"], event["number"]) is not None


@pytest.mark.parametrize("odd", [{}, {"event": 3}, {"event": {"event": "MasterElected"}}, {"event": {}}])
def test_what_is_no_event_is_no_change(odd: dict[str, Any]) -> None:
    assert explaining.last_term([odd]) == 0
    assert explaining.terms([odd]) == []
