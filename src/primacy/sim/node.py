"""A simulated node: its guardian, and what outlives its processes (disk, clock, datagram keys).

The guardian starts the agent and, at its request, hosts. When the agent has died it takes the rights from the
lease pages, kills the hosts, and only then releases the obituary; then it starts a new life, with a new
incarnation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from primacy.machines import membership as cmm
from primacy.machines.ids import MS, Member
from primacy.machines.mastership import Monitor
from primacy.machines.messages import Message, Obituary
from primacy.machines.swap import Purpose
from primacy.machines.timing import Timing
from primacy.sim.agent import Agent
from primacy.sim.disk import Journal
from primacy.sim.host import Around, Host, Observer
from primacy.sim.line import Ledger
from primacy.sim.network import Network
from primacy.sim.process import Process
from primacy.sim.scheduler import Clock, Scheduler

CLUSTER = "simulation"
KILL_NS = (0, 3 * MS)
SPAWN_NS = (2 * MS, 12 * MS)
OBITUARIES = 10
OBITUARY_EVERY_NS = 100 * MS


class Watcher(Observer, Protocol):
    """Who looks on: the checkers and the timeline."""

    def granted(self, member: Member, effect: cmm.Grant, page_valid: bool) -> None:
        """An agent has written a primary's lease page."""

    def swapping(self, member: Member, effect: cmm.SwapRecord, page_valid: bool, purpose: Purpose) -> None:
        """An agent sends a swap. page_valid: its primaries may answer meanwhile."""

    def acknowledging(self, member: Member, effect: cmm.Acknowledge) -> None:
        """An agent lets its secondaries acknowledge."""

    def note(self, place: str, sentence: str) -> None:
        """Something worth a line in the timeline has happened."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all nodes of a simulated cluster have in common."""

    timing: Timing
    durability: str
    snapshot_every: int
    table: tuple[cmm.NodeEntry, ...]
    availability: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a node sees of the world."""

    scheduler: Scheduler
    network: Network
    ledger: Ledger
    watcher: Watcher
    settings: Settings
    nodes: dict[str, Node]


class Node:
    """One machine of the cluster."""

    def __init__(self, id: str, cluster: Cluster, clock: Clock, source: random.Random) -> None:
        self.id, self.cluster, self.clock, self.random = id, cluster, clock, source
        self.guardian = Process(f"guardian of {id}", cluster.scheduler)
        self.journal = Journal(source)
        self.lives = 0
        self.agent: Agent | None = None
        self.hosts: list[Host] = []  # all that were not reaped, the present one last
        self.keys: dict[str, str] = {}  # peer -> incarnation with which this life can talk
        self.former: list[tuple[Member, dict[str, str]]] = []  # earlier lives with their keys
        self.slow_disk = 1
        self.host_came: Callable[[Host], None] = lambda host: None

    @property
    def member(self) -> Member | None:
        """The present life, if there is one."""
        return self.agent.member if self.agent is not None else None

    @property
    def host(self) -> Host | None:
        """The present host process, if one runs."""
        return next((host for host in reversed(self.hosts) if host.alive), None)

    def processes(self, what: str) -> list[Process]:
        """What a freeze is about: `node`, `agent` or `host`."""
        agent: list[Process] = [self.agent] if self.agent is not None else []
        hosts: list[Process] = [host for host in self.hosts if host.alive]
        return {"node": [self.guardian, *agent, *hosts], "agent": agent, "host": hosts}[what]

    # ---- lives ----

    def start(self) -> None:
        """Begin a new life."""
        if self.agent is not None or not self.guardian.alive:
            return
        cluster, settings = self.cluster, self.cluster.settings
        self._kill_hosts(abruptly=False)  # leftovers of an earlier life, before the first hello
        self.lives += 1
        self.keys = {}
        member = Member(self.id, f"{self.id}.{self.lives}")
        monitor = Monitor(
            member,
            CLUSTER,
            settings.timing,
            settings.table,
            self.clock.now_ns,
            volatile=settings.durability == "memory",
            availability=settings.availability,
        )
        self.agent = Agent(member, self, monitor, cluster.scheduler, self.clock, cluster.ledger, self.random)
        cluster.watcher.note(self.id, f"starts as {member.incarnation}")
        self.agent.start()

    def agent_crash(self, obituary: str, late_ns: int, restart_ns: int) -> None:
        """The agent dies; obituary: `sent`, `late` or `lost`; a new life begins after `restart_ns` (-1: never)."""
        if self.agent is None:
            return
        agent = self.agent
        agent.kill()
        self.cluster.ledger.watchers.pop(self.id, None)
        self.cluster.watcher.note(
            self.id, f"the agent {agent.member.incarnation} has died (obituary {obituary})"
        )
        after_ns = int(self.random.uniform(*KILL_NS))
        self.guardian.timer(self._after(after_ns), self._bury, agent, obituary, late_ns, restart_ns)

    def _bury(self, agent: Agent, obituary: str, late_ns: int, restart_ns: int) -> None:
        if agent is not self.agent:
            return  # the power went first
        for page in agent.pages.values():
            page.revoke()
        after_ns = int(self.random.uniform(*KILL_NS))
        self.guardian.timer(self._after(after_ns), self._reaped, agent, obituary, late_ns, restart_ns)

    def _reaped(self, agent: Agent, obituary: str, late_ns: int, restart_ns: int) -> None:
        if agent is not self.agent:
            return
        self._kill_hosts(abruptly=False)
        self.agent = None
        self.former.append((agent.member, self.keys))
        if obituary != "lost":
            delay_ns = late_ns if obituary == "late" else 0
            self.guardian.timer(self._after(delay_ns), self._release, agent.member, self.keys, OBITUARIES)
        if restart_ns >= 0:
            self.guardian.timer(self._after(restart_ns), self.start)

    def _release(self, member: Member, keys: dict[str, str], times: int) -> None:
        """Send the obituary to all with whom that life could talk."""
        for node, incarnation in keys.items():
            self._datagram(member, node, incarnation, Obituary(member))
        if times > 1:
            self.guardian.timer(self._after(OBITUARY_EVERY_NS), self._release, member, keys, times - 1)

    def repeat_obituary(self) -> None:
        """An obituary of an earlier life arrives (again), long after."""
        if self.former:
            member, _ = self.former[-1]
            for peer in self.cluster.nodes.values():
                if peer is not self and peer.agent is not None:
                    self._datagram(member, peer.id, peer.agent.member.incarnation, Obituary(member))

    def power_loss(self) -> None:
        """Everything stops in an instant; what was not synced is lost; nobody tells anybody."""
        if self.agent is not None:
            self.former.append((self.agent.member, self.keys))
            self.agent.kill()
        self.agent = None
        self.cluster.ledger.watchers.pop(self.id, None)
        self.guardian.kill()
        self._kill_hosts(abruptly=True)
        self.journal.power_lost()
        self.cluster.watcher.note(self.id, "has lost its power")

    def power_on(self) -> None:
        """The machine comes back with a new guardian."""
        if not self.guardian.alive:
            self.guardian = Process(f"guardian of {self.id}", self.cluster.scheduler)
            self.start()

    def _kill_hosts(self, *, abruptly: bool) -> None:
        for host in self.hosts:
            if host.alive:
                host.kill(abruptly=abruptly)
        self.hosts.clear()

    def _after(self, delay_ns: int) -> int:
        return self.cluster.scheduler.now_ns + delay_ns

    # ---- what the agent asks for ----

    def spawn_host(self, agent: Agent) -> None:
        """Start a host; its agent hears when it is open."""
        self.guardian.timer(self._after(int(self.random.uniform(*SPAWN_NS))), self._spawn, agent)

    def _spawn(self, agent: Agent) -> None:
        if agent is not self.agent or not agent.alive:
            return
        cluster, settings = self.cluster, self.cluster.settings
        around = Around(
            observer=cluster.watcher,
            network=cluster.network,
            durability=settings.durability,
            snapshot_every=settings.snapshot_every,
            find=self._find,
            tell=self._telling(agent),
        )
        host = Host(agent.member, cluster.scheduler, self.clock, self.journal, self.random, around)
        host.writer.slow = self.slow_disk
        if agent.frozen and self.guardian.frozen:
            host.freeze()
        self.hosts.append(host)
        agent.deliver(agent.host_opened, host)
        self.host_came(host)

    def _find(self, member: Member) -> Host | None:
        node = self.cluster.nodes[member.node]
        return node.host if node.member == member else None

    def _telling(self, agent: Agent) -> Callable[..., None]:
        last = [0]

        def tell(what: str, *arguments: object) -> None:
            if what == "failed":
                self.cluster.watcher.note(self.id, f"the host ends: {arguments[0]}")
                self.guardian.timer(self._after(MS), self._reap)
                return
            delay_ns = int(self.random.uniform(0, 3 * MS))
            last[0] = max(last[0], self._after(delay_ns))
            agent.timer(last[0], getattr(agent, what), *arguments)

        return tell

    def kill_host(self, agent: Agent, host: Host) -> None:
        """End a host at its agent's request."""
        self.guardian.timer(self._after(int(self.random.uniform(*KILL_NS))), self.host_crash, host)

    def _reap(self) -> None:
        for host in [host for host in self.hosts if not host.alive]:
            self.host_crash(host)

    def host_crash(self, host: Host) -> None:
        """A host dies; the agent hears of it a moment later."""
        if host in self.hosts:
            if host.alive:
                host.kill()
            self.hosts.remove(host)
            if self.agent is not None:
                self.agent.timer(self._after(int(self.random.uniform(0, MS))), self.agent.host_died, host)

    def send(self, agent: Agent, node: str, message: Message) -> None:
        """Send to the peer's life that this one has exchanged keys with."""
        incarnation = self.keys.get(node)
        if incarnation is not None:
            self._datagram(agent.member, node, incarnation, message)

    def _datagram(self, sender: Member, node: str, incarnation: str, message: Message) -> None:
        target = self.cluster.nodes[node]

        def deliver() -> None:
            agent = target.agent
            if agent is not None and agent.member.incarnation == incarnation:
                agent.deliver_datagram(agent.received, sender, message)

        lives = (sender.incarnation, incarnation)
        sealed = isinstance(message, Obituary)
        self.cluster.network.datagram(self.id, node, deliver, lives, sealed=sealed)

    def greet(self, agent: Agent, node: str, message: Message) -> None:
        """Say hello; it needs no keys. The receiver then exchanges keys with this node's present life."""
        target = self.cluster.nodes[node]

        def deliver() -> None:
            if target.agent is not None:
                target.agent.deliver_datagram(target.greeted, agent.member, message)

        self.cluster.network.datagram(self.id, node, deliver, (agent.member.incarnation, f"hello {node}"))

    def greeted(self, sender: Member, message: Message) -> None:
        """A hello is here."""
        agent = self.agent
        assert agent is not None
        if self.keys.get(sender.node) != sender.incarnation:
            network = self.cluster.network
            there, back = network.route(self.id, sender.node), network.route(sender.node, self.id)
            if there.open and back.open:
                round_ns = network.delay_ns(there) + network.delay_ns(back)
                self.cluster.scheduler.after(round_ns, self._exchange, agent, sender.node)
        agent.received(sender, message)

    def _exchange(self, agent: Agent, node: str) -> None:
        """The keys of both present lives are exchanged, if both still are there."""
        other = self.cluster.nodes[node]
        if agent is self.agent and agent.alive and other.agent is not None and other.agent.alive:
            self.keys[node] = other.agent.member.incarnation
            other.keys[self.id] = agent.member.incarnation

    def give_up(self, agent: Agent) -> None:
        """The agent ends this life of the node; its guardian does the rest."""
        self.cluster.watcher.note(self.id, "lost the state in its primary's memory: this life ends")
        self.agent_crash("sent", 0, 100 * MS)

    def agent_broken(self, agent: Agent, error: Exception) -> None:
        """The agent ends because of a bug; its guardian does the rest."""
        self.cluster.watcher.bug(agent.name, error)
        self.agent_crash("sent", 0, 100 * MS)

    def swapping(self, agent: Agent, effect: cmm.SwapRecord) -> None:
        """Pass on to who looks on."""
        page = agent.pages.get(effect.record.term)
        until_ns = page.valid_until_ns if page is not None else 0
        swap = agent.monitor.swap
        assert swap is not None
        valid = agent.monitor.now_ns < until_ns or swap.uncertain  # a repetition asks for nothing new
        self.cluster.watcher.swapping(agent.member, effect, valid, swap.purpose)

    def granted(self, agent: Agent, effect: cmm.Grant) -> None:
        """Pass on to who looks on."""
        valid = self.clock.now_ns < effect.until_ns
        self.cluster.watcher.granted(agent.member, effect, valid)

    def acknowledging(self, agent: Agent, effect: cmm.Acknowledge) -> None:
        """Pass on to who looks on."""
        self.cluster.watcher.acknowledging(agent.member, effect)

    def published(self, agent: Agent, sentence: str) -> None:
        """Pass on to who looks on."""
        self.cluster.watcher.note(self.id, sentence)
