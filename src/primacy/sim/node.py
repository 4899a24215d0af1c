"""A simulated node: its guardian, and what outlives its processes (disk, clock, datagram keys).

The guardian starts the agent and, at its request, hosts. When the agent has died it takes the rights from the
lease pages, kills the hosts, and only then releases the obituary; then it starts a new life, with a new
incarnation. A node that has left in order stays out until an operator starts it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from primacy.machines import host_wire
from primacy.machines import membership as cmm
from primacy.machines.events import Event
from primacy.machines.ids import MS, Member
from primacy.machines.messages import Message, Obituary
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.agent import Agent
from primacy.sim.birth import born
from primacy.sim.cluster import Cluster
from primacy.sim.disk import Disk, Journal
from primacy.sim.host import Host
from primacy.sim.host_process import Around, HostProcess
from primacy.sim.network import Stream
from primacy.sim.process import Pipe, Process
from primacy.sim.records import File
from primacy.sim.scheduler import Clock

KILL_NS = (0, 3 * MS)
SPAWN_NS = (2 * MS, 12 * MS)
SAID_NS = (0, 3 * MS)
LEDGER_AGAIN_NS = (20 * MS, 60 * MS)
AGAIN_NS = (20 * MS, 300 * MS)
OBITUARIES = 10
OBITUARY_EVERY_NS = 100 * MS
KILLED = "was ended by signal 9"


class Node:
    """One machine of the cluster."""

    def __init__(self, id: str, cluster: Cluster, clock: Clock, source: random.Random) -> None:
        self.id, self.cluster, self.clock, self.random = id, cluster, clock, source
        self.guardian = Process(f"guardian of {id}", cluster.scheduler)
        self.disk = Disk()
        self.journals = {id: Journal(source, self.disk) for id in cluster.settings.centralized}
        self.lives = 0
        self.agent: Agent | None = None
        self.hosts: list[HostProcess] = []  # all that were not reaped, in the order of their start
        self.keys: dict[str, str] = {}  # peer -> incarnation with which this life can talk
        self.former: list[tuple[Member, dict[str, str]]] = []  # earlier lives with their keys
        self.failures: dict[str, tuple[int, int]] = {}  # what the last life has told of its servers
        self.notices = File()
        self.moods: dict[str, list[str]] = {}  # service -> how its callbacks fail here now
        self.host_came: Callable[[Host], None] = lambda host: None
        self._spawning: dict[str, int] = {}

    @property
    def member(self) -> Member | None:
        """The present life, if there is one."""
        return self.agent.member if self.agent is not None else None

    def host(self, service: str = "") -> HostProcess | None:
        """The present host process of a service (or of the one that faults mean), if one runs."""
        service = service or self.cluster.settings.subject
        return next((h for h in reversed(self.hosts) if h.alive and h.service == service), None)

    def primary(self, service: str) -> Host | None:
        """The present host of a centralized service, if one runs."""
        host = self.host(service)
        return host if isinstance(host, Host) else None

    def processes(self, what: str) -> list[Process]:
        """What a freeze is about: `node`, `agent` or `host` (of the service that faults mean)."""
        agent: list[Process] = [self.agent] if self.agent is not None else []
        hosts: list[Process] = [host for host in self.hosts if host.alive]
        one: list[Process] = [host for host in self.hosts if host.alive and host is self.host()]
        return {"node": [self.guardian, *agent, *hosts], "agent": agent, "host": one}[what]

    # ---- lives ----

    def start(self) -> None:
        """Begin a new life, as soon as the ledger tells of the table; a node that is not in it does not start."""
        if self.agent is not None or not self.guardian.alive:
            return
        cluster = self.cluster
        if cluster.ledger.line(self.id).silent:
            self.guardian.timer(self._after(int(self.random.uniform(*LEDGER_AGAIN_NS))), self.start)
            return
        rows = dict(cluster.ledger.values)
        if CONFIG not in rows or self.id not in tables.decode(rows[CONFIG]).nodes:
            return
        self._kill_hosts(abruptly=False)  # leftovers of an earlier life, before the first hello
        self.lives += 1
        self.keys, self._spawning = {}, {}
        agent = born(self, rows)
        self.agent = agent
        cluster.watcher.note(self.id, f"starts as {agent.member.incarnation}")
        agent.deliver(agent.start)

    def agent_crash(self, obituary: str, late_ns: int, restart_ns: int, why: str = "has died") -> None:
        """The agent dies; obituary: `sent`, `late` or `lost`; a new life begins after `restart_ns` (-1: never)."""
        if self.agent is None or not self.agent.alive:
            return
        agent = self.agent
        agent.kill()
        self.cluster.ledger.unwatch(self.id)
        name = agent.member.incarnation
        self.cluster.watcher.note(self.id, f"the agent {name} {why} (obituary {obituary})")
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

    def power_loss(self, how: str = "") -> None:
        """Everything stops in an instant; what was not synced is lost; nobody tells anybody.

        how: `silent`: its streams are half-open from now on; `torn`: so is what was being written; or both.
        """
        if "silent" in how:
            self.cluster.network.fall_silent(self.id)
        if self.agent is not None:
            self.former.append((self.agent.member, self.keys))
            self.agent.kill(abruptly=True)
        self.agent = None
        self.cluster.ledger.unwatch(self.id)
        self.guardian.kill()
        self._kill_hosts(abruptly=True)
        for journal in self.journals.values():
            journal.power_lost(torn="torn" in how)
        self.cluster.watcher.note(self.id, "has lost its power")

    def power_on(self) -> None:
        """The machine comes back with a new guardian."""
        if not self.guardian.alive:
            self.guardian = Process(f"guardian of {self.id}", self.cluster.scheduler)
            self.cluster.network.speak(self.id)
            self.start()

    def _kill_hosts(self, *, abruptly: bool) -> None:
        for host in self.hosts:
            if host.alive:
                host.kill(abruptly=abruptly)
            self.cluster.watcher.gone(host)
        self.hosts.clear()

    def _after(self, delay_ns: int) -> int:
        return self.cluster.scheduler.now_ns + delay_ns

    # ---- hosts ----

    def spawn_host(self, agent: Agent, service: str) -> None:
        """Start a host; its agent hears when it is open."""
        at_ns = self._after(int(self.random.uniform(*SPAWN_NS)))
        self._spawning[service] = at_ns
        self.guardian.timer(at_ns, self._spawn, agent, service)

    def _spawn(self, agent: Agent, service: str) -> None:
        if agent is not self.agent or not agent.alive:
            return
        cluster, row = self.cluster, self.cluster.settings.row(service)
        around = Around(
            observer=cluster.watcher,
            network=cluster.network,
            snapshot_every=cluster.settings.snapshot_every,
            find=self._find,
            said=self._said,
            ended=self._ended,
            mood=lambda service: (self.moods.get(service) or [""])[-1],
            uptime_times=cluster.settings.uptime_times,
        )
        host: HostProcess
        if row.local:
            host = HostProcess(row, agent.member, cluster.scheduler, self.clock, self.random, around)
        else:
            journal = self.journals.setdefault(service, Journal(self.random, self.disk))
            host = Host(row, agent.member, cluster.scheduler, self.clock, journal, self.random, around)
        if agent.frozen and self.guardian.frozen:
            host.freeze()
        self.hosts.append(host)
        agent.deliver(agent.host_started, host, Pipe(host, self.random))
        host.deliver(host.open)
        if isinstance(host, Host):
            self.host_came(host)

    def _find(self, member: Member, service: str) -> HostProcess | None:
        node = self.cluster.nodes[member.node]
        return node.host(service) if node.member == member else None

    def _said(self, host: HostProcess, message: host_wire.ToAgent) -> None:
        """A host tells its agent something, in order."""
        if isinstance(message, host_wire.Failed):
            self.cluster.watcher.note(self.id, f"the host of {host.service} ends: {message.text}")
        if self.agent is not None and self.agent.member == host.member:
            host.said_ns = max(host.said_ns, self._after(int(self.random.uniform(*SAID_NS))))
            self.agent.timer(host.said_ns, self.agent.host_said, host, message)

    def _ended(self, host: HostProcess, how: str) -> None:
        """A host has ended by itself; the guardian reaps it a moment later."""
        self.guardian.timer(self._after(int(self.random.uniform(*KILL_NS))), self.host_crash, host, how)

    def kill_host(self, agent: Agent, service: str) -> None:
        """End a host at its agent's request; one that is just being started is ended when it is there."""
        at_ns = self._after(int(self.random.uniform(*KILL_NS)))
        self.guardian.timer(max(at_ns, self._spawning.get(service, 0)), self._kill_host, agent, service)

    def _kill_host(self, agent: Agent, service: str) -> None:
        host = self.host(service)
        if agent is self.agent and host is not None:
            self.host_crash(host)

    def host_crash(self, host: HostProcess, how: str = KILLED) -> None:
        """A host dies; the agent hears of it a moment later, after all that the host had said."""
        if host in self.hosts:
            if host.alive:
                host.kill()
            self.hosts.remove(host)
            self.cluster.watcher.gone(host)
            if self.agent is not None:
                at_ns = max(host.said_ns, self._after(int(self.random.uniform(0, MS))))
                self.agent.timer(at_ns, self.agent.host_exited, host, how)

    # ---- the network ----

    def send(self, agent: Agent, node: str, message: Message) -> None:
        """Send to the peer's life that this one has exchanged keys with."""
        incarnation = self.keys.get(node)
        if incarnation is not None:
            self._datagram(agent.member, node, incarnation, message)

    def _datagram(self, sender: Member, node: str, incarnation: str, message: Message) -> None:
        target = self.cluster.nodes[node]
        lives, sealed = (sender.incarnation, incarnation), isinstance(message, Obituary)
        self.cluster.network.datagram(
            self.id, node, lives, target.arrived, sender, incarnation, message, sealed=sealed
        )

    def arrived(self, sender: Member, incarnation: str, message: Message) -> None:
        """A datagram for one life of this node is here."""
        agent = self.agent
        if agent is not None and agent.member.incarnation == incarnation:
            agent.deliver_datagram(agent.received, sender, message)

    def greet(self, agent: Agent, node: str, message: Message) -> None:
        """Say hello; it needs no keys. The receiver then exchanges keys with this node's present life."""
        target = self.cluster.nodes[node]
        lives = (agent.member.incarnation, f"hello {node}")  # any life of that node
        self.cluster.network.datagram(self.id, node, lives, target.hello, agent.member, message)

    def hello(self, sender: Member, message: Message) -> None:
        """A hello is here."""
        if self.agent is not None:
            self.agent.deliver_datagram(self._greeted, sender, message)

    def _greeted(self, sender: Member, message: Message) -> None:
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
        """The keys of both present lives are exchanged over a stream, if both still are there."""
        there = self.cluster.nodes[node]
        other = there.agent
        if agent is not self.agent or not agent.alive or other is None or not other.alive:
            return
        if node not in agent.records.table.nodes or self.id not in other.records.table.nodes:
            return  # one of them knows nothing of the other (yet)
        known = agent.peers.get(node)
        if known is None or known.other(agent) is not other:
            stream = Stream(self.cluster.network, (agent, other), (self.id, node), _closed)
            agent.connected(node, stream)
            other.connected(self.id, stream)
            agent.following.met(node, other.following.place)
            other.following.met(self.id, agent.following.place)
        self.keys[node] = other.member.incarnation
        there.keys[self.id] = agent.member.incarnation

    # ---- the end of a life ----

    def give_up(self, agent: Agent, reason: str) -> None:
        """The agent ends this life of the node; its guardian does the rest."""
        self.failures = agent.coordinator.recovery.counts()
        self.agent_crash("sent", 0, 100 * MS, f"ends its life: {reason}")

    def ended(self, agent: Agent, reason: str) -> None:
        """The agent has ended in order; when the obituary is out its guardian ends, too, or begins a new life."""
        again_ns = int(self.random.uniform(*AGAIN_NS)) if agent.following.renewing else -1
        self.agent_crash("sent", 0, again_ns, f"has ended in order: {reason}")

    def agent_broken(self, agent: Agent, error: Exception) -> None:
        """The agent ends because of a bug; its guardian does the rest."""
        self.cluster.watcher.bug(agent.name, error)
        self.agent_crash("sent", 0, 100 * MS)

    # ---- who looks on ----

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

    def published(self, agent: Agent, event: Event) -> None:
        """Pass on to who looks on."""
        self.cluster.watcher.published(self.id, event)

    def ordered(self, host: HostProcess, message: host_wire.ToHost) -> None:
        """Pass on to who looks on."""
        self.cluster.watcher.levels.ordered(host, message)

    def heard(self, host: HostProcess, message: host_wire.ToAgent) -> None:
        """Pass on to who looks on."""
        self.cluster.watcher.levels.heard(host, message)

    def exited(self, host: HostProcess) -> None:
        """Pass on to who looks on."""
        self.cluster.watcher.levels.exited(host)


def _closed(end: Process, stream: Stream) -> None:
    assert isinstance(end, Agent)
    end.stream_closed(stream)
