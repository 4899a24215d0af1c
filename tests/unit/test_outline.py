"""The plan of a function, as it will run."""

from __future__ import annotations

import pytest

from primacy.machines import host_wire as h
from primacy.machines.ids import Function
from primacy.machines.outline import HALVES, outline
from tests.unit.ssc_tools import Rig

STOCK = [
    h.Callback("switchover", 1, "close"),
    h.Callback("switchover", 2, "count"),
    h.Callback("initialize", 2, "x"),
]
DOOR = [h.Callback("reconnect", 1, "reattach"), h.Callback("initialize", 1, "hinge", 2.0, "retry", 3, 0.5)]


@pytest.mark.parametrize("function", Function)
def test_each_function_has_its_halves(function: Function) -> None:
    found = outline(function, {"stock": STOCK}, {"door": DOOR})
    assert [half["half"] for half in found["halves"]] == [half.name for half in HALVES[function]]
    for half in found["halves"]:
        levels = [level["level"] for level in half["levels"]]
        assert levels == sorted(levels, reverse=half["order"] == "descending")


def test_a_switchover_gives_up_downwards_and_takes_over_upwards() -> None:
    down, up = outline(Function.SWITCHOVER, {"stock": STOCK}, {"door": DOOR})["halves"]
    assert [level["level"] for level in down["levels"]] == [2, 1]
    assert [level["level"] for level in up["levels"]] == [1, 2]
    assert (down["refusable"], up["refusable"]) == (True, False)


def test_initialization_keeps_step_with_the_master_and_reconnection_begins_when_it_serves() -> None:
    [starting] = outline(Function.INITIALIZE, {"stock": STOCK}, {"door": DOOR})["halves"]
    assert {level["barrier"] for level in starting["levels"]} == {"cluster"}
    assert starting["levels"][0]["callbacks"] == [
        {
            "level": 1, "service": "door", "callback": "hinge", "timeout_s": 2.0, "on_failure": "retry",
            "retries": 3, "delay_s": 0.5,
        }
    ]  # fmt: skip
    [reattaching] = outline(Function.RECONNECT, {"stock": STOCK}, {"door": DOOR})["halves"]
    assert "serves" in reattaching["begins"]
    assert [row["service"] for level in reattaching["levels"] for row in level["callbacks"]] == ["door"]


def test_the_coordinator_does_as_the_plan_says() -> None:
    rig = Rig({"stock": STOCK, "door": DOOR})
    rig.pair()
    rig.runs.clear()
    rig.ask("switchover")
    down = outline(Function.SWITCHOVER, {"stock": STOCK}, {"door": DOOR})["halves"][0]
    planned = [row["callback"] for level in down["levels"] for row in level["callbacks"]]
    assert [run.name for run in rig.runs] == planned
