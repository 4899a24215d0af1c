"""Initialization of a node's services, level by level, master first.

Every node waits, at each level, until the master has completed it: the master's coordinator tells all others, and a
node that comes later hears at once how far the master is. A host that is started again after its node's
initialization is initialized by itself. A server whose callback fails is no use: its host ends and starts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.coordination import TellNode
from primacy.machines.ids import Member
from primacy.machines.ladder import AVAILABLE
from primacy.machines.peer_wire import Progress
from primacy.machines.runs import Frame
from primacy.machines.sequence import EVERY_LEVEL, Wait, plan
from primacy.machines.servers import Server

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator

FUNCTION = "initialize"


class Initialization:
    """The node's initialize sequence. `complete`: it has ended once in this life of the node."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self.complete = False
        self._levels: dict[str, tuple[str, int]] = {}  # node: how far this life of it has said that it is

    def heard(self, member: Member, progress: Progress) -> None:
        """Another node has completed a level; it matters if that node is (or turns out to be) the master."""
        if progress.function == FUNCTION:
            level = EVERY_LEVEL if progress.complete else progress.level
            self._levels[member.node] = (member.incarnation, max(self._level(member), level))

    def proceed(self) -> None:
        """Begin when there is a master and every host is open; go on as far as the master is."""
        ssc = self._ssc
        barrier = self._barrier()
        if FUNCTION in ssc.runs:
            ssc.runs.open_to(FUNCTION, barrier)
            return
        servers = [s for s in ssc.servers.by_service.values() if self._takes_part(s)]
        for server in servers:
            self.opened(server)
        if self.complete or not barrier or not all(s.process == "open" for s in servers):
            return
        for server in servers:
            server.initializing = True
        ssc.runs.begin(
            FUNCTION,
            FUNCTION,
            plan(FUNCTION, ssc.servers.callbacks(servers)),
            Frame("the node starts", "spare", "available"),
            self._ended,
            on_level=lambda level: self._tell(level, False),
            barrier=barrier,
        )

    def waits(self) -> list[Wait]:
        """Who is waited for before the first level: hosts that start, then the master."""
        ssc = self._ssc
        if self.complete or FUNCTION in ssc.runs:
            return []
        servers = [s for s in ssc.servers.by_service.values() if self._takes_part(s)]
        starting = [s for s in servers if s.process != "open"]
        if starting:
            return [Wait(f"the host of {s.service} to start", s.started_ns, 0, FUNCTION) for s in starting]
        what = "the master to complete its first level" if ssc.record is not None else "a master"
        return [Wait(what, function=FUNCTION)]

    def opened(self, server: Server) -> None:
        """A process was started after the node's initialization: initialize it by itself."""
        key = f"{FUNCTION}:{server.service}"
        waits = server.process == "open" and not server.initialized and key not in self._ssc.runs
        if not self.complete or not waits or not self._takes_part(server):
            return

        def ended(_: tuple[str, ...] | None) -> None:
            server.initialized = server.process == "open"

        steps = plan(FUNCTION, {server.service: server.callbacks})
        frame = Frame("its host was started again", "spare", "available")
        self._ssc.runs.begin(key, FUNCTION, steps, frame, ended, quiet=True)

    def _takes_part(self, server: Server) -> bool:
        """A centralized server of a node that is not available is registered at most, never initialized."""
        return server.row.local or self._ssc.ladder.rung == AVAILABLE

    def _barrier(self) -> int:
        """The highest level that may start now; 0: no master is known that has begun."""
        ssc = self._ssc
        if ssc.role == "master" or (ssc.record is not None and ssc.serving.term == ssc.term):
            return EVERY_LEVEL
        return self._level(ssc.record.master) if ssc.record is not None else 0

    def _level(self, member: Member) -> int:
        """How far this life of a node is; what an earlier one of it said counts for nothing."""
        incarnation, level = self._levels.get(member.node, ("", 0))
        return level if incarnation == member.incarnation else 0

    def _ended(self, _: tuple[str, ...] | None) -> None:
        self.complete = True
        for server in self._ssc.servers.by_service.values():
            server.initialized = server.process == "open" and server.initializing
            self.opened(server)
        self._tell(0, True)

    def _tell(self, level: int, complete: bool) -> None:
        """The master tells all, any other node its master."""
        ssc = self._ssc
        message = Progress(ssc.term, FUNCTION, level, complete)
        assert ssc.record is not None, "nothing is initialized before there is a master"
        ssc.emit(TellNode(None if ssc.role == "master" else ssc.record.master.node, message))
