"""Operations and queries as methods."""

from __future__ import annotations

from typing import Any, cast

import pytest

from primacy.client.conversation import Conversation
from primacy.client.handles import DEADLINE_S, Service


class Recorded:
    """Takes the place of a conversation: an operation is what it is called with."""

    service = "inventory"

    def call(self, *told: Any) -> tuple[Any, ...]:
        return told

    def query(self, *told: Any, confirm: bool) -> tuple[Any, ...]:
        return (*told, confirm)


@pytest.fixture
def inventory() -> Any:
    return Service(cast(Conversation, Recorded()))


def test_attributes_are_operations(inventory: Any) -> None:
    assert inventory.add(article="bolt", count=3) == ("add", {"article": "bolt", "count": 3}, DEADLINE_S)
    assert inventory.add(article="bolt", deadline_s=1.5) == ("add", {"article": "bolt"}, 1.5)
    assert inventory.add is inventory.add


def test_queries_stand_under_query(inventory: Any) -> None:
    assert inventory.query.stock(article="bolt") == ("stock", {"article": "bolt"}, DEADLINE_S, False)
    assert inventory.query.stock(confirm=True, deadline_s=2) == ("stock", {}, 2, True)
    assert inventory.query.stock is inventory.query.stock


def test_positional_arguments_are_refused_with_what_to_write(inventory: Any) -> None:
    with pytest.raises(TypeError, match=r"write inventory\.add\(argument=value\)"):
        inventory.add("bolt")
    with pytest.raises(TypeError, match=r"write inventory\.query\.stock\(argument=value\)"):
        inventory.query.stock("bolt")


def test_what_python_asks_for_is_no_operation(inventory: Any) -> None:
    assert not hasattr(inventory, "__len__")
    assert not hasattr(inventory, "_private")
    assert not hasattr(inventory.query, "__deepcopy__")


def test_representations_name_what_they_are(inventory: Any) -> None:
    assert repr(inventory) == "<service inventory>"
    assert repr(inventory.add) == "<operation inventory.add>"
    assert repr(inventory.query.stock) == "<query inventory.stock>"
