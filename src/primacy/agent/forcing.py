"""The last resort at one agent: who could be master by force, what the other nodes know, and the answer.

Any agent may be asked, also when there is no master. It passes the request on to the node that shall be master (the
one that the operator names, else the best candidate); that one asks all others what they know and hands it to its
membership monitor, whose rules decide (machines/last_resort.py).
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec

from primacy.agent.node import Node
from primacy.lease_page import now_ns
from primacy.machines import membership
from primacy.machines.formation import Candidate
from primacy.machines.ids import MS
from primacy.machines.last_resort import Witness, best

WITNESS_S_MAX = 0.5
FORCE_S_MAX = 10.0
TEXT_LENGTH_MAX = 300

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


class Forcing:
    """Answers for force, and the questions of other agents about this node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[membership.ForceAnswered]] = {}
        node.on_forced = self._answered

    async def asked(self, arguments: dict[str, Any]) -> Outcome:
        """An operator wants a master by force (to, assume_dead, by, reason, dry_run)."""
        arguments, wrong = self._checked(arguments)
        to = arguments["to"]
        if not wrong and to is not None and to not in self._node.table.nodes:
            wrong.append(
                f"{to} is no node of this cluster (there are {', '.join(sorted(self._node.table.nodes))})"
            )
        if wrong:
            return "refused", None, wrong
        me = self._node.me.node
        to = to or await self._best() or me
        if to == me:
            return await self.here(arguments)
        try:
            told = await self._node.peers.ask(to, "failover", arguments | {"to": to}, FORCE_S_MAX)
        except TimeoutError as error:
            return "refused", None, [f"{to} does not answer {me}, so it cannot be made master: {error}"]
        return told.kind, told.result, told.reasons

    async def here(self, arguments: dict[str, Any]) -> Outcome:
        """This node shall be master by force."""
        arguments, wrong = self._checked(arguments)
        if wrong:
            return "refused", None, wrong
        node, number = self._node, next(self._ids)
        record = node.monitor.record
        recorded = record.master if record is not None else None
        witnesses = await self._witnesses()  # after the look at the record: they prove something of it
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        node.post(
            membership.Force(
                now_ns=now_ns(),
                id=number,
                recorded=recorded,
                assume_dead=arguments["assume_dead"],
                by=arguments["by"],
                reason=arguments["reason"],
                witnesses=witnesses,
                dry_run=arguments["dry_run"],
            )
        )
        try:
            async with asyncio.timeout(FORCE_S_MAX):
                answer = await future
        except TimeoutError:
            why = f"it is not known yet what came of it ({FORCE_S_MAX:g} s): see `primacy status`"
            return "failed", None, [why]
        finally:
            self._asked.pop(number, None)
        if answer.kind == "refused":
            return "refused", None, list(answer.reasons)
        former = recorded.node if recorded is not None else ""
        told = {"to": node.me.node, "former": former, "term": answer.term, "may_lose": answer.may_lose}
        return "done", told | {"possible": True} if answer.kind == "possible" else told, []

    def witness(self) -> Outcome:
        """What this node tells another one that is asked for force."""
        monitor = self._node.monitor
        record = monitor.record
        said = Witness(
            member=self._node.me,
            eligible=monitor.peers.own.may_lead,
            priority=monitor.peers.own.priority,
            positions=monitor.positions,
            master=record.master if record is not None else None,
            silent_ms=(now_ns() - monitor.sign_ns) / MS if monitor.signed else None,
        )
        return "done", msgspec.to_builtins(said), []

    def _answered(self, answer: membership.ForceAnswered) -> None:
        future = self._asked.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer)

    async def _witnesses(self) -> tuple[Witness, ...]:
        others = [n for n in self._node.table.nodes if n != self._node.me.node]
        found = await asyncio.gather(*(self._witness_of(node) for node in others))
        return tuple(witness for witness in found if witness is not None)

    async def _witness_of(self, node: str) -> Witness | None:
        try:
            told = await self._node.peers.ask(node, "witness", {}, WITNESS_S_MAX)
            witness = msgspec.convert(told.result, Witness)
        except (TimeoutError, msgspec.ValidationError):
            return None
        return witness if witness.member.node == node else None

    async def _best(self) -> str:
        """The node that should be master: the freshest journals among the eligible nodes that can be asked."""
        own = msgspec.convert(self.witness()[1], Witness)
        kept = self._node.monitor.maintenance.nodes
        return best(
            Candidate(each.member, each.priority, each.positions)
            for each in (own, *await self._witnesses())
            if each.eligible and each.positions is not None and each.member.node not in kept
        )

    def _checked(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return what force takes, and a line for each argument that it cannot take."""
        facts, wrong = self._node.facts(), []
        taken: dict[str, Any] = {"to": None, "assume_dead": "", "reason": "", "by": "an operator"}
        for name, usual in taken.items():
            value = arguments.get(name)
            if value is not None and not (isinstance(value, str) and len(value) <= TEXT_LENGTH_MAX):
                wrong.append(f"{name}: want a text of at most {TEXT_LENGTH_MAX} characters")
            else:
                taken[name] = value or usual
        for name in ("to", "assume_dead"):
            if taken[name] in ("master", "vice"):
                taken[name] = getattr(facts, taken[name])
                if not taken[name]:
                    wrong.append(f"{name}: the record names none")
        dry_run = arguments.get("dry_run")
        if not isinstance(dry_run, bool | None):
            wrong.append("dry_run: want true or false")
        return taken | {"dry_run": bool(dry_run)}, wrong
