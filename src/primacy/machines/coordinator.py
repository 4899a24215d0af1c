"""The system services coordinator (SSC) of one node: it takes this node's services through the functions.

It follows what the membership monitor says of this node's place, keeps every server on its way to what it should be
(servers.py), runs callback sequences level by level (runs.py), and drives the functions that an operator asks for
(switchover.py, departure.py). Initialization is master first: each other node starts a level when the master has
completed it. When a master's last level is complete it serves, and every node reconnects (serving.py).  Pure; one
input at a time, effects in the order to obey them.
"""

from __future__ import annotations

from typing import assert_never

from primacy.machines import host_wire, membership, peer_wire
from primacy.machines.coordination import (
    Asked,
    Effect,
    Feed,
    HostExited,
    HostSaid,
    Input,
    KeySwapped,
    Maintained,
    MembersChanged,
    Membership,
    NodesChanged,
    PeerSaid,
    Publish,
    RecordChanged,
    ServiceEntry,
    ServicesGone,
    SettingsChanged,
    Started,
    Terminate,
    Tick,
    ToHost,
    Wake,
)
from primacy.machines.departure import Departure
from primacy.machines.events import ServiceNote
from primacy.machines.functions import Functions
from primacy.machines.ids import Member, ServerState
from primacy.machines.initialization import Initialization
from primacy.machines.key_writer import KeyWriter
from primacy.machines.ladder import AVAILABLE, Ladder
from primacy.machines.records import OPERATION, Mastership, brief
from primacy.machines.recovery import Recovery
from primacy.machines.rescue import Rescue
from primacy.machines.retiring import Retiring
from primacy.machines.runs import Runs
from primacy.machines.servers import Server, Servers
from primacy.machines.serving import Serving
from primacy.machines.swap import Outcome, Purpose
from primacy.machines.switchover import Switchover


class Coordinator:
    """The machine of one incarnation of one node.

    services: rows of the table. addresses: per node and centralized service, where its host listens. nodes: the rows of
    the nodes with their records; a node that is not among them is available. auto_promote: see functions.py.
    """

    def __init__(
        self,
        me: Member,
        services: tuple[ServiceEntry, ...],
        addresses: dict[str, dict[str, list[tuple[str, int]]]],
        now_ns: int,
        *,
        nodes: tuple[membership.NodeEntry, ...] = (),
        auto_promote: bool = True,
        failures: dict[str, tuple[int, int]] | None = None,
    ) -> None:
        self.me, self.node, self.addresses = me, me.node, addresses
        self.now_ns = now_ns
        self.place: membership.Became | None = None
        self.members: tuple[str, ...] = (me.node,)
        self.nodes = nodes
        self.held = ""  # why mastership does not move by itself now
        self.maintained: frozenset[str] = frozenset()  # nodes that are given no role now
        self.ladder = Ladder(self, self.own)
        self.writer = KeyWriter(self)
        self.functions = Functions(self, auto_promote)
        centralized = [Server(s.id, s) for s in services if not s.local]
        self.servers = Servers(self, centralized, [Server(s.id, s) for s in services if s.local])
        self.runs = Runs(self)
        self.switchover = Switchover(self)
        self.departure = Departure(self)
        self.initialization = Initialization(self)
        self.serving = Serving(self)
        self.rescue = Rescue(self)
        self.recovery = Recovery(self, failures or {})
        self.retiring = Retiring(self)
        self.record: Mastership | None = None
        self.broken_appointment = 0  # as vice: a server of this appointment was lost
        self._joined: set[str] = set()
        self._appointment = 0
        self._health: tuple[bool, bool, int, bool, bool] | None = None
        self._out: list[Effect] = []
        self._wake_ns = 0

    def step(self, event: Input) -> list[Effect]:
        """Take one input; return the effects, in the order to obey them."""
        self._out = []
        self.now_ns = event.now_ns
        self._wake_ns = 0
        match event:
            case HostSaid(service=service) | HostExited(service=service) if (
                service not in self.servers.by_service
            ):
                self.retiring.heard(event)
            case HostSaid(service=service, message=message):
                self._host_said(service, message)
            case HostExited(service=service, reason=reason):
                self._host_exited(service, reason)
            case Membership(effect=effect):
                self._membership(effect)
            case PeerSaid():
                self._peer_said(event)
            case MembersChanged(nodes=nodes):
                self.members = nodes
                self.serving.tell_members()
            case Asked():
                self._asked(event)
            case Terminate(reason=reason, facts=facts):
                self.departure.begin(reason, stopped=False, facts=facts)
            case NodesChanged(nodes=nodes):
                self.nodes = nodes
                self.ladder.told(self.own)
            case RecordChanged():
                if self.writer.told(event) and event.key == OPERATION:
                    self.functions.told(event)
            case KeySwapped():
                self.writer.swapped(event)
            case Maintained(cluster=held, nodes=nodes):
                self.held, self.maintained = held, nodes
            case ServicesGone(services=services):
                self._gone(services)
            case SettingsChanged(addresses=addresses, auto_promote=auto_promote):
                self.addresses.update(addresses)
                if auto_promote is not None:
                    self.functions.auto_promote = auto_promote
            case Started() | Tick():
                pass
        self._settle()
        self.runs.wake()
        if self._wake_ns:
            self.emit(Wake(self._wake_ns))
        return self._out

    def emit(self, effect: Effect) -> None:
        """Add an effect after the ones before."""
        self._out.append(effect)

    def wake(self, at_ns: int) -> None:
        """Ask for a tick at this instant at the latest."""
        at_ns = max(at_ns, self.now_ns + 1)
        self._wake_ns = min(self._wake_ns, at_ns) if self._wake_ns else at_ns

    @property
    def term(self) -> int:
        """Term of the newest known record."""
        return self.record.term if self.record is not None else 0

    @property
    def role(self) -> str:
        """master | vice | member, as the membership monitor said last."""
        return self.place.role if self.place is not None else "member"

    @property
    def held_here(self) -> str:
        """Why mastership does not leave this node by itself now; empty when it may.

        A switchover that was asked for, and cannot be completed here, may still go back to where it came from.
        """
        arriving = self.place is not None and self.place.how == "switchover" and not self.serving.serves
        return "" if arriving else self.held

    @property
    def own(self) -> membership.NodeEntry:
        """The row of this node."""
        return next((n for n in self.nodes if n.id == self.node), membership.NodeEntry(self.node))

    def peer(self, service: str, member: Member) -> host_wire.Peer:
        """Where that member's host of the service listens."""
        return host_wire.Peer(member, self.addresses.get(member.node, {}).get(service, []))

    def primaries(self, message: host_wire.ToHost) -> None:
        """Send a message to every host of a centralized service here."""
        for server in self.servers.centralized:
            if server.process == "open":
                self.emit(ToHost(server.service, message))

    # ---- inputs ----

    def _host_said(self, service: str, message: host_wire.ToAgent) -> None:
        match message:
            case host_wire.Opened():
                self.servers.opened(service, message)
                self.initialization.opened(self.servers.by_service[service])
            case host_wire.Failed(text=text):
                self.servers.by_service[service].error = brief(text)
            case host_wire.Ran():
                self.runs.ran(message)
            case host_wire.Joined(term=term, appointment=appointment):
                if term == self.term and appointment == self._appointment:
                    self._joined.add(service)
                    self._all_joined()
            case host_wire.MirrorStalled(term=term, appointment=appointment):
                stalled = membership.Stalled(
                    now_ns=self.now_ns, term=term, appointment=appointment, service=service
                )
                self.feed(stalled)
            case host_wire.Quiesced():
                self.switchover.quiesced(service, message.term)
                self.departure.quiesced(service, message)
            case host_wire.Stopped() | host_wire.Confirm() | host_wire.Pong():
                pass  # what is waited for is the end of its process; the other two are the agent's own matter
            case host_wire.Progress(term=term, acknowledged=acknowledged):
                if term == self.term and acknowledged < 0 and self.record and self.record.ready_vice is None:
                    self.servers.progressed(service, message.sequence, message.synced)
            case host_wire.Unhealthy(term=term, failures=failures, reason=reason):
                if term == self.term:
                    self.recovery.unhealthy(service, failures, reason)
            case host_wire.Note(kind=kind, text=text):
                note = ServiceNote(term=self.term, node=self.node, service=service, kind=kind, text=text)
                self.emit(Publish(note))
            case _:
                assert_never(message)

    def _gone(self, services: tuple[str, ...]) -> None:
        """Services were taken out of the table: nothing counts on them from now on."""
        self.retiring.begin(services)
        for service in services:
            self.recovery.forget(service)
            self.switchover.quiesced(service, self.term)
        self._all_joined()

    def _all_joined(self) -> None:
        """Tell the monitor when the vice has joined every mirror of this appointment."""
        if self._joined and self._joined >= {s.service for s in self.servers.centralized}:
            self.feed(membership.Joined(now_ns=self.now_ns, term=self.term, appointment=self._appointment))

    def _host_exited(self, service: str, reason: str) -> None:
        server = self.servers.by_service[service]
        reason = server.error or reason
        expected, since_ns = server.process == "ending", max(server.since_ns, server.started_ns)
        judged = server.process == "failing"
        before = self.servers.exited(service, reason)
        self.runs.lost(service, f"its host {reason}", judged=judged)
        self.departure.stopped(service)
        if self.departure.under_way or expected:
            return
        if before is ServerState.SECONDARY and self.role == "vice":
            self.broken_appointment = self._appointment
        self.recovery.exited(server, before, since_ns, reason)

    def _membership(self, effect: object) -> None:
        match effect:
            case membership.Adopted(record=record):
                self.record = record
            case membership.Became():
                self._became(effect)
            case membership.Appointed(term=term, appointment=appointment, vice=vice):
                self._appointment = appointment
                self._joined = set()
                for server in self.servers.centralized:
                    if server.state is ServerState.PRIMARY:
                        peer = self.peer(server.service, vice)
                        self.emit(ToHost(server.service, host_wire.Appoint(term, appointment, peer)))
            case membership.ViceReady(term=term, appointment=appointment):
                self.servers.mirrored()
                self.primaries(host_wire.Ready(term, appointment))
            case membership.Alone(term=term):
                self.primaries(host_wire.Alone(term))
            case membership.Served(term=term):
                self.serving.served(term)
            case membership.Closed(purpose=purpose, outcome=outcome):
                self._closed(purpose, outcome)

    def _closed(self, purpose: Purpose, outcome: Outcome) -> None:
        self.switchover.closed(purpose, outcome)
        self.departure.closed(purpose, outcome)
        self.rescue.closed(purpose, outcome)

    def _became(self, place: membership.Became) -> None:
        self.serving.cancel()
        self.place = place
        self.servers.mirrored()
        self.rescue.forget()
        self.recovery.became(place)
        self._appointment = place.record.appointment
        self._joined = set()
        self.switchover.became(place)

    def _peer_said(self, event: PeerSaid) -> None:
        message = event.message
        match message:
            case peer_wire.Progress():
                self.initialization.heard(Member(event.node, event.incarnation), message)
            case peer_wire.EndNode():
                self.departure.told(event.node, message)
            case peer_wire.Do():
                self.ladder.do(message)
            case peer_wire.FunctionDone():
                self.functions.done(event.node, message)
            case peer_wire.Leave():
                self.feed(
                    membership.Leaving(now_ns=self.now_ns, member=Member(event.node, event.incarnation))
                )
            case _:
                assert_never(message)

    def _asked(self, event: Asked) -> None:
        if event.verb == "shutdown" and event.arguments.get("node") is None:
            self.departure.asked(event)
        else:
            self.functions.asked(event)

    # ---- towards what should be ----

    def _settle(self) -> None:
        self.departure.proceed()
        if self.departure.under_way:
            self.serving.end_former_reconnect()
            self.runs.tick()
            return
        self.runs.tick()
        self.switchover.proceed()
        self.ladder.proceed()
        self.initialization.proceed()
        self.recovery.proceed()
        if self.record is None or self.record.stopped is None:
            self.servers.settle()
        self.rescue.proceed()
        self.retiring.proceed()
        self.serving.proceed()
        self.writer.proceed()
        self.functions.proceed()
        self._report_health()

    def feed(self, event: membership.Input) -> None:
        """Give an input to the membership monitor."""
        self.emit(Feed(event))

    def _report_health(self) -> None:
        """Tell the monitor whether this node may be appointed, and whether it mirrors as vice."""
        opened = all(s.position is not None for s in self.servers.centralized)
        complete = not any(s.incomplete for s in self.servers.centralized)
        ready = self.servers.all_ready()
        fresh = all(s.assigned == ("available", 0, 0) for s in self.servers.centralized)
        able = bool(self.servers.centralized) and ready and fresh and self.role == "member"
        able = able and self.ladder.rung == AVAILABLE and not self.ladder.moving and self.recovery.able()
        healthy = self.role != "vice" or self.broken_appointment != self._appointment
        state = (able, healthy, self._appointment if self.role == "vice" else 0, opened, complete)
        if state == self._health:
            return
        self._health = state
        positions = None
        if opened and self.servers.centralized:
            positions = {s.service: s.position for s in self.servers.centralized if s.position is not None}
        health = membership.Health(
            now_ns=self.now_ns,
            able=able,
            healthy=healthy,
            appointment=state[2],
            positions=positions,
            complete=complete,
        )
        self.feed(health)
