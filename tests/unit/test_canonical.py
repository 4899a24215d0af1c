"""Canonical bytes: equal for equal values, different for different ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.canonical import canonical


class Shelf(msgspec.Struct):
    number: int = 0
    articles: dict[Any, Any] = {}
    labels: set[Any] = set()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: 1, 2: 2}, {2: 2, 1: 1}),
        ({1: 1, "b": {3: 3, 4: 4}}, {"b": {4: 4, 3: 3}, 1: 1}),
        ({(1, "a"): 1, (1, 2): 2}, {(1, 2): 2, (1, "a"): 1}),
        (Shelf(1, {1: {1, "x"}, 2: 2}, {3, "y"}), Shelf(1, {2: 2, 1: {"x", 1}}, {"y", 3})),
    ],
)
def test_the_order_of_filling_is_nothing(one: Any, other: Any) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({1: 1}, {1: 2}),
        ({1: 1}, {2: 1}),
        ([1, 2], [2, 1]),
        (Shelf(1, {1: 1}), Shelf(2, {1: 1})),
        ({1: {1}}, {1: {2}}),
    ],
)
def test_what_differs_differs(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


values = st.recursive(
    st.integers() | st.text(max_size=3) | st.none() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: backwards(each) for key, each in reversed(value.items())}
    return [backwards(each) for each in value] if isinstance(value, list) else value


@given(
    st.dictionaries(
        st.integers(0, 99) | st.text(max_size=2), values.filter(lambda v: v != -(2**70)), max_size=4
    )
)
def test_any_value_backwards_is_the_same(value: dict[Any, Any]) -> None:
    try:
        expected = canonical(value)
    except OverflowError:  # MessagePack's integers have 64 bits
        return
    assert canonical(backwards(value)) == expected
