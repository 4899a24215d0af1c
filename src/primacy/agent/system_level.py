"""Halting and rebooting, asked before a shutdown begins: can each node that is to leave do it to its machine?

Each node answers for itself (its boot parameters and its system are its own): peers ask by the verb `system`. One
that cannot, or does not say, is a reason against the whole shutdown; nothing has begun then.
"""

from __future__ import annotations

import asyncio
from typing import Any

from primacy import guardian_message, guardian_system
from primacy.agent.node import Node
from primacy.boot import Boot

ANSWER_S_MAX = 2.0
VERB = "system"

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


def answer(boot: Boot, arguments: dict[str, Any]) -> Outcome:
    """Tell how this node would halt or reboot its machine, or why it cannot. arguments: then."""
    then = arguments.get("then")
    if not isinstance(then, str) or then not in guardian_message.THEN[1:]:
        return "refused", None, [f"{boot.node}: then: want halt or reboot"]
    found = guardian_system.means(boot, then)
    if found.reason:
        return "refused", None, [found.reason]
    return "done", {"then": then, "command": found.command, "run": found.is_run}, []


async def ask(node: Node, which: str | None, then: str) -> tuple[dict[str, Any], list[str]]:
    """Return how each node that is to leave (None: every member) would do it, and all the reasons why one cannot."""
    if not then:
        return {}, []
    members = [each for each in node.members if which in (None, each)]
    told = await asyncio.gather(*(_ask_one(node, each, then) for each in members))
    found = {each: result for each, (kind, result, _) in zip(members, told, strict=True) if kind == "done"}
    return found, [reason for kind, _, reasons in told if kind != "done" for reason in reasons]


async def _ask_one(node: Node, which: str, then: str) -> Outcome:
    if which == node.me.node:
        return answer(node.boot, {"then": then})
    try:
        told = await node.peers.ask(which, VERB, {"then": then}, ANSWER_S_MAX)
    except TimeoutError:
        return "failed", None, [f"{which} does not say whether it can {then} its machine: it does not answer"]
    return told.kind, told.result, told.reasons
