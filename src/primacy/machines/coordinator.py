"""The system services coordinator (SSC) of one node: it takes this node's services through the functions.

It follows what the membership monitor says of this node's place, keeps every server on its way to what it should be
(servers.py), runs callback sequences level by level (runs.py), and drives the functions that an operator asks for
(switchover.py, departure.py). Initialization is master first: each other node starts a level when the master has
completed it. The master serves when its last level is complete; then it says so, and every node's local services
run the reconnect sequence at one time.  Pure; one input at a time, effects in the order to obey them.
"""

from __future__ import annotations

from primacy.machines import host_wire, membership, peer_wire
from primacy.machines.coordination import (
    Abandon,
    Asked,
    Effect,
    Feed,
    HostExited,
    HostSaid,
    Input,
    MembersChanged,
    Membership,
    PeerSaid,
    Publish,
    ServiceEntry,
    Started,
    Terminate,
    Tick,
    ToHost,
    Wake,
)
from primacy.machines.departure import Departure
from primacy.machines.events import InService, ServiceNote
from primacy.machines.ids import MS, Member, ServerState
from primacy.machines.initialization import Initialization
from primacy.machines.records import Mastership, brief
from primacy.machines.runs import Frame, Runs
from primacy.machines.sequence import plan
from primacy.machines.servers import Server, Servers
from primacy.machines.swap import Outcome, Purpose
from primacy.machines.switchover import Switchover

RETRY_NS = 50 * MS


class Coordinator:
    """The machine of one incarnation of one node.

    services: rows of the table. addresses: per node and centralized service, where its host listens. runs_servers:
    whether centralized servers run here (the node is eligible and available).
    """

    def __init__(
        self,
        me: Member,
        services: tuple[ServiceEntry, ...],
        addresses: dict[str, dict[str, list[tuple[str, int]]]],
        now_ns: int,
        *,
        runs_servers: bool = True,
    ) -> None:
        self.me, self.node, self.addresses = me, me.node, addresses
        self.now_ns = now_ns
        self.place: membership.Became | None = None
        self.serving_term = 0
        self.members: tuple[str, ...] = (me.node,)
        centralized = [Server(s.id, s) for s in services if not s.local and runs_servers]
        self.servers = Servers(self, centralized, [Server(s.id, s) for s in services if s.local])
        self.runs = Runs(self)
        self.switchover = Switchover(self)
        self.departure = Departure(self)
        self.initialization = Initialization(self)
        self._began_term = 0  # the term whose failover or switchover sequence was begun
        self.record: Mastership | None = None
        self.broken_appointment = 0  # as vice: a server of this appointment was lost
        self._joined: set[str] = set()
        self._appointment = 0
        self._lost_primary = ""  # why the master has to hand over or renew its term at once
        self._rescue_asked = False
        self._retry_ns = 0
        self._health: tuple[bool, bool, int, bool, bool] | None = None
        self.served_term = 0  # the last term whose master is known to have served
        self._reconnected_term = 0
        self._out: list[Effect] = []
        self._wake_ns = 0

    def step(self, event: Input) -> list[Effect]:
        """Take one input; return the effects, in the order to obey them."""
        self._out = []
        self.now_ns = event.now_ns
        self._wake_ns = 0
        match event:
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
                self._tell_members()
            case Asked():
                self._asked(event)
            case Terminate(reason=reason, facts=facts):
                self.departure.begin(reason, stopped=False, request=None, facts=facts)
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
                    if self._joined >= {s.service for s in self.servers.centralized}:
                        self.feed(membership.Joined(now_ns=self.now_ns, term=term, appointment=appointment))
            case host_wire.MirrorStalled(term=term, appointment=appointment):
                stalled = membership.Stalled(
                    now_ns=self.now_ns, term=term, appointment=appointment, service=service
                )
                self.feed(stalled)
            case host_wire.Quiesced():
                self.switchover.quiesced(service, message.term)
                self.departure.quiesced(service, message)
            case host_wire.Stopped():
                pass  # its journal is synced; what is waited for is the end of its process
            case host_wire.Progress(term=term, acknowledged=acknowledged):
                if term == self.term and acknowledged < 0 and self.record and self.record.ready_vice is None:
                    self.servers.progressed(service, message.sequence, message.synced)
            case host_wire.Note(kind=kind, text=text):
                note = ServiceNote(term=self.term, node=self.node, service=service, kind=kind, text=text)
                self.emit(Publish(note))

    def _host_exited(self, service: str, reason: str) -> None:
        server = self.servers.by_service[service]
        reason = server.error or reason
        before = self.servers.exited(service, reason)
        self.runs.lost(service, f"its host {reason}")
        self.departure.stopped(service)
        if before is ServerState.PRIMARY and not self.departure.under_way:
            self.switchover.interrupted(f"the host of {service} {reason}")
            self._lost_primary = f"the host of {service} on {self.node} {reason}"
            self._rescue_asked, self._retry_ns = False, self.now_ns
            action = "restart in place" if server.row.restart_in_place else "switchover to the vice at once"
            self.servers.died(server, reason, action)
        elif before is not ServerState.SPARE and not self.departure.under_way:
            if before is ServerState.SECONDARY and self.role == "vice":
                self.broken_appointment = self._appointment
            self.servers.died(server, reason, "started again")

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
                self.served(term)
            case membership.Closed(purpose=purpose, outcome=outcome):
                self._closed(purpose, outcome)

    def _closed(self, purpose: Purpose, outcome: Outcome) -> None:
        self.switchover.closed(purpose, outcome)
        self.departure.closed(purpose, outcome)
        if not self._rescue_asked or outcome is Outcome.DONE:
            return
        if purpose is Purpose.HANDOVER and self._may_renew():
            self._renew()  # nobody can take over
        elif purpose is Purpose.HANDOVER and self.record is not None and self.record.ready_vice is None:
            self.emit(Abandon(f"{self._lost_primary}, and what it kept in memory is nowhere else"))
        elif purpose in (Purpose.HANDOVER, Purpose.RENEW):
            self._rescue_asked = False
            self._retry_ns = self.now_ns + RETRY_NS

    def _became(self, place: membership.Became) -> None:
        self._cancel_term()
        self.place = place
        self.servers.mirrored()
        self._lost_primary, self._rescue_asked = "", False
        self._appointment = place.record.appointment
        self._joined = set()
        self.switchover.became(place)

    def _cancel_term(self) -> None:
        """What was begun for the former place ends: its callbacks are cancelled."""
        for key in ("failover", "switchover"):
            self.runs.cancel(key)

    def _peer_said(self, event: PeerSaid) -> None:
        message = event.message
        match message:
            case peer_wire.Progress():
                self.initialization.heard(Member(event.node, event.incarnation), message)
            case peer_wire.EndNode(reason=reason, stopped=stopped):
                self.departure.begin(reason, stopped=stopped, request=None)
            case peer_wire.Leave():
                self.feed(
                    membership.Leaving(now_ns=self.now_ns, member=Member(event.node, event.incarnation))
                )

    def _asked(self, event: Asked) -> None:
        if event.verb == "switchover":
            self.switchover.asked(event)
        else:
            self.departure.asked(event)

    # ---- towards what should be ----

    def _settle(self) -> None:
        self.departure.proceed()
        if self.departure.under_way:
            self.runs.tick()
            return
        self.runs.tick()
        self.switchover.proceed()
        self.initialization.proceed()
        if self.record is None or self.record.stopped is None:
            self.servers.settle()
        self._rescue()
        self._serve()
        self._reconnect()
        self._report_health()

    def _rescue(self) -> None:
        """A primary's host died: hand over at once; when nobody can take over, go on here in a new term."""
        if not self._lost_primary or self.role != "master" or self._rescue_asked:
            return
        if self.now_ns < self._retry_ns:
            self.wake(self._retry_ns)
            return
        self._rescue_asked = True
        if any(s.row.restart_in_place and s.process != "open" for s in self.servers.centralized):
            self._renew()
        else:
            hand_over = membership.HandOver(
                now_ns=self.now_ns, term=self.term, in_step=False, cause=self._lost_primary
            )
            self.feed(hand_over)

    def _may_renew(self) -> bool:
        """With `memory` durability what was acknowledged may be on no disk of this node: then it may not go on."""
        lost = [s for s in self.servers.centralized if s.process != "open"]
        return all(s.kept or not s.row.volatile for s in lost)

    def _renew(self) -> None:
        self.servers.start_now()
        self.feed(membership.Renew(now_ns=self.now_ns, term=self.term, cause=self._lost_primary))

    def _serve(self) -> None:
        """As master with every server primary: run the sequence that made it so, then serve."""
        place = self.place
        if place is None or place.role != "master" or self._began_term == self.term or self._lost_primary:
            return
        if place.record.term != self.term:
            return  # a newer record is known; what it makes of this node is told next
        if not self.servers.all_assigned():
            return
        self._began_term = self.term
        if place.how == "formation":
            self._serves("initialize")
            return
        function = "switchover" if place.how == "switchover" else "failover"
        record = place.record
        old_master = record.by.node if record.by != self.me else None
        frame = Frame(record.cause, "secondary", "primary", peer=old_master, clean=place.clean)
        self.runs.begin(
            function,
            function,
            plan(function, self.servers.callbacks(self.servers.centralized)),
            frame,
            lambda _: self._serves(function),
        )

    def _serves(self, function: str) -> None:
        self.serving_term = self.term
        self.primaries(host_wire.Serve(self.term))
        self.feed(membership.Serving(now_ns=self.now_ns, term=self.term))
        self.emit(Publish(InService(term=self.term, node=self.node, function=function)))
        self._tell_members()
        self.served(self.term)

    def _tell_members(self) -> None:
        if self.role == "master":
            self.primaries(host_wire.Members(list(self.members)))

    def served(self, term: int) -> None:
        """The master of this term serves."""
        self.served_term = max(self.served_term, term)
        self.switchover.served(term)

    def _reconnect(self) -> None:
        """Once for each term that serves: tell the local services of the primaries, and let them reattach."""
        term = self.served_term
        if term <= self._reconnected_term or not self.initialization.complete:
            return
        self._reconnected_term = term
        self.runs.cancel("reconnect")
        local = [s for s in self.servers.local if s.ready]
        for server in local:
            self.emit(ToHost(server.service, self._primaries_message(term)))
        steps = plan("reconnect", self.servers.callbacks(local))
        if steps:
            frame = Frame(f"term {term} serves", "available", "available")
            self.runs.begin("reconnect", "reconnect", steps, frame, lambda _: None)

    def _primaries_message(self, term: int) -> host_wire.Primaries:
        assert self.record is not None
        master = self.record.master.node
        return host_wire.Primaries(term, master, self.addresses.get(master, {}))

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
