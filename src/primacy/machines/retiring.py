"""The end of services that were taken out of the table, while the node goes on.

Their servers have no part in anything from that moment on: no role, no mirror, no place among those that a switchover
waits for. Each runs its shutdown callbacks in descending levels, stops with its journal synced, and is gone; one that
does not end in time is killed. What is left of it is its journal on disk.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from primacy.machines import host_wire
from primacy.machines.coordination import HostExited, HostSaid, KillHost, ToHost
from primacy.machines.ids import SECOND, ServerState
from primacy.machines.runs import Frame
from primacy.machines.sequence import patience_ns, plan

if TYPE_CHECKING:
    from primacy.machines.coordinator import Coordinator
    from primacy.machines.servers import Server

FUNCTION = "shutdown"
STOP_NS_MAX = 10 * SECOND


class Retiring:
    """The servers that are on their way out, each with the instant at which it is killed."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._ssc = coordinator
        self._leaving: dict[str, tuple[Server, int]] = {}

    def begin(self, services: tuple[str, ...]) -> None:
        """These services are no longer in the table."""
        ssc = self._ssc
        for service in services:
            server = ssc.servers.by_service.get(service)
            if server is None:
                continue
            ssc.servers.forget(server)
            if server.process != "open":
                if server.process != "none":
                    self._leaving[service] = (server, ssc.now_ns + STOP_NS_MAX)
                    ssc.emit(KillHost(service))
                ssc.servers.change(server, ServerState.OFFLINE)
                continue
            steps = plan(FUNCTION, {service: server.callbacks})
            self._leaving[service] = (server, ssc.now_ns + patience_ns(steps) + STOP_NS_MAX)
            key = f"{FUNCTION}:{service}"
            frame = Frame("the service was taken out of the table", str(server.state), "offline")
            ssc.runs.begin(key, FUNCTION, steps, frame, self._stop(service), descending=True, quiet=True)

    def heard(self, event: HostSaid | HostExited) -> None:
        """A host says or does something whose service is not in the table any more."""
        ssc, (server, _) = self._ssc, self._leaving[event.service]
        if isinstance(event, HostSaid):
            if isinstance(event.message, host_wire.Ran):
                ssc.runs.ran(event.message)
            return
        del self._leaving[event.service]
        ssc.runs.lost(event.service, f"its host {event.reason}")
        ssc.servers.change(server, ServerState.OFFLINE)

    def proceed(self) -> None:
        """Time has passed: kill what does not end."""
        for service, (server, late_ns) in list(self._leaving.items()):
            if self._ssc.now_ns >= late_ns:
                self._leaving[service] = (server, self._ssc.now_ns + STOP_NS_MAX)
                self._ssc.emit(KillHost(service))
            self._ssc.wake(self._leaving[service][1])

    def _stop(self, service: str) -> Callable[[tuple[str, ...] | None], None]:
        return lambda _: self._ssc.emit(ToHost(service, host_wire.Stop()))
