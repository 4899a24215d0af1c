"""What every event has in common."""

from __future__ import annotations

import msgspec
import pytest

from primacy.machines.event_base import Base


class Silent(Base, frozen=True, kw_only=True):
    """An event whose author forgot the sentence."""


def test_an_event_is_tagged_with_its_name_and_belongs_to_a_term() -> None:
    assert msgspec.to_builtins(Silent(term=3)) == {"event": "Silent", "term": 3}
    assert Silent().term == 0


def test_an_event_without_a_sentence_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="Silent has no sentence"):
        Silent().sentence()
