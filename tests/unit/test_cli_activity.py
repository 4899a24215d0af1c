"""What is in progress on a node, and the plan of a function, as people read them."""

from __future__ import annotations

from primacy.cli.activity import activity, timeless
from primacy.cli.sequence import lines
from primacy.machines.host_wire import Callback
from primacy.machines.ids import Function
from primacy.machines.outline import outline


def test_who_is_waited_for_since_when_and_until_when() -> None:
    wait = {"for": "stock.count", "function": "initialize", "level": 3, "since_s": 4.25, "until_s": 15.8}
    node = {"function": "initialize", "level": 3, "waiting": ["stock.count"], "waiting_for": [wait]}
    assert activity(node) == "initialize level 3 waits for stock.count (since 4.2 s, at most 16 s more)"
    node["waiting_for"] = [wait | {"since_s": None, "until_s": None}]
    assert activity(node) == "initialize level 3 waits for stock.count"


def test_several_functions_in_progress_are_told_one_after_the_other() -> None:
    first = {"for": "door.reattach", "function": "reconnect", "level": 1}
    second = {"for": "stock to finish", "function": "switchover", "level": None}
    node = {"function": "reconnect", "level": 1, "waiting": [], "waiting_for": [first, second]}
    assert activity(node) == "reconnect level 1 waits for door.reattach; switchover waits for stock to finish"


def test_what_is_wrong_with_hosts_is_told_without_a_function_too() -> None:
    node = {"function": None, "level": None, "waiting": ["stock: no disk"], "waiting_for": []}
    assert activity(node) == "stock: no disk"
    node |= {"function": "shutdown", "waiting": []}
    assert activity(node) == "shutdown"
    assert activity({"id": "n1"}) == ""


def test_an_agent_that_tells_no_times_is_understood() -> None:
    assert (
        activity({"function": "initialize", "level": 2, "waiting": ["n1"]})
        == "initialize level 2 waits for n1"
    )


def test_time_that_passes_is_no_change() -> None:
    def status(since_s: float) -> dict[str, object]:
        return {
            "nodes": [{"id": "n1", "waiting_for": [{"for": "x", "since_s": since_s, "until_s": 9 - since_s}]}]
        }

    assert timeless(status(1)) == timeless(status(2))
    assert timeless(status(1)) != timeless({"nodes": [{"id": "n1", "waiting_for": []}]})


def test_a_plan_in_the_order_in_which_it_runs() -> None:
    stock = [
        Callback("switchover", 2, "count", 5.0),
        Callback("switchover", 1, "close", 0.5, "retry", 2, 1.5),
    ]
    assert lines({"node": "n1", **outline(Function.SWITCHOVER, {"stock": stock}, {})}) == [
        "switchover, giving up: on the master, when its primaries hold new calls; descending; "
        "a refusal undoes all of it",
        "  level 2, barrier node",
        "    stock.count  at most 5 s, on failure: refuse",
        "  level 1, barrier node",
        "    stock.close  at most 0.5 s, on failure: retry 2 times, 1.5 s apart",
        "switchover, taking over: on the new master, when every server here is primary; ascending",
        "  level 1, barrier node",
        "    stock.close  at most 0.5 s, on failure: retry 2 times, 1.5 s apart",
        "  level 2, barrier node",
        "    stock.count  at most 5 s, on failure: refuse",
    ]
    assert lines({"node": "n4", **outline(Function.INITIALIZE, {}, {})})[1:] == [
        "  no service on n4 has registered a callback"
    ]
