"""When a cluster counts as going on without a node."""

from __future__ import annotations

import pytest

from primacy.local.successor import goes_on_without
from primacy.machines.control_wire import Topology


def topology(term: int, master: str, vice: str, serving: bool = True) -> Topology:
    """Return a topology without addresses."""
    return Topology("demo", term, master, vice, serving, [])


@pytest.mark.parametrize(
    ("now", "goes_on"),
    [
        (topology(1, "n1", "n2"), False),  # nobody has noticed
        (topology(2, "n2", "", serving=False), False),  # claimed, and not open yet
        (topology(2, "n2", ""), True),
        (topology(2, "n2", "n3"), True),
        (topology(2, "n2", "n1"), False),  # it is back already, as vice
        (topology(1, "n3", ""), False),  # an older word
    ],
)
def test_after_the_loss_of_the_master(now: Topology, goes_on: bool) -> None:
    assert goes_on_without(now, "n1", topology(1, "n1", "n2")) is goes_on


def test_after_the_loss_of_the_vice_the_term_stays() -> None:
    before = topology(4, "n1", "n2")
    assert not goes_on_without(before, "n2", before)
    assert goes_on_without(topology(4, "n1", ""), "n2", before)
    assert goes_on_without(topology(4, "n1", "n3"), "n2", before)


def test_a_node_without_a_role_is_not_missed() -> None:
    before = topology(4, "n1", "n2")
    assert goes_on_without(before, "n3", before)
    assert goes_on_without(before, "n3", None)
