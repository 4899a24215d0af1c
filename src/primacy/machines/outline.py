"""The plan of a function on one node, before it runs: halves, levels in the order in which they run, barriers.

What `primacy sequence` shows. The table says where and in which order each half of a function runs; the callbacks are
those that the node's services have registered, themselves or by the configuration table.  Pure.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from primacy.machines.host_wire import Callback
from primacy.machines.ids import Function
from primacy.machines.sequence import Step, plan


class Half(Struct, frozen=True):
    """One half of a function: which services' callbacks, where, in which order, and what they wait for.

    services: centralized | local | all. barrier: `node` (a level waits for the level before it on this node), or
    `cluster` (also until the master has completed that very level: master first). refusable: a callback that refuses
    undoes the levels that had completed, and nothing has happened.
    """

    name: str
    where: str
    begins: str
    services: str
    descending: bool = False
    barrier: str = "node"
    refusable: bool = False


_GIVES_UP = Half(
    "giving up",
    "the master",
    "when its primaries hold new calls",
    "centralized",
    descending=True,
    refusable=True,
)
_TAKES_OVER = "when every server here is primary"
_TOLD = "when the master tells it to"
_ROLE_TAKEN = "when another node has taken its role over"

HALVES: dict[Function, tuple[Half, ...]] = {
    Function.INITIALIZE: (
        Half("starting", "every node", "when every host of the node is up", "all", barrier="cluster"),
    ),
    Function.SWITCHOVER: (_GIVES_UP, Half("taking over", "the new master", _TAKES_OVER, "centralized")),
    Function.FAILOVER: (Half("taking over", "the new master", _TAKES_OVER, "centralized"),),
    Function.RECONNECT: (
        Half(
            "reattaching",
            "every node",
            "when the master serves the new term, on all nodes at one time",
            "local",
        ),
    ),
    Function.SHUTDOWN: (
        Half("leaving", "the node", "when it has handed over what it was", "all", descending=True),
    ),
    Function.QUALIFY: (Half("going up", "the node", _TOLD, "all", refusable=True),),
    Function.PROMOTE: (
        Half("going up", "the node", "when its servers are initialized", "all", refusable=True),
    ),
    Function.DEMOTE: (Half("going down", "the node", _ROLE_TAKEN, "all", refusable=True),),
    Function.DISQUALIFY: (Half("going down", "the node", _ROLE_TAKEN, "all", refusable=True),),
    Function.REMOVE: (
        Half("before it leaves (then: shutdown)", "the node", _ROLE_TAKEN, "all", refusable=True),
    ),
}


def outline(
    function: Function, centralized: dict[str, list[Callback]], local: dict[str, list[Callback]]
) -> dict[str, Any]:
    """Return the plan as plain values: {function, steps, halves}; steps: all callbacks, in ascending levels."""
    chosen = {"centralized": centralized, "local": local, "all": centralized | local}
    return {
        "function": str(function),
        "steps": [_row(step) for step in plan(function, centralized | local)],
        "halves": [_half(half, plan(function, chosen[half.services])) for half in HALVES[function]],
    }


def _half(half: Half, steps: list[Step]) -> dict[str, Any]:
    levels = sorted({step.callback.level for step in steps}, reverse=half.descending)
    return {
        "half": half.name,
        "where": half.where,
        "begins": half.begins,
        "order": "descending" if half.descending else "ascending",
        "refusable": half.refusable,
        "levels": [
            {
                "level": level,
                "barrier": half.barrier,
                "callbacks": [_row(step) for step in steps if step.callback.level == level],
            }
            for level in levels
        ],
    }


def _row(step: Step) -> dict[str, Any]:
    callback = step.callback
    return {
        "level": callback.level,
        "service": step.service,
        "callback": callback.name,
        "timeout_s": callback.timeout_s,
        "on_failure": callback.on_failure,
        "retries": callback.retries,
        "delay_s": callback.delay_s,
    }
