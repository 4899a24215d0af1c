"""A caller's value in a refusal: never long, never deep."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.agent.quoting import SHOWN_MAX, shown

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("n1", "'n1'"),
        ("x" * 41, "'" + "x" * SHOWN_MAX + "'..."),
        (None, "None"),
        (7, "7"),
        (10**60, "1" + "0" * (SHOWN_MAX - 1)),
        ([1], "a list"),
        ({}, "a dict"),
        (b"x", "a bytes"),
    ],
)
def test_a_value_is_quoted(value: Any, expected: str) -> None:
    assert shown(value) == expected


@given(VALUES)
def test_a_value_is_quoted_short_and_on_one_line(value: Any) -> None:
    assert len(shown(value)) < 600
    assert "\n" not in shown(value)
