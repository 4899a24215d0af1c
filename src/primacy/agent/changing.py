"""A changed configuration table at an agent that runs: what it takes over, what it reports, and what the master drives.

Every agent watches the table in the ledger. At once it takes over nodes, priorities, times and the cluster's options,
and ends the servers of services that are gone. A service that is new or altered takes a new life of the agent: it
says so to the master, which goes through the nodes one at a time (`rolling`). Beside the beat path: the master asks
once in a while, and nothing waits for the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from primacy import config
from primacy.agent import build
from primacy.agent.tasks import Tasks
from primacy.config import Table
from primacy.config_plan import Plan, as_recorded, plan, restarts
from primacy.errors import ConfigError
from primacy.lease_page import now_ns
from primacy.machines import coordination, membership
from primacy.machines.events_node import RestartAsked, TableTaken
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import CONFIG, brief
from primacy.machines.rolling import Renew, Report, Rest, Rolling, Settle, View, Wait, Yield

if TYPE_CHECKING:
    from primacy.agent.node import Node

TICK_S = 0.25
IDLE_S = 1.0
ASK_S = 1.0
YIELD_AGAIN_S = 5.0
TABLE_BYTES_MAX = 256 * 1024
_AWAY = "the ledger does not answer: nothing was changed; try again when `primacy status` shows it"
_LEFT_OPEN = (
    "the ledger has not answered in time: the table may have been changed; look with `primacy config show`"
)
_OVERTAKEN = (
    "the table was changed meanwhile: this change was made from revision {wanted}, it stands at {now} now; nothing was "
    "changed: look at it (`primacy config diff`) and apply again"
)

Outcome = tuple[str, Any, list[str]]


class Changing:
    """The table at this node. on_times(beat_ns): the beats come in another rhythm."""

    def __init__(self, node: Node, ask: Callable[[str, dict[str, Any]], Any]) -> None:
        """ask(verb, arguments): have a function of the cluster carried out."""
        self._node, self._ask = node, ask
        self._rolling = Rolling()
        self._woken = asyncio.Event()
        self._reports: dict[str, Report] = {}
        self._tasks = Tasks(f"the agent of {node.me.node}, following the table")
        self._known = node.table
        self._asked = False  # a swap of the table or a switchover of this change is under way
        self.on_times: Callable[[int], None] = lambda beat_ns: None
        node.records.on_table = self.adopt
        self._tasks.start(self._follow())

    def close(self) -> None:
        """The agent ends."""
        self._tasks.cancel()

    # ---- every agent ----

    def adopt(self, table: Table) -> None:
        """Take over what can be while this life runs; the rest is reported."""
        node, before = self._node, self._known
        self._known = table
        self._woken.set()
        steps = [step.brief for step in plan(before, table, frozenset()).steps]
        running = node.table
        kept = {s: row for s, row in running.services.items() if s in table.services}
        gone = tuple(s for s in running.services if s not in table.services)
        own = running.nodes[node.me.node]  # its links are those of its boot parameters until the next life
        row = table.nodes.get(node.me.node, own)  # not in the table any more: its end is near
        row = msgspec.structs.replace(row, links=own.links, port=own.port)
        nodes = table.nodes | {node.me.node: row}
        take_table(node, msgspec.structs.replace(table, nodes=nodes, services=kept), gone)
        self.on_times(node.table.times.beat_ns)
        taken = TableTaken(
            term=node.monitor.term,
            node=node.me.node,
            revision=node.records.table_revision,
            change="; ".join(steps) or "nothing that concerns running nodes",
            behind=list(self.report().behind),
        )
        node.publish(taken)

    def report(self) -> Report:
        """What this node says of its table."""
        records, node = self._node.records, self._node
        behind = restarts(node.table, records.table, node.me.node)
        return Report(node.me.incarnation, records.table_revision, behind)

    async def answer(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """Answer the master: `table` asks for the report, `renew` for a new life of this agent."""
        if verb == "table":
            return "done", msgspec.to_builtins(self.report()), []
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
                self._rolling, self._node.records.change = Rolling(), ""
                continue
            await self._collect()
            self._act()

    async def _pause(self) -> None:
        """Wait for the next look: soon while something changes, seldom while nothing does."""
        idle = self._node.monitor.role != "master" or (self._settled() and not self._node.records.change)
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
        )

    def _act(self) -> None:
        node = self._node
        if node.monitor.role != "master" or self._asked:
            return
        decision = self._rolling.decide(self.view())
        node.records.change = ""
        match decision:
            case Rest():
                pass
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

    # ---- operators ----

    async def serve(self, verb: str, arguments: dict[str, Any]) -> Outcome:
        """At the master: `config` tells the table that stands, with `table` the plan of a change; `configure` does it.

        Arguments: table (JSON), revision (that the change was made from; none: whatever stands), reason.
        """
        records, wanted = self._node.records, arguments.get("table")
        stands = as_recorded(records.table, records.entries)
        shown = {
            "revision": records.table_revision,
            "table": msgspec.to_builtins(stands),
            "members": list(self._node.members),
            "change": records.change or ("" if self._settled() else "looking who has the table"),
        }
        if wanted is None and verb == "config":
            return "done", shown, []
        if not isinstance(wanted, str) or len(wanted) > TABLE_BYTES_MAX:
            return "refused", None, [f"table: want JSON of at most {TABLE_BYTES_MAX} characters"]
        try:
            planned = plan(stands, config.decode(wanted.encode(), "table"), frozenset(self._node.members))
        except ConfigError as error:
            return "refused", None, [str(error)]
        told = {
            "revision": records.table_revision,
            "steps": [step.sentence for step in planned.steps],
            "functions": [list(pair) for pair in planned.functions],
            "first": planned.first,
        }
        against = list(planned.against)
        made_from = arguments.get("revision")
        if made_from is not None and made_from != records.table_revision:
            against.insert(0, _OVERTAKEN.format(wanted=made_from, now=records.table_revision))
        if against:
            return "refused", told, against
        if verb == "config" or not planned.writes:
            return "done", told, []
        return await self._write(planned, told, str(arguments.get("reason") or "asked for by an operator"))

    def _settled(self) -> bool:
        """Whether the last look found every member with the table that stands."""
        reports, revision = self._reports, self._node.records.table_revision
        there = [reports.get(m) for m in self._node.members]
        return all(r is not None and r.revision >= revision and not r.behind for r in there)

    async def _write(self, planned: Plan, told: dict[str, Any], reason: str) -> Outcome:
        settled: asyncio.Future[tuple[SwapAnswer, int]] = asyncio.get_running_loop().create_future()

        def answered(answer: SwapAnswer, revision: int) -> None:
            if not settled.done():  # this agent may be ending
                settled.set_result((answer, revision))

        self._node.ledger.swap_key(CONFIG, told["revision"], config.encode(planned.table), answered)
        answer, revision = await settled
        match answer:
            case SwapAnswer.DONE:
                sys.stderr.write(f"agent: table of revision {revision} written: {brief(reason)}\n")
                return "done", told | {"revision": revision}, []
            case SwapAnswer.CONFLICT:
                return "refused", None, [_OVERTAKEN.format(wanted=told["revision"], now="a newer one")]
            case SwapAnswer.UNAVAILABLE:
                return "failed", None, [_AWAY]
            case _:
                return "failed", None, [_LEFT_OPEN]


def take_table(node: Node, table: Table, gone: tuple[str, ...]) -> None:
    """Go on with this table: nodes that are new or gone, other addresses, other times, services that are gone."""
    node.table = table
    node.peers.keep(frozenset(table.nodes))
    node.meet(node.records.entries)
    node.links.retime(table.times.silence_ns)
    node.clock.retime(table.times.beat_ns)
    addresses, auto_promote = build.addresses(table), table.cluster.auto_promote
    node.post(coordination.SettingsChanged(now_ns=now_ns(), addresses=addresses, auto_promote=auto_promote))
    availability = table.cluster.cold_start == "availability"
    node.post(membership.Retimed(now_ns=now_ns(), timing=table.times, availability=availability))
    if gone:
        node.post(coordination.ServicesGone(now_ns=now_ns(), services=gone))
    node.watch_links()
    node.on_change()
