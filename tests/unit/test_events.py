"""Every event: a sentence for the operator, and plain values for the stream."""

from __future__ import annotations

import json

import msgspec
import pytest

from primacy.machines import events
from tests.unit.samples import members, sample

EACH = [pytest.param(event, id=event.__name__) for event in members(events.Event)]


def test_the_union_names_every_event() -> None:
    assert set(members(events.Event)) == set(events.Base.__subclasses__())


@pytest.mark.parametrize("event", EACH)
def test_an_event_says_a_sentence_that_names_its_subject(event: type[events.Base]) -> None:
    sentence = sample(event).sentence()
    assert len(sentence.split()) >= 3
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert "text" in sentence  # the sample's node, service or reason


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (
            events.ClaimBegan(term=2, node="n2", cause="no beat of n1", silence_ns=50_000_000),
            "n2 claims term 2: no beat of n1 (last beat 50.0 ms ago)",
        ),
        (
            events.ClaimBegan(term=1, node="n2", cause="first formation", silence_ns=0),
            "n2 claims term 1: first formation",
        ),
        (
            events.LinkChanged(node="n1", peer="n2", link=1, up=False, others_up=1),
            "link 1 between n1 and n2 is down; 1 other goes on",
        ),
        (events.LinkChanged(node="n1", peer="n2", link=1, up=False), "link 1 between n1 and n2 is down"),
        (
            events.LinkChanged(node="n1", peer="n2", link=1, up=True, others_up=1),
            "link 1 between n1 and n2 is up",
        ),
        (events.NodeChanged(node="n1", peer="n2", reachable=True), "n1 hears n2"),
        (
            events.NodeChanged(node="n1", peer="n2", reachable=False),
            "n1 hears nothing from n2 any more, on any link",
        ),
        (
            events.LevelCompleted(node="n1", function="failover", level=2, services=["a", "b"]),
            "n1 completed level 2 of failover (a, b)",
        ),
        (
            events.FunctionEnded(node="n1", function="failover", outcome="completed", duration_ms=1.25),
            "n1 completed its levels of failover in 1.2 ms",
        ),
        (
            events.FunctionEnded(node="n1", function="switchover", outcome="was refused and undone", reasons=["no"]),
            "switchover on n1 was refused and undone after 0.0 ms: no",
        ),
    ],
)  # fmt: skip
def test_how_an_event_is_told(event: events.Base, sentence: str) -> None:
    assert event.sentence() == sentence


@pytest.mark.parametrize("event", EACH)
def test_an_event_is_kept_as_plain_json(event: type[events.Base]) -> None:
    stamped = events.Stamped(node="n1", incarnation="00", number=3, wall_ns=5, event=sample(event))
    plain = json.loads(json.dumps(stamped.plain()))
    assert plain["sentence"] == stamped.event.sentence()
    assert plain["event"]["event"] == event.__name__
    assert msgspec.json.decode(msgspec.json.encode(stamped), type=events.Stamped) == stamped
