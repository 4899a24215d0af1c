"""A changed configuration table at an agent that runs: what it takes over, what it reports, and what the master drives.

Every agent watches the table in the ledger. At once it takes over nodes, priorities, times and the cluster's options,
and ends the servers of services that are gone. A service that is new or altered, and another place of this node, take
a new life of the agent: it says so to the master, which goes through the nodes one at a time (`rolling`), as soon as
the change that the table comes from is so far (`applying`). Beside the beat path: the master asks once in a while, and
nothing waits for the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from primacy import config
from primacy.agent import moving, placing
from primacy.agent.applying import Applier
from primacy.agent.tasks import Tasks
from primacy.config import Table
from primacy.config_beginning import news, taken_over
from primacy.config_plan import plan, restarts
from primacy.lease_page import now_ns
from primacy.machines.applying import Look
from primacy.machines.events_node import RestartAsked, TableTaken
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import CONFIG
from primacy.machines.rolling import Renew, Report, Rest, Rolling, Settle, View, Wait, Yield

if TYPE_CHECKING:
    from primacy.agent.node import Node

TICK_S = 0.25
IDLE_S = 1.0
ASK_S = 1.0
YIELD_AGAIN_S = 5.0
Outcome = tuple[str, Any, list[str]]


class Changing:
    """The table at this node. on_times(beat_ns): the beats come in another rhythm."""

    def __init__(
        self,
        node: Node,
        ask: Callable[[str, dict[str, Any]], Any],
        submit: Callable[[str, dict[str, Any]], Any],
    ) -> None:
        """ask(verb, arguments): have a function of the cluster carried out; submit: only handed to this node's own
        coordinator.
        """
        self._node, self._ask = node, ask
        self._rolling = Rolling()
        self._woken = asyncio.Event()
        self._reports: dict[str, Report] = {}
        self._tasks = Tasks(f"the agent of {node.me.node}, following the table")
        self._known = node.table
        self._asked = False  # a swap of the table or a switchover of this change is under way
        self.on_times: Callable[[int], None] = lambda beat_ns: None
        node.records.on_table = self.adopt
        self.applier = Applier(node, submit)
        self.applier.on_wake = self._woken.set
        self._tasks.start(self._follow())

    def close(self) -> None:
        """The agent ends."""
        self.applier.close()
        self._tasks.cancel()

    # ---- every agent ----

    def adopt(self, table: Table) -> None:
        """Take over what can be while this life runs; the rest is reported."""
        node, before = self._node, self._known
        self._known = table
        self._woken.set()
        steps = [step.brief for step in plan(before, table, frozenset()).steps]
        taken, gone = taken_over(node.table, table, node.me.node)
        nodes = moving.as_they_are(node, taken.nodes)
        take_table(node, msgspec.structs.replace(taken, nodes=nodes), gone)
        self.on_times(node.table.times.beat_ns)
        event = TableTaken(
            term=node.monitor.term,
            node=node.me.node,
            revision=node.records.table_revision,
            change="; ".join(steps) or "nothing that concerns running nodes",
            behind=list(self.report().behind),
        )
        node.publish(event)

    def report(self) -> Report:
        """What this node says of its table."""
        records, node = self._node.records, self._node
        behind = restarts(node.table, records.table, node.me.node)
        return Report(node.me.incarnation, records.table_revision, behind)

    async def answer(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """Answer the master: `table` asks for the report, `place` whether this node could listen elsewhere, `renew` for
        a new life of this agent.
        """
        if verb == "table":
            return "done", msgspec.to_builtins(self.report()), []
        if verb == placing.VERB:
            return placing.answer(self._node.me.node, self._node.table, arguments)
        if not self.report().behind or arguments.get("incarnation") != self._node.me.incarnation:
            return "refused", None, [f"{self._node.me.node} need not restart"]
        self._node.renew(str(arguments.get("reason") or "the table has changed"))
        return "done", None, []

    # ---- the master ----

    async def _follow(self) -> None:
        while True:
            await self._pause()
            if self._node.monitor.role != "master":
                self._reports.clear()
                self._rolling.resigned()
                self._node.records.change = ""
                continue
            await self._collect()
            self._act()

    async def _pause(self) -> None:
        """Wait for the next look: soon while something changes, seldom while nothing does."""
        idle = self._node.monitor.role != "master" or (
            self.settled() and self.applier.change is None and not self._node.records.change
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S if idle else TICK_S):
                await self._woken.wait()
        self._woken.clear()

    async def _collect(self) -> None:
        """Ask those members whose report is not the last word on the table that stands."""
        node = self._node
        members, revision = node.members, node.records.table_revision
        self._reports = {n: r for n, r in self._reports.items() if n in members}
        self._reports[node.me.node] = self.report()
        asked = [m for m in members if m != node.me.node and self._open(m, revision)]
        answers = await asyncio.gather(*(self._report_of(m) for m in asked))
        self._reports |= {m: r for m, r in zip(asked, answers, strict=True) if r is not None}

    def _open(self, member: str, revision: int) -> bool:
        known, peer = self._reports.get(member), self._node.monitor.peers.get(member)
        life = peer.incarnation if peer is not None else ""
        return known is None or known.revision < revision or known.incarnation != life or bool(known.behind)

    async def _report_of(self, member: str) -> Report | None:
        with contextlib.suppress(TimeoutError, msgspec.ValidationError):
            told = await self._node.peers.ask(member, "table", {}, ASK_S)
            if told.kind == "done":
                return msgspec.convert(told.result, Report)
        return None

    def view(self) -> View:
        """What the master knows now."""
        node = self._node
        facts, records = node.facts(), node.records
        current = records.operations.current
        return View(
            now_ns=now_ns(),
            me=node.me.node,
            serving=node.coordinator.serving.own_term == node.monitor.term,
            busy=f"{current.function} {current.node} is in progress" if current is not None else "",
            nodes=facts.nodes,
            members=facts.members,
            vice=facts.vice,
            vice_ready=facts.vice_ready,
            able=tuple(p.entry.id for p in node.monitor.peers if p.able),
            revision=records.table_revision,
            mixing=records.table.replaces is not None,
            reports=self._reports,
            leaving=self.applier.leaving,
        )

    def _look(self, view: View) -> Look:
        node, records = self._node, self._node.records
        return Look(
            now_ns=view.now_ns,
            wall_ms=time.time_ns() // 1_000_000,
            term=node.monitor.term,
            serving=view.serving,
            busy=view.busy,
            calm=self._rolling.against(view),
            operations=records.operations,
            nodes=records.entries,
        )

    def _act(self) -> None:
        node = self._node
        if node.monitor.role != "master" or self._asked:
            return
        view = self.view()
        look = self._look(view)
        node.records.change = self.applier.proceed(look)
        if self.applier.machine.holds:
            return
        decision = self._rolling.decide(view)
        match decision:
            case Rest():
                self._follow_on(look)
            case Wait(reason=reason):
                node.records.change = reason
            case Settle(revision=revision):
                node.records.change = "the times are changed"
                self._settle(revision)
            case Renew(node=member, reason=reason):
                node.records.change = f"{member} restarts: {reason}"
                event = RestartAsked(term=node.monitor.term, node=member, by=node.me.node, reason=reason)
                node.publish(event)
                order = {"incarnation": self._reports[member].incarnation, "reason": reason}
                self._tasks.start(self._renew(member, order))
            case Yield(to=to, reason=reason):
                node.records.change = f"switchover to {to}, then {node.me.node} restarts: {reason}"
                self._asked = True
                self._tasks.start(self._yield(to, reason))

    def _follow_on(self, look: Look) -> None:
        """Nobody is behind the table in force: a change that has waited for that goes on."""
        if self._node.records.table_revision >= self.applier.machine.revision:
            self.applier.followed(look)

    def _settle(self, revision: int) -> None:
        """Write the new times alone: every member has those between."""
        self._asked = True

        def answered(answer: SwapAnswer, _: int) -> None:
            self._asked = False  # whatever came of it, the next look at the table tells

        wanted = msgspec.structs.replace(self._node.records.table, replaces=None)
        self._node.ledger.swap_key(CONFIG, revision, config.encode(wanted), answered)

    async def _renew(self, member: str, order: dict[str, Any]) -> None:
        with contextlib.suppress(TimeoutError):
            told = await self._node.peers.ask(member, "renew", order, ASK_S)
            if told.kind != "done":
                sys.stderr.write(f"agent: {member} does not restart: {'; '.join(told.reasons)}\n")

    async def _yield(self, to: str, reason: str) -> None:
        try:
            kind, _, reasons = await self._ask("switchover", {"to": to, "reason": reason})
            if kind != "done":
                sys.stderr.write(f"agent: no switchover to {to}: {'; '.join(reasons)}\n")
                await asyncio.sleep(YIELD_AGAIN_S)
        finally:
            self._asked = False

    def settled(self) -> bool:
        """Whether the last look found every member with the table that stands."""
        reports, revision = self._reports, self._node.records.table_revision
        there = [reports.get(m) for m in self._node.members]
        return all(r is not None and r.revision >= revision and not r.behind for r in there)


def take_table(node: Node, table: Table, gone: tuple[str, ...]) -> None:
    """Go on with this table: nodes that are new or gone, other addresses, other times, services that are gone."""
    node.table = table
    node.peers.keep(frozenset(table.nodes))
    node.meet(node.records.entries)
    node.links.retime(table.times.silence_ns)
    node.clock.retime(table.times.beat_ns)
    moving.readdress(node)
    for told in news(table, gone, now_ns()):
        node.post(told)
    node.watch_links()
    node.on_change()
