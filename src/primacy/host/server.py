"""The host of one centralized service: its state, journal and streams, and the role that the agent assigns.

The agent decides everything about roles; this obeys, one message after another. A host never judges its peer,
never promotes itself, and never goes on after an error of its journal. It is replaced by a new process
whenever what it has applied might have to be taken back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import Any

from primacy.cgtp.tls import TlsFiles, client_context, server_context
from primacy.channel import close_all
from primacy.errors import JournalError
from primacy.host.callbacks import Callbacks
from primacy.host.calls import Calls
from primacy.host.core import Core, Policy, Tell
from primacy.host.primary import PrimaryServer
from primacy.host.secondary import SecondaryServer
from primacy.host.streams import TO_PRIMARY, MirrorStream, Roles, Streams, redial
from primacy.lease_page import LeasePage
from primacy.machines import call_wire, host_wire
from primacy.machines.description import coroutines
from primacy.machines.host_wire import (
    Alone,
    Appoint,
    Assign,
    Confirmed,
    LinkState,
    Members,
    Open,
    Quiesce,
    Ready,
    Resume,
    Run,
    Serve,
)  # fmt: skip
from primacy.machines.ids import ServerState
from primacy.machines.mirror_wire import JoinMirror
from primacy.service import Service

TICK_S_MAX = 0.2


class Server(Roles):
    """The host of one centralized service, from `Open` to `Stop`."""

    def __init__(
        self, open: Open, service: Service[Any], tell: Tell, fail: Any, spawn: Any, policy: Policy
    ) -> None:
        self._core = Core(open, service, tell, fail, spawn, policy)
        self._loop = asyncio.get_running_loop()
        self._primary: PrimaryServer | None = None
        self._secondary: SecondaryServer | None = None
        self._term = 0
        self._primary_node = ""
        self._page: LeasePage | None = None
        self._ticks: asyncio.TimerHandle | None = None
        self._loading: deque[tuple[host_wire.ToHost, list[int]]] | None = None
        self._progress: tuple[int, ...] = ()
        self._progress_due = 0.0
        self._redial: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Open the journal, listen, and tell the agent what there is."""
        core, open = self._core, self._core.open
        core.open_journal(self._synced, self._journal_failed)
        files = TlsFiles(Path(open.certificate), Path(open.key), Path(open.authority))
        self._streams = Streams(self, client_context(files))
        await self._streams.listen(open.listen, server_context(files))
        callbacks = core.model.description.callbacks
        self._callbacks = Callbacks(core.service, coroutines(type(core.service)), core.tell)
        last = (0, 0) if core.journal.incomplete else (core.journal.term, core.journal.last)
        core.tell(host_wire.Opened(open.service, callbacks, *last, core.journal.incomplete))
        self._tick()

    # ---- the agent ----

    def heard(self, message: host_wire.ToHost, fds: list[int]) -> None:
        """Obey one message of the agent; those that come while the state is loaded wait for it."""
        if self._loading is not None:
            self._loading.append((message, fds))
            return
        match message:
            case Assign():
                self._assign(message, fds)
            case Run(id=id, name=name, context=context):
                self._callbacks.run(id, name, context)
            case host_wire.Cancel(id=id):
                self._callbacks.cancel(id)
            case Members(nodes=nodes):
                self._core.members = nodes
                if self._primary:
                    self._primary.set_members(nodes)
            case LinkState(link=link, up=up):
                self._streams.set_link(link, up)
            case _:
                self._for_primary(message)

    def _for_primary(self, message: host_wire.ToHost) -> None:
        primary = self._primary
        if isinstance(message, Confirmed) and primary:
            primary.calls.confirmed(message.id, message.valid)
            return
        if primary is None or getattr(message, "term", None) != primary.term:
            return  # of a term that has ended here
        match message:
            case Appoint(appointment=appointment, peer=peer):
                primary.appoint(appointment, peer)
                self._take_join(peer.member.node)
            case Ready(appointment=appointment):
                primary.ready(appointment)
            case Alone():
                primary.alone()
            case Serve():
                primary.serve()
                self._streams.tell_clients(self.greeting())
            case Quiesce(handing_over=handing_over):
                primary.quiesce(handing_over)
            case Resume():
                primary.resume()

    def _assign(self, assign: Assign, fds: list[int]) -> None:
        page = LeasePage(fds[0], writable=False) if fds else None
        close_all(fds)
        if self._primary and assign.role == ServerState.PRIMARY and assign.term == self._primary.term:
            return
        self._end_roles()
        if self._page is not None:
            self._page.close()
        self._page, self._term = page, assign.term
        self._primary_node = self._core.open.node if assign.role == ServerState.PRIMARY else ""
        if assign.role == ServerState.PRIMARY:
            self._become_primary(assign, page)
        elif assign.role == ServerState.SECONDARY:
            self._become_secondary(assign, page)
        self._streams.tell_clients(self.greeting())

    def _become_primary(self, assign: Assign, page: LeasePage | None) -> None:
        core = self._core
        assert page is not None, "the agent assigns a primary without a lease page"
        if core.journal.incomplete:
            text = "the journal was set aside or is not complete: this server can only join a primary"
            core.fail("incomplete", text)
        elif core.journal.term >= assign.term:
            core.fail(
                "term", f"the journal has entries of term {core.journal.term}; assigned is {assign.term}"
            )
        elif core.loaded:
            self._begin_primary(assign, page)
        else:
            self._loading = deque()
            core.spawn(self._load_primary(assign, page))

    def _begin_primary(self, assign: Assign, page: LeasePage) -> None:
        self._primary = PrimaryServer(self._core, assign, page)
        self._primary.begin()
        if assign.peer:
            self._take_join(assign.peer.member.node)

    async def _load_primary(self, assign: Assign, page: LeasePage) -> None:
        await self._core.load()
        self._begin_primary(assign, page)
        self._streams.tell_clients(self.greeting())
        waiting, self._loading = self._loading or deque(), None
        for message, fds in waiting:
            self.heard(message, fds)

    def _become_secondary(self, assign: Assign, page: LeasePage | None) -> None:
        assert page is not None, "the agent assigns a secondary without a lease page"
        assert assign.peer is not None, "the agent assigns a secondary without a primary"
        self._primary_node = assign.peer.member.node
        self._secondary = SecondaryServer(self._core, assign, page)
        self._connect()

    def _end_roles(self) -> None:
        if self._redial:
            self._redial.cancel()
            self._redial = None
        if self._primary:
            self._primary.close()
            self._primary = None
            self._streams.forget_watches()
        if self._secondary:
            self._secondary.close()
            self._secondary = None

    async def stop(self) -> None:
        """End in order: everything synced, the agent told, all streams ended."""
        core = self._core
        self._end_roles()
        await self._callbacks.close()
        core.syncer.now()
        core.tell(host_wire.Stopped(core.journal.term, core.journal.last))
        self._streams.close()
        if self._ticks:
            self._ticks.cancel()
        core.worker.stop()
        core.journal.close()

    # ---- streams (Roles) ----

    def calls(self) -> Calls | None:
        """Return what takes calls, when this host is primary."""
        return self._primary.calls if self._primary else None

    def greeting(self) -> bytes:
        """Return the `HostRole` frame of this moment."""
        open, primary = self._core.open, self._primary
        serving = primary is not None and primary.serving
        role = call_wire.HostRole(open.service, open.node, self._term, serving, self._primary_node)
        return call_wire.encode(role)

    def mirror_heard(self, stream: MirrorStream, messages: list[Any]) -> None:
        """Give what the other side of the mirror said to the role that it is for."""
        to_secondary: list[Any] = []
        for message in messages:
            if isinstance(message, JoinMirror):
                stream.join = message
                self._take_join(stream.node)
            elif isinstance(message, TO_PRIMARY):
                if self._primary:
                    self._primary.heard(stream, message)
            else:
                to_secondary.append(message)
        if to_secondary and self._secondary:
            self._secondary.heard(stream, to_secondary)

    def mirror_ended(self, stream: MirrorStream) -> None:
        """A mirror stream has ended: the secondary dials again."""
        if self._primary:
            self._primary.lost(stream)
        if self._secondary and self._secondary.stream is stream:
            self._secondary.stream = None
            self._redial = redial(self._loop, self._connect)

    def _connect(self) -> None:
        if self._secondary and self._secondary.stream is None:
            peer = self._secondary.peer
            stream = self._streams.mirror_of(peer.member.node) or self._streams.dial_mirror(peer)
            self._secondary.connected(stream)

    def _take_join(self, node: str) -> None:
        """Take the join that the peer has asked for, perhaps before we were told of it."""
        stream = self._streams.mirror_of(node)
        if self._primary and stream and stream.join:
            join = stream.join
            if (join.term, join.appointment) == (self._primary.term, self._primary.machine.appointment):
                stream.join = None
                self._primary.join(stream, join)

    # ---- disk and time ----

    def _synced(self, upto: int) -> None:
        if self._primary:
            self._primary.synced(upto)
        elif self._secondary:
            self._secondary.synced(upto)

    def _journal_failed(self, error: JournalError) -> None:
        self._core.fail("journal", str(error))

    def _tick(self) -> None:
        every_s = min(TICK_S_MAX, self._core.open.mirror_timeout_s / 10)
        self._ticks = self._loop.call_later(every_s, self._tick)
        if self._primary:
            self._primary.tick()
        elif self._secondary:
            self._secondary.tick()
        now = time.monotonic()
        if now >= self._progress_due:
            self._progress_due = now + 1.0
            self._tell_progress()

    def _tell_progress(self) -> None:
        core, primary = self._core, self._primary
        acknowledged = primary.machine.acknowledged_upto if primary else -1
        calls = primary.calls.count if primary else 0
        sessions = len(core.replica.sessions)
        progress = (self._term, core.journal.last, acknowledged, core.syncer.synced_upto, calls, sessions)
        if progress != self._progress:
            self._progress = progress
            core.tell(host_wire.Progress(*progress))
