"""Requests for functions of the cluster: handed to the master's coordinator; the outcome is read in the ledger.

Each request has an id. The agent that was asked hands it to the master, again when that is another node meanwhile, and
waits until the ledger says how it ended. So its caller hears the true outcome though the master dies, and may ask
elsewhere for the same request.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import Any

import msgspec

from primacy.agent import system_level
from primacy.agent.node import Node
from primacy.guardian_message import THEN
from primacy.lease_page import now_ns
from primacy.machines import coordination
from primacy.machines.ids import MS
from primacy.machines.preconditions import LADDER

FUNCTION_S_MAX = 120.0
SUBMIT_S_MAX = 5.0
SUBMIT_AGAIN_S = 0.1
REASON_LENGTH_MAX = 300
NODE_LENGTH_MAX = 64
_SHOWN = 40

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)

TARGETS = {"switchover": "to", "shutdown": "node"} | dict.fromkeys(LADDER, "node")
"""The functions of the cluster, and the argument that names the node that each is about."""


class Requests:
    """All requests at this agent."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[coordination.Answer]] = {}
        node.on_answer = self.answered

    async def carry_out(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """A function of the cluster: handed to the master, whoever that is; its outcome is read in the ledger."""
        arguments, wrong = self._checked(verb, arguments)
        if wrong:
            return "refused", None, wrong
        began_ns = now_ns()
        try:
            async with asyncio.timeout(FUNCTION_S_MAX):
                kind, result, reasons = await self._submit(verb, arguments)
                if kind != "accepted":
                    return kind, result, reasons
                ended = await self._node.records.ended(arguments["operation"])
        except TimeoutError:
            return "failed", None, [f"{verb} has not ended within {FUNCTION_S_MAX:g} s; see `primacy status`"]
        answer: dict[str, Any] = dict(ended.result) | {"duration_ms": (now_ns() - began_ns) / MS}
        if "system" in ended.options:
            answer["system"] = msgspec.json.decode(ended.options["system"])
        if "stopped" in answer:
            answer["stopped"] = [answer["stopped"]]
        if ended.outcome == "done" and ended.reasons:
            answer["notes"] = list(ended.reasons)
        return ended.outcome, answer, list(ended.reasons)

    def _checked(self, verb: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the arguments with `master` and `vice` resolved, and what is wrong with them."""
        arguments, wrong = checked(verb, arguments)
        target = TARGETS[verb]
        if arguments.get(target) in ("master", "vice"):
            wanted = arguments[target]
            arguments[target] = getattr(self._node.facts(), wanted)
            if not arguments[target]:
                wrong.append(f"{target}: there is no {wanted} now")
        return arguments, wrong

    async def _submit(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """Hand a request to the master until it is known to be accepted or not; the same id is the same request."""
        asked = False
        while True:
            facts = self._node.facts()
            if facts.role == "master":
                return await self.submit(verb, arguments)
            if not facts.master and not asked:
                return "unavailable", None, ["there is no master now"]
            try:
                told = await self._node.peers.ask(facts.master, verb, arguments, SUBMIT_S_MAX)
                if told.kind != "unavailable":
                    return told.kind, told.result, told.reasons
                asked = True
            except TimeoutError as error:
                if not asked and facts.master not in facts.members:
                    return "unavailable", None, [f"the master {facts.master} does not answer: {error}"]
                asked = True
            if self._node.records.operations.known(arguments["operation"]) is not None:
                return "accepted", None, []
            await asyncio.sleep(SUBMIT_AGAIN_S)

    async def handed_over(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """A request that another node hands to this master: judged like one that is made here."""
        arguments, wrong = self._checked(verb, arguments)
        if wrong:
            return "refused", None, wrong
        return await self.submit(verb, arguments)

    async def submit(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """Ask this node's own coordinator, and before a halt the machines of those that are to leave."""
        node, number = self._node, next(self._ids)
        system, unable = await system_level.ask(node, arguments.get("node"), arguments.get("then") or "")
        if unable:
            return "refused", None, unable
        if verb == "shutdown" and arguments.get("node"):
            arguments = arguments | {"life": self._life(arguments["node"])}
        if system:
            arguments = arguments | {"system": msgspec.json.encode(system).decode()}
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        node.post(
            coordination.Asked(now_ns=now_ns(), id=number, verb=verb, arguments=arguments, facts=node.facts())
        )
        try:
            answer = await future
        finally:
            self._asked.pop(number, None)
        result = {**answer.result, "system": system} if system else answer.result
        return answer.kind, result, list(answer.reasons)

    def _life(self, node: str) -> str:
        """The life of the node that is meant: one that begins afterwards is not shut down. Empty: not known."""
        if node == self._node.me.node:
            return self._node.me.incarnation
        peer = self._node.monitor.peers.get(node)
        return peer.incarnation if peer is not None else ""

    def answered(self, answer: coordination.Answer) -> None:
        """The coordinator has answered a request that was handed to it here."""
        future = self._asked.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer)


def checked(verb: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what this verb takes, and a line for each argument that it cannot take.

    `shutdown` must say which node it means: None is all of them, and nobody means that by leaving it out.
    """
    target, wrong = TARGETS[verb], []
    operation = arguments.get("operation") or os.urandom(8).hex()
    which, reason, dry_run = (arguments.get(name) for name in (target, "reason", "dry_run"))
    if which is not None and not (isinstance(which, str) and 0 < len(which) <= NODE_LENGTH_MAX):
        wrong.append(f"{target}: want a node's id, master or vice, got {shown(which)}")
    elif verb == "shutdown" and target not in arguments:
        wrong.append("node: say which one (null: all nodes)")
    elif verb in LADDER and which is None:
        wrong.append("node: say which one")
    if not (isinstance(operation, str) and len(operation) <= NODE_LENGTH_MAX and operation.isprintable()):
        wrong.append(f"operation: want an id of at most {NODE_LENGTH_MAX} characters, got {shown(operation)}")
    if not isinstance(reason, str | None):
        wrong.append(f"reason: want a text, got {shown(reason)}")
    elif reason is not None and len(reason) > REASON_LENGTH_MAX:
        wrong.append(f"reason: want at most {REASON_LENGTH_MAX} characters, got {len(reason)}")
    if not isinstance(dry_run, bool | None):
        wrong.append(f"dry_run: want true or false, got {shown(dry_run)}")
    known: dict[str, Any] = {
        target: which,
        "reason": reason or "",
        "dry_run": bool(dry_run),
        "operation": operation,
    }
    if verb == "shutdown":
        known["then"] = then = arguments.get("then") or ""
        if not isinstance(then, str) or then not in THEN:
            wrong.append(f"then: want halt, reboot or nothing, got {shown(then)}")
    return known, wrong


def shown(value: Any) -> str:
    """A caller's value as a refusal quotes it: never long, never deep."""
    if isinstance(value, str):
        return repr(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if value is None or isinstance(value, int | float):
        return f"{value}"[:_SHOWN]
    return f"a {type(value).__name__}"
