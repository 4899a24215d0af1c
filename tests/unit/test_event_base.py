"""The base of all events: a term, and a sentence that each kind has to say itself."""

from __future__ import annotations

import pytest

from primacy.machines.event_base import Base


def test_an_event_without_a_sentence_is_a_bug_that_is_told() -> None:
    with pytest.raises(AssertionError, match="Base has no sentence"):
        Base(term=1).sentence()
