"""What every simulated host has: a service of a user's class, its callbacks, and the words from and to its agent."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from primacy.errors import DamagedJournal, DiskError
from primacy.machines import host_wire
from primacy.machines.call_wire import Query, ToClient
from primacy.machines.history import Batch
from primacy.machines.ids import Member
from primacy.service import LocalService, describe
from primacy.sim.callbacks import Callbacks
from primacy.sim.network import Network
from primacy.sim.page import Page
from primacy.sim.process import Process
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.settings import Row
from primacy.sim.virtual_loop import VirtualLoop


class Observer(Protocol):
    """Who looks at what hosts do: the checkers."""

    def answered(self, host: Any, sent_ns: int, message: ToClient, names: tuple[str, ...]) -> None:
        """An answer leaves; `sent_ns`: when its call was sent; `names`: what it says was appended."""

    def served(self, host: Any) -> None:
        """A primary begins to serve."""

    def bug(self, process: str, error: Exception) -> None:
        """A process has found a bug in its own code, and ends."""

    def acknowledged(self, host: Any, term: int) -> None:
        """A secondary acknowledges entries of this term."""

    def checkpointed(self, host: Any, term: int, sequence: int, digest: bytes) -> None:
        """A replica came to a checkpoint."""

    def evaluated(self, host: Any, query: Query, outcome: int, payload: bytes) -> None:
        """A primary has evaluated a query; its answer waits until it may be told. Not every observer asks."""
        return

    def applied(self, host: Any, batch: Batch | None) -> None:
        """A replica has applied a batch: as primary, secondary, or from its own log; None: was restored whole.

        Not every observer asks.
        """
        return


@dataclass(frozen=True, slots=True)
class Around:
    """What a host knows of the world.

    find: the host of a member's same service, if it runs. said(host, message): the way to its agent. ended(host, how):
    to its guardian. mood(service): how callbacks fail now, if a fault is about them. uptime_times: so many times faster
    than its clock a service counts its uptime.
    """

    observer: Observer
    network: Network
    snapshot_every: int
    find: Callable[[Member, str], Process | None]
    said: Callable[[Any, host_wire.ToAgent], None]
    ended: Callable[[Any, str], None]
    mood: Callable[[str], str]
    uptime_times: int = 1


class HostProcess(Process):
    """One process of a service on one node. A local service has nothing more than this."""

    def __init__(
        self,
        row: Row,
        member: Member,
        scheduler: Scheduler,
        clock: Clock,
        source: random.Random,
        around: Around,
    ) -> None:
        super().__init__(f"host of {row.id} on {member.node}", scheduler)
        self.row, self.service = row, row.id
        self.member, self.clock, self.random = member, clock, source
        self.around, self.observer, self.network = around, around.observer, around.network
        self.object = row.make()
        self.description = describe(row.make)
        self.loop = VirtualLoop(self, clock)
        self.callbacks = Callbacks(self)
        self.said_ns = 0  # when the last word to the agent arrives there: they stay in order

    def tell(self, message: host_wire.ToAgent) -> None:
        """Say something to the agent."""
        self.around.said(self, message)

    def open(self) -> None:
        """The process is up: say what there is."""
        term, sequence = self.position()
        told = host_wire.Opened(self.service, self.description.callbacks, term, sequence, self.incomplete)
        self.tell(told)

    @property
    def incomplete(self) -> bool:
        """Whether the journal may lack what was acknowledged."""
        return False

    def position(self) -> tuple[int, int]:
        """The journal's last (term, sequence)."""
        return 0, 0

    def hear(self, message: host_wire.ToHost, page: Page | None) -> None:
        """Obey one message of the agent."""
        match message:
            case host_wire.Run(id=id, name=name, context=context):
                self.callbacks.run(id, name, context)
            case host_wire.Cancel(id=id):
                self.callbacks.cancel(id)
            case host_wire.Primaries():
                assert isinstance(self.object, LocalService)
                self.object.primaries = message
            case host_wire.Stop():
                self.stop()

    def stop(self) -> None:
        """End in order."""
        self.callbacks.close()
        self.tell(host_wire.Stopped(*self.position()))
        self.end("ended")

    def fail(self, kind: str, text: str) -> None:
        """End: this process cannot go on."""
        self.tell(host_wire.Failed(kind, text))
        self.end("ended with status 1")

    def end(self, how: str) -> None:
        """The process is gone by itself; its guardian reaps it."""
        self.kill()
        self.around.ended(self, how)

    def broken(self, error: Exception) -> None:
        """A bug was found in this process, or its disk failed it: it ends."""
        if not isinstance(error, DiskError | DamagedJournal):
            self.observer.bug(self.name, error)
        self.fail(type(error).__name__, str(error))
