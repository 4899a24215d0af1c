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


@pytest.mark.parametrize("event", EACH)
def test_an_event_is_kept_as_plain_json(event: type[events.Base]) -> None:
    stamped = events.Stamped(node="n1", incarnation="00", number=3, wall_ns=5, event=sample(event))
    plain = json.loads(json.dumps(stamped.plain()))
    assert plain["sentence"] == stamped.event.sentence()
    assert plain["event"]["event"] == event.__name__
    assert msgspec.json.decode(msgspec.json.encode(stamped), type=events.Stamped) == stamped
