"""The recovery row of a service: what is refused, and what the coordinator gets."""

from __future__ import annotations

import pytest

from primacy.config_recovery import RECOVERY_FIELDS, Recovery, problems
from primacy.machines.ids import SECOND


def test_the_defaults_are_fine_and_every_field_is_explained() -> None:
    assert problems("x", Recovery(), durability="disk", local=False) == []
    assert set(RECOVERY_FIELDS) == set(Recovery.__struct_fields__)
    assert Recovery(window_s=2.5).limits().window_ns == 2.5 * SECOND


@pytest.mark.parametrize(
    ("recovery", "durability", "local", "path"),
    [
        (Recovery(restarts=-1), "disk", False, "x.restarts"),
        (Recovery(window_s=0), "disk", False, "x.window_s"),
        (Recovery(pause_s=9, pause_s_max=3), "disk", False, "x.pause_s"),
        (Recovery(restarts=1), "memory", False, "x.restarts"),
        (Recovery(node_out=1), "disk", True, "x"),
    ],
)
def test_what_is_refused_is_named(recovery: Recovery, durability: str, local: bool, path: str) -> None:
    assert [p for p, _, _ in problems("x", recovery, durability=durability, local=local)] == [path]
