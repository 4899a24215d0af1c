"""The servers of one node: which processes run, what each server is, and what it should be.

Every server has a target that follows from the node's place in the record; `settle` takes each server one step
nearer to it.  A server that has held a role and is to join a mirror again starts in a new process, so that its
journal is compared with the primary's before anything of it is applied; after a switchover the old primary is
complete and goes on as it is.  Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from primacy.machines.coordination import KillHost, Publish, ServiceEntry, Spawn, ToHost
from primacy.machines.events import ServerChanged, ServerDied
from primacy.machines.host_wire import Assign, Callback, Opened, Peer
from primacy.machines.ids import MS, SECOND, ServerState
from primacy.machines.ladder import AVAILABLE, INELIGIBLE
from primacy.machines.membership import Became

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

RESPAWN_NS = 200 * MS  # a take-over elsewhere has the machine for itself meanwhile
BACKOFF_NS = 50 * MS
BACKOFF_NS_MAX = 5 * SECOND
LIFE_NS = 10 * SECOND  # a host that lived so long starts again without delay


@dataclass(slots=True)
class Server:
    """One server of a service on this node."""

    service: str
    row: ServiceEntry
    state: ServerState = ServerState.SPARE
    process: str = "none"  # none | starting | open | ending (on purpose) | failing
    used: bool = False  # this process has held a role
    initializing: bool = False  # its callbacks belong to the initialize sequence in progress
    initialized: bool = False
    assigned: tuple[str, int, int] | None = None  # (role, term, appointment) as told to this process
    position: tuple[int, int] | None = None  # journal's last (term, sequence) when it was opened
    alone_at: int = -1  # its last entry when it was first heard to be alone in this term
    kept: bool = False  # all up to there is on disk, and what came later is synced before it is answered
    incomplete: bool = False  # the journal may lack acknowledged entries: it can only join a primary
    callbacks: list[Callback] = field(default_factory=list)
    started_ns: int = 0
    since_ns: int = 0  # when it came into its state
    held: bool = False  # it failed here too often: kept back for a while, and no other server waits for it
    failures: int = 0
    restart_ns: int = 0
    error: str = ""

    @property
    def on_disk(self) -> bool:
        """Whether everything that its process has acknowledged is on the disk of this node."""
        return self.kept or not self.row.volatile

    @property
    def ready(self) -> bool:
        """Whether the process is open and initialized."""
        return self.process == "open" and self.initialized


class Servers:
    """All servers of the node by service id: centralized ones first, in the order of the table."""

    def __init__(self, coordinator: Coordinator, centralized: list[Server], local: list[Server]) -> None:
        self._ssc = coordinator
        self.centralized = centralized
        self.local = local
        self.by_service = {s.service: s for s in [*centralized, *local]}
        for server in centralized:
            server.state = self._resting()

    def _resting(self) -> ServerState:
        """What a server without a process is here."""
        return ServerState.OFFLINE if self._ssc.ladder.rung == INELIGIBLE else ServerState.SPARE

    def callbacks(self, servers: list[Server]) -> dict[str, list[Callback]]:
        """The registered callbacks of these servers' open processes."""
        return {s.service: s.callbacks for s in servers if s.process == "open"}

    def is_open(self, service: str) -> bool:
        """Whether the service's process is there to run callbacks."""
        server = self.by_service.get(service)
        return server is not None and server.process == "open"

    # ---- what happened to processes ----

    def opened(self, service: str, message: Opened) -> None:
        """A host is up: its service registers itself with its callbacks, the table adds its own."""
        server = self.by_service[service]
        if server.process != "starting":
            return
        server.process = "open"
        self.change(server, ServerState.SPARE)
        server.callbacks = [*message.callbacks, *server.row.callbacks]
        server.position = (message.term, message.sequence)
        server.incomplete = message.incomplete
        server.alone_at, server.kept = -1, False
        server.error = ""

    def exited(self, service: str, reason: str) -> ServerState:
        """A host's process has ended; return what its server had been."""
        server = self.by_service[service]
        before, expected = server.state, server.process == "ending"
        now_ns = self._ssc.now_ns
        server.process = "none"
        server.used = server.initialized = server.initializing = False
        server.assigned = None
        if expected:
            server.restart_ns = now_ns + RESPAWN_NS
        else:
            server.failures = 0 if now_ns - server.started_ns >= LIFE_NS else server.failures + 1
            pause_ns = BACKOFF_NS << min(server.failures - 1, 10) if server.failures > 1 else 0
            server.restart_ns = now_ns + min(RESPAWN_NS + pause_ns, BACKOFF_NS_MAX)
            server.error = reason
        self.change(server, self._resting())
        return ServerState.SPARE if expected else before

    def forget(self, server: Server) -> None:
        """Its service is not in the table any more: nobody counts on it from now on."""
        del self.by_service[server.service]
        self.centralized = [s for s in self.centralized if s is not server]
        self.local = [s for s in self.local if s is not server]

    def mirrored(self) -> None:
        """Replies rest on the vice's memory from now on, or may have until now."""
        for server in self.centralized:
            server.alone_at, server.kept = -1, False

    def progressed(self, service: str, sequence: int, synced: int) -> None:
        """A primary that is alone says how much of its journal is on disk."""
        server = self.by_service[service]
        if server.alone_at < 0:
            server.alone_at = sequence
        server.kept = server.kept or synced >= server.alone_at

    def start_now(self) -> None:
        """Nobody else takes over: what ended here is started without a pause."""
        for server in self.present():
            server.restart_ns = min(server.restart_ns, self._ssc.now_ns)

    def change(self, server: Server, state: ServerState) -> None:
        """Note and publish a server's new state."""
        if state is not server.state:
            old, server.state, server.since_ns = server.state, state, self._ssc.now_ns
            if not server.row.local:
                record = self._ssc.record
                event = ServerChanged(
                    term=self._ssc.term,
                    node=self._ssc.node,
                    service=server.service,
                    old=old,
                    new=state,
                    appointment=record.appointment if record and state is ServerState.SECONDARY else 0,
                )
                self._ssc.emit(Publish(event))

    def died(self, server: Server, reason: str, action: str) -> None:
        """Publish that a server's host ended by itself."""
        event = ServerDied(
            term=self._ssc.term, node=self._ssc.node, service=server.service, reason=reason, action=action
        )
        self._ssc.emit(Publish(event))

    def fail(self, server: Server, reason: str) -> None:
        """The server is no use: end its process, as if it had died of this reason."""
        if server.process in ("open", "starting"):
            server.error, server.process = reason, "failing"
            self._ssc.emit(KillHost(server.service))

    def renew(self, server: Server) -> None:
        """End the process; `settle` starts a new one."""
        if server.process in ("open", "starting"):
            server.process = "ending"
            self._ssc.emit(KillHost(server.service))

    # ---- what should be ----

    def settle(self) -> None:
        """Take every server a step nearer to its target."""
        rung = self._ssc.ladder.rung
        for server in self.by_service.values():
            if rung == INELIGIBLE and not server.row.local:
                self.renew(server)
            elif server.process == "none":
                self._start(server)
            elif server.process == "open" and not server.row.local:
                self._approach(server)

    def _start(self, server: Server) -> None:
        if self._ssc.now_ns >= server.restart_ns:
            server.process = "starting"
            server.started_ns = self._ssc.now_ns
            self._ssc.emit(Spawn(server.service))
        else:
            self._ssc.wake(server.restart_ns)

    def _approach(self, server: Server) -> None:
        if self._ssc.ladder.rung != AVAILABLE:
            if server.used or server.initialized:
                self.renew(server)  # it registers itself, and is not initialized
            return
        place = self._ssc.place
        target = self.target(place)
        if server.assigned == target or not server.initialized or server.held:
            return
        if target[0] == "primary" and self._ssc.rescue.lost:
            return  # a new term decides who goes on, and with which state
        if target[0] == "secondary" and target[2] == self._ssc.broken_appointment:
            return  # the master withdraws this appointment; the next one begins anew
        if target[0] == "available":
            if server.used:
                self.renew(server)
            else:
                server.assigned = target
                self.change(server, ServerState.AVAILABLE)
            return
        assert place is not None
        in_step = target[0] == "secondary" and place.clean and server.state is ServerState.PRIMARY
        if target[0] == "secondary" and server.used and not in_step:
            self.renew(server)
            return
        self._assign(server, place, target, in_step)

    def _assign(self, server: Server, place: Became, target: tuple[str, int, int], in_step: bool) -> None:
        record = place.record
        role, term, appointment = target
        peer: Peer | None = None
        if role == "secondary":
            peer = self._ssc.peer(server.service, record.master)
        elif place.clean and record.vice is not None:
            peer = self._ssc.peer(server.service, record.vice.member)
        with_vice = appointment if role == "secondary" or peer is not None else 0
        server.assigned, server.used = target, True
        message = Assign(term, role, with_vice, peer, in_step or (role == "primary" and peer is not None))
        self._ssc.emit(ToHost(server.service, message, page_term=term))
        self.change(server, ServerState.PRIMARY if role == "primary" else ServerState.SECONDARY)

    def target(self, place: Became | None) -> tuple[str, int, int]:
        """What the centralized servers of this node should be: (role, term, appointment)."""
        if place is None or place.role == "member":
            return ("available", 0, 0)
        if place.role == "master":
            return ("primary", place.record.term, 0 if not place.clean else place.record.appointment)
        return ("secondary", place.record.term, place.record.appointment)

    def present(self) -> list[Server]:
        """The centralized servers that are not kept back."""
        return [s for s in self.centralized if not s.held]

    def all_ready(self) -> bool:
        """Whether every centralized server that is not kept back is open and initialized."""
        return all(s.ready for s in self.present())

    def all_assigned(self) -> bool:
        """Whether every centralized server that is not kept back is told what it should be, and one at least is."""
        target, present = self.target(self._ssc.place), self.present()
        return bool(present or not self.centralized) and all(
            s.ready and s.assigned == target for s in present
        )
