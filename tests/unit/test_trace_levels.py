"""Levels in order on every party, and one answer for each question, judged on recorded steps."""

from __future__ import annotations

from typing import Any

import pytest

from primacy.machines import coordination as c
from primacy.machines import events, host_wire, peer_wire
from primacy.machines import membership as m
from primacy.machines.records import Mastership
from primacy.sim.trace_checks import Finding
from primacy.sim.trace_levels import Levels
from tests.unit.trace_tools import N1, N2, step

RECORD = Mastership(1, N1, None, 1, "a test", N1)
FAILOVER = events.FunctionBegan(term=1, node="n1", function="failover", cause="a test")


class Story:
    """What lives did, told in order; `found`: what is not true."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.levels = Levels(self.found.append)

    def given(self, item: Any, *effects: Any, at: Any = N1) -> None:
        """A step of a life's coordinator, or of its monitor."""
        self.levels.saw(step(at, item, *effects))

    def begins(self, *effects: Any, at: Any = N1) -> None:
        """A tick with these effects."""
        self.given(c.Tick(now_ns=1), *effects, at=at)

    def ended(self, run: int, at: Any = N1) -> None:
        """A callback has ended."""
        self.given(c.HostSaid(now_ns=1, service="stock", message=host_wire.Ran(run, "done")), at=at)

    def member(self, at: Any = N2) -> None:
        """A life knows the record, and that it is no master."""
        for effect in (m.Adopted(1, RECORD), m.Became("member", "", 1, RECORD, False)):
            self.given(c.Membership(now_ns=1, effect=effect), at=at)


def _run(run: int, function: str, level: int, service: str = "stock", term: int = 1) -> c.ToHost:
    context = host_wire.Context(function, level, term, "a test", "secondary", "primary", None, True, 5.0)
    return c.ToHost(service, host_wire.Run(run, "callback", context))


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_level_that_waits_for_the_one_before_is_right(story: Story) -> None:
    story.begins(c.Publish(FAILOVER), _run(1, "failover", 1), _run(2, "failover", 1, "naming"))
    story.ended(1)
    story.ended(2)
    story.begins(_run(3, "failover", 2))
    story.begins(c.ToHost("stock", host_wire.Cancel(3)))
    story.begins(_run(4, "failover", 3))
    story.given(c.HostExited(now_ns=1, service="stock", reason="x"), c.ToHost("naming", host_wire.Serve(1)))
    assert story.found == []


def test_a_level_that_begins_before_the_one_before_has_ended_is_found(story: Story) -> None:
    story.begins(c.Publish(FAILOVER), _run(1, "failover", 1), _run(2, "failover", 1, "naming"))
    story.ended(1)
    story.begins(_run(3, "failover", 2))
    [found] = story.found
    assert found.clause == "S5"
    assert (
        "level 2 of failover begins at stock, but level 1 of failover at naming has not ended" in found.text
    )


def test_a_primary_that_serves_before_the_last_level_is_complete_is_found(story: Story) -> None:
    story.begins(c.Publish(FAILOVER), _run(1, "failover", 1))
    story.begins(c.ToHost("stock", host_wire.Serve(1)))
    assert [f.clause for f in story.found] == ["S5"]


def test_a_node_keeps_step_with_its_master(story: Story) -> None:
    began = events.FunctionBegan(term=1, node="n2", function="initialize", cause="a test")
    story.member()
    said = peer_wire.Progress(1, "initialize", 1, False)
    heard = c.PeerSaid(now_ns=1, node=N1.node, incarnation=N1.incarnation, message=said)
    story.given(heard, c.Publish(began), _run(1, "initialize", 1), at=N2)
    story.ended(1, at=N2)
    assert story.found == []
    story.begins(_run(2, "initialize", 2), at=N2)
    [found] = story.found
    assert "its master has completed level 1 only" in found.text


def test_what_a_former_life_of_the_master_said_counts_for_nothing(story: Story) -> None:
    began = events.FunctionBegan(term=1, node="n2", function="initialize", cause="a test")
    story.member()
    said = peer_wire.Progress(1, "initialize", 0, True)
    heard = c.PeerSaid(now_ns=1, node=N1.node, incarnation="a former life", message=said)
    story.given(heard, c.Publish(began), _run(1, "initialize", 1), at=N2)
    assert [f.clause for f in story.found] == ["S5"]


def test_nobody_reattaches_before_the_term_serves(story: Story) -> None:
    story.member()
    story.begins(_run(1, "reconnect", 1, "door"), at=N2)
    assert [f.clause for f in story.found] == ["S5"]
    story.given(c.Membership(now_ns=1, effect=m.Served(1)), _run(2, "reconnect", 1, "desk"), at=N2)
    assert len(story.found) == 1


def test_what_was_heard_was_said(story: Story) -> None:
    said = peer_wire.Progress(1, "initialize", 1, False)
    story.begins(c.TellNode(None, said))
    heard = c.PeerSaid(now_ns=1, node=N1.node, incarnation=N1.incarnation, message=said)
    story.given(heard, at=N2)
    story.levels.finish(frozenset({N1, N2}))
    assert story.found == []
    never = peer_wire.Progress(1, "initialize", 2, False)
    story.given(c.PeerSaid(now_ns=1, node=N1.node, incarnation=N1.incarnation, message=never), at=N2)
    story.levels.finish(frozenset({N2}))
    assert story.found == [], "the record of n1 does not hold all that it said"
    story.levels.finish(frozenset({N1, N2}))
    assert [f.clause for f in story.found] == ["S5"]


def test_a_question_is_answered_once(story: Story) -> None:
    facts = c.facts_from(None, "member", (), (), lease_held=False, swap_open=False)
    asked = c.Asked(now_ns=1, id=7, verb="switchover", arguments={}, facts=facts)
    story.given(asked, c.Answer(7, "done", {}))
    force = m.Force(now_ns=1, id=7, recorded=None, assume_dead="", by="a test", reason="a test")
    story.given(force, m.ForceAnswered(7, "refused", ("no",)))
    assert story.found == []
    story.begins(c.Answer(7, "refused", {}))
    [found] = story.found
    assert "request 7 is answered, though nobody waits for it" in found.text
