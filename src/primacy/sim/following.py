"""A changed table at a simulated agent, as the real one has it: taken over, reported, and driven by the master.

A life takes over at once what it can; what takes a new life it reports to the master, which goes through the nodes one
at a time. What is taken over, what takes a restart and who restarts next is decided by the code of production. The
master looks a few times in each second while there is something to look at: that is, while the ledger has any change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from primacy.config import Table
from primacy.config_beginning import addresses, news, taken_over
from primacy.config_links import Address, placed
from primacy.config_plan import plan, restarts
from primacy.machines.applying import Look
from primacy.machines.change_record import CHANGE, Changes
from primacy.machines.coordination import Answer, SettingsChanged
from primacy.machines.events_node import RestartAsked, TableTaken
from primacy.machines.ids import MS, SECOND
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import CONFIG
from primacy.machines.rolling import Renew, Report, Rest, Rolling, Settle, View, Wait, Yield
from primacy.sim import tables
from primacy.sim.applying import Applier

if TYPE_CHECKING:
    from primacy.sim.agent import Agent
    from primacy.sim.network import Stream

TICK_NS, IDLE_NS, SOON_NS = 250 * MS, SECOND, MS
ASK_NS_MAX = SECOND
YIELD_AGAIN_NS = 5 * SECOND


class Following:
    """The table at one life of a node. running: the one that it goes by; renewing: it ends for a new one."""

    def __init__(self, agent: Agent, running: Table) -> None:
        self._agent = agent
        self.running = self._known = running
        self.place = running.agent_addresses(agent.member.node)  # where this life listens
        self._places = {agent.member.node: self.place}  # and the lives of the others, as they have told
        self.renewing = False
        self.waits = ""  # what the master waits for, in words
        self.applier = Applier(agent, self.wake)
        self._rolling = Rolling()
        self._reports: dict[str, Report] = {}
        self._asked: set[str] = set()  # whose answers are waited for
        self._looks = 0  # number of the look that is waited for
        self._looking = self._woken = False
        self._settling = False
        self._yields = 0
        self._yielding = ""  # the request of a switchover

    # ---- every agent ----

    def told(self, key: str, revision: int, value: bytes | None) -> None:
        """The ledger's watch tells a record."""
        if key in (CHANGE, CONFIG):
            self.applier.told(key, revision, value)

    def adopt(self, table: Table) -> None:
        """Take over what can be while this life runs; the rest is reported."""
        agent, before = self._agent, self._known
        self._known = table
        steps = [step.brief for step in plan(before, table, frozenset()).steps]
        taken, gone = taken_over(self.running, table, agent.member.node)
        nodes = {n: placed(row, self._places.get(n, [])) for n, row in taken.nodes.items()}
        self.running = msgspec.structs.replace(taken, nodes=nodes)
        for event in news(self.running, gone, agent.clock.now_ns):
            agent.feed(event)
        agent.retimed(self.running.times.silence_ns)
        agent.publish(
            TableTaken(
                term=agent.monitor.term,
                node=agent.member.node,
                revision=agent.records.table_revision,
                change="; ".join(steps) or "nothing that concerns running nodes",
                behind=list(self.report().behind),
            )
        )
        self.wake()

    def met(self, peer: str, place: list[Address]) -> None:
        """A life of another node has told where it listens: go by it."""
        agent, row = self._agent, self._agent.records.table.nodes.get(peer)
        self._places[peer] = place
        if row is None:
            return
        there = placed(row, place)
        if there != self.running.nodes.get(peer):
            self.running = msgspec.structs.replace(self.running, nodes=self.running.nodes | {peer: there})
            agent.feed(SettingsChanged(now_ns=agent.clock.now_ns, addresses=addresses(self.running)))

    def report(self) -> Report:
        """What this node says of its table."""
        agent, records = self._agent, self._agent.records
        behind = restarts(self.running, records.table, agent.member.node)
        return Report(agent.member.incarnation, records.table_revision, behind)

    def asked_report(self, stream: Stream) -> None:
        """The master asks for the report."""
        agent = self._agent
        stream.send(agent, agent.peer(stream).following.reported, agent.member.node, self.report())

    def asked_renew(self, incarnation: str, reason: str) -> None:
        """The master asks for a new life of this agent."""
        if self.report().behind and incarnation == self._agent.member.incarnation:
            self.renewing = True
            self._agent.depart(reason)

    # ---- when the master looks ----

    def wake(self) -> None:
        """There is something to look at."""
        if self._looking:
            self._woken = True
        else:
            self._look_in(SOON_NS)

    def _look_in(self, after_ns: int) -> None:
        self._looks += 1
        agent = self._agent
        self._looking = after_ns == SOON_NS
        agent.timer(agent.scheduler.now_ns + after_ns, self._look, self._looks)

    def _look(self, number: int) -> None:
        if number != self._looks:
            return
        agent = self._agent
        self._looking, self._woken = True, False
        if agent.monitor.role != "master":
            self._reports.clear()
            self._rolling.resigned()
            self._yielding, self.waits = "", ""
            self._pause(IDLE_NS)
        elif self.applier.machine.changes == Changes():
            self._looking = False
        else:
            self._collect()

    def _pause(self, ns: int) -> None:
        if self.applier.machine.changes != Changes():
            self._look_in(SOON_NS if self._woken else ns)
        else:
            self._looking = False

    def _collect(self) -> None:
        """Ask those members whose report is not the last word on the table that stands."""
        agent, me = self._agent, self._agent.member.node
        members, revision = agent.links.members, agent.records.table_revision
        self._reports = {n: r for n, r in self._reports.items() if n in members}
        self._reports[me] = self.report()
        self._asked = {m for m in members if m != me and m in agent.peers and self._open(m, revision)}
        for member in sorted(self._asked):
            stream = agent.peers[member]
            stream.send(agent, agent.peer(stream).following.asked_report, stream)
        if self._asked:
            agent.timer(agent.scheduler.now_ns + ASK_NS_MAX, self._act, self._looks)
        else:
            self._act(self._looks)

    def _open(self, member: str, revision: int) -> bool:
        known, peer = self._reports.get(member), self._agent.monitor.peers.get(member)
        life = peer.incarnation if peer is not None else ""
        return known is None or known.revision < revision or known.incarnation != life or bool(known.behind)

    def reported(self, member: str, report: Report) -> None:
        """A member has answered."""
        if member in self._asked:
            self._asked.discard(member)
            self._reports[member] = report
            if not self._asked:
                self._act(self._looks)

    # ---- what the master does ----

    def _act(self, number: int) -> None:
        """Do what can be done now, and look again later. number: of the look for which the reports were asked."""
        if number != self._looks:
            return
        self._asked = set()
        if self._agent.monitor.role == "master" and not self._settling and not self._yields_still():
            self._decide()
        self._pause(TICK_NS if self.applier.change is not None or self.waits else IDLE_NS)

    def _decide(self) -> None:
        view = self.view()
        look = self._look_of(view)
        self.waits = self.applier.proceed(look)
        if self.applier.machine.holds:
            return
        match self._rolling.decide(view):
            case Rest():
                if self._agent.records.table_revision >= self.applier.machine.revision:
                    self.applier.followed(look)
            case Wait(reason=reason):
                self.waits = reason
            case Settle(revision=revision):
                self.waits = "the times are changed"
                self._settle(revision)
            case Renew(node=member, reason=reason):
                self.waits = f"{member} restarts: {reason}"
                self._renew(member, reason)
            case Yield(to=to, reason=reason):
                self.waits = f"switchover to {to}: {reason}"
                self._yield(to, reason)

    def view(self) -> View:
        """What the master knows now."""
        agent = self._agent
        facts, records, current = agent.facts(), agent.records, agent.records.operations.current
        return View(
            now_ns=agent.clock.now_ns,
            me=agent.member.node,
            serving=agent.coordinator.serving.own_term == agent.monitor.term,
            busy=f"{current.function} {current.node} is in progress" if current is not None else "",
            nodes=facts.nodes,
            members=facts.members,
            vice=facts.vice,
            vice_ready=facts.vice_ready,
            able=tuple(p.entry.id for p in agent.monitor.peers if p.able),
            revision=records.table_revision,
            mixing=records.table.replaces is not None,
            reports=self._reports,
            leaving=self.applier.leaving,
        )

    def _look_of(self, view: View) -> Look:
        agent = self._agent
        return Look(
            now_ns=view.now_ns,
            wall_ms=agent.scheduler.now_ns // MS,
            term=agent.monitor.term,
            serving=view.serving,
            busy=view.busy,
            calm=self._rolling.against(view),
            operations=agent.records.operations,
            nodes=agent.records.entries,
        )

    def _settle(self, revision: int) -> None:
        """Write the new times alone: every member has those between."""
        agent = self._agent
        self._settling = True
        wanted = tables.encode(msgspec.structs.replace(agent.records.table, replaces=None))

        def answered(answer: SwapAnswer, _: int) -> None:
            agent.deliver(self._settled)

        agent.ledger.swap_key(agent.member.node, CONFIG, revision, wanted, answered)

    def _settled(self) -> None:
        self._settling = False  # whatever came of it, the next look at the table tells
        self.wake()

    def _renew(self, member: str, reason: str) -> None:
        agent, life = self._agent, self._reports[member].incarnation
        agent.publish(RestartAsked(term=agent.monitor.term, node=member, by=agent.member.node, reason=reason))
        stream = agent.peers.get(member)
        if stream is not None:
            stream.send(agent, agent.peer(stream).following.asked_renew, life, reason)

    def _yield(self, to: str, reason: str) -> None:
        agent = self._agent
        self._yields += 1
        self._yielding = id = f"yield-{agent.member.incarnation}-{self._yields}"

        def answered(answer: Answer) -> None:
            if answer.kind != "accepted":
                self._not_yielded(id)

        agent.ask("switchover", {"operation": id, "reason": reason, "to": to}, answered)

    def _yields_still(self) -> bool:
        """Whether the switchover that this master has asked for is not over, or has failed a moment ago."""
        known = self._agent.records.operations.known(self._yielding) if self._yielding else None
        if known is not None and known.outcome == "done":
            self._yielding = ""
        elif known is not None and known.outcome:
            self._not_yielded(self._yielding)
        return bool(self._yielding)

    def _not_yielded(self, id: str) -> None:
        agent = self._agent
        agent.timer(agent.scheduler.now_ns + YIELD_AGAIN_NS, self._yield_again, id)

    def _yield_again(self, id: str) -> None:
        if id == self._yielding:
            self._yielding = ""
