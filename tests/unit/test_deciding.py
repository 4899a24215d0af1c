"""Decisions that are kept: acted on once, told with their inputs, and the same again from what was kept."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines import membership as m
from primacy.machines import rulings
from primacy.machines.deciding import RULES, Decisions, again, decided, in_words
from primacy.machines.events import Event, Stamped
from primacy.machines.events_decision import Decided
from primacy.machines.ids import MS
from primacy.machines.messages import Obituary
from primacy.machines.swap import Outcome, Purpose
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster
from tests.unit.samples import sample
from tests.unit.ssc_tools import Rig

CLAIM = rulings.ClaimView("n1", True, True, 45 * MS, 250 * MS, 300 * MS, on_time=True, record_read=False)
KEPT = decided("claim", 2, "n2", CLAIM, rulings.claim(CLAIM))


def _kept(cluster: Cluster, node: str) -> list[Decided]:
    return [e.event for e in cluster.took(node, m.Publish) if isinstance(e.event, Decided)]


def _formed() -> Cluster:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    return cluster


def test_the_life_of_a_cluster_is_told_by_its_decisions() -> None:
    cluster = _formed()
    assert [d.rule for d in _kept(cluster, "n1")] == ["form", "appoint", "ready"]
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    [claimed] = _kept(cluster, "n2")
    assert claimed.rule == "claim"
    assert (claimed.term, cluster.record.term) == (1, 2)
    assert claimed.inputs["master_dead"] is True
    assert claimed.inputs["ready"] is True
    assert claimed.result == {"type": "Claim", "cause": cluster.record.cause}
    assert claimed.decision == "to claim mastership: the processes of n1 are dead"


def test_a_drop_by_the_clock_keeps_how_long_the_lease_was_over() -> None:
    cluster = _formed()
    cluster.cut = {("n2", "n1")}
    cluster.run(TIMING.lease_ms + 20, "n1")
    [dropped] = [d for d in _kept(cluster, "n1") if d.rule == "drop"]
    assert 0 <= dropped.inputs["overdue_ns"] <= 10 * MS
    assert dropped.result == {"type": "Drop", "cause": "n2 did not answer for a lease", "lapsed": True}


def test_nothing_is_kept_at_a_beat() -> None:
    cluster = _formed()
    for node in cluster.monitors:
        cluster.effects[node].clear()
    cluster.run(3_000)
    assert not [d for node in cluster.monitors for d in _kept(cluster, node)]


def test_the_same_decision_tried_again_is_kept_once() -> None:
    cluster = _formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE
    cluster.cut = {("n1", "n2")}
    cluster.run(TIMING.grace_ms + 1_000, "n2")
    assert len(cluster.took("n2", m.SwapRecord)) > 5
    assert len(_kept(cluster, "n2")) == 1


def test_a_decision_after_another_record_is_kept_anew() -> None:
    told: list[Event] = []
    decisions = Decisions("n2", told.append)
    for mark in (7, 7, 8):
        decisions.note("claim", 2, mark, CLAIM, rulings.claim(CLAIM))
    assert len(told) == 2


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
def test_every_kept_decision_is_the_same_again_from_its_json(node: str) -> None:
    cluster = _formed()
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.run(600)
    cluster.join_mirrors("n1")
    cluster.cut = {(a, b) for a in ("n1", "n2", "n3") for b in ("n1", "n2", "n3")}
    cluster.run(5_000)
    kept = _kept(cluster, node)
    assert kept
    for each in kept:
        stamped = Stamped(node=node, incarnation="0" * 32, number=1, wall_ns=2, event=each)
        read = msgspec.json.decode(msgspec.json.encode(stamped), type=Stamped).event
        assert isinstance(read, Decided)
        replayed = again(read)
        assert replayed.same, replayed.sentence()
        assert "the same again" in replayed.sentence()


def test_inputs_that_were_altered_decide_otherwise_and_it_is_told() -> None:
    altered = msgspec.structs.replace(KEPT, inputs=KEPT.inputs | {"ready": False})
    replayed = again(altered)
    assert not replayed.same
    assert "differs: now it decides not to claim mastership" in replayed.sentence()
    assert "the processes of n1 are dead" in replayed.sentence()


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"rule": "guess"}, "no rule `guess`"),
        ({"inputs": KEPT.inputs | {"mood": 3}}, "another version (they differ in mood)"),
        ({"inputs": {k: v for k, v in KEPT.inputs.items() if k != "ready"}}, "another version"),
        ({"inputs": KEPT.inputs | {"ready": "perhaps"}}, "cannot be read"),
        ({"inputs": {}}, "another version"),
    ],
)
def test_what_this_version_cannot_decide_is_told(changed: dict[str, Any], problem: str) -> None:
    replayed = again(msgspec.structs.replace(KEPT, **changed))
    assert not replayed.same
    assert replayed.now is None
    assert problem in replayed.sentence()


@given(
    rule=st.sampled_from([*RULES, "x"]),
    inputs=st.dictionaries(
        st.sampled_from(sorted({f for r in RULES.values() for f in r.view.__struct_fields__})),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3), st.lists, max_leaves=5
        ),
    ),
)
def test_no_inputs_raise(rule: str, inputs: dict[str, Any]) -> None:
    kept = Decided(term=1, node="n1", rule=rule, decision="?", inputs=inputs, result={"type": "Claim"})
    assert again(kept).sentence()


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_words_for_each_of_its_verdicts(name: str) -> None:
    rule = RULES[name]
    verdict = rule.decide(sample(rule.view))
    kept = decided(name, 1, "n1", sample(rule.view), verdict)
    assert json.loads(json.dumps(kept.inputs)) == json.loads(msgspec.json.encode(kept.inputs))
    assert kept.sentence().startswith("n1 decided ")
    for kind in rule.words:
        assert in_words(name, {"type": kind, "reason": "so it is"}).endswith(": so it is")
        assert in_words(name, {"type": kind}) == rule.words[kind]


def _pair() -> Rig:
    rig = Rig()
    rig.pair()
    return rig


@pytest.mark.parametrize(
    ("node", "words"), [("n3", "to permit: demote n3"), ("n9", "to refuse: demote n9: n9 is no node")]
)
def test_the_judgement_of_a_request_is_kept_with_all_that_it_looked_at(node: str, words: str) -> None:
    rig = _pair()
    rig.ask("demote", node=node)
    [kept] = [d for d in rig.events(Decided) if d.rule == "request"]
    assert kept.decision.startswith(words)
    assert kept.inputs["facts"]["master"] == "n1"
    assert again(msgspec.json.decode(msgspec.json.encode(kept), type=Decided)).same


def test_a_dry_run_decides_nothing_that_is_kept() -> None:
    rig = _pair()
    for node in ("n3", "n9"):
        rig.ask("demote", node=node, dry_run=True)
    rig.ask("shutdown", node=None, dry_run=True)
    assert not rig.events(Decided)


def test_the_rescue_of_a_lost_primary_is_kept_at_each_step() -> None:
    rig = _pair()
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    kept = [d for d in rig.events(Decided) if d.rule == "rescue"]
    assert [d.result["type"] for d in kept] == ["HandOver", "GoOn"]
    assert [d.inputs["tried"] for d in kept] == ["", "handover"]
    assert all(again(d).same for d in kept)
