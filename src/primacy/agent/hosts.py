"""The host processes of this node as the agent sees them: one socket pair each, in order, never waited for.

A host's messages are delivered before its exit is. A host that does not read fills its bounded queue; then it is
killed, which is the same as if it had died.
"""

from __future__ import annotations

import asyncio
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from primacy import channel
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.pages import Pages
from primacy.errors import WireError
from primacy.machines import host_wire
from primacy.machines.ids import SECOND

PING_NS = SECOND
CLIENT_VARIABLE = "PRIMACY_DIR"  # where `primacy.connect()` of a service finds the node's own client.json
SILENCE_NS_MAX = 20 * SECOND  # a host whose loop does not answer for so long is ended: user code hangs in it


@dataclass(slots=True)
class _Host:
    service: str
    channel: channel.Channel
    waiting: deque[tuple[host_wire.ToHost, int | None]] = field(default_factory=deque)  # for a page
    pinged: int = 0
    answered: int = 0
    answered_ns: int = 0


class Hosts:
    """All host processes by service."""

    def __init__(
        self,
        guardian: GuardianLink,
        cluster: str,
        directory: str,
        on_message: Callable[[str, host_wire.ToAgent], None],
        on_exit: Callable[[str, str], None],
    ) -> None:
        self._guardian = guardian
        self._cluster, self._directory = cluster, directory
        self._on_message, self._on_exit = on_message, on_exit
        self._hosts: dict[str, _Host] = {}
        self.pages = Pages(guardian, self._page_arrived)
        self.pids: dict[str, int] = {}
        guardian.on_exited = self._exited
        guardian.on_spawned = self._spawned
        guardian.on_missed = self._missed

    def spawn(self, opening: host_wire.Open, now_ns: int) -> None:
        """Start the host of a service and open the conversation."""
        service = opening.service
        try:
            os.makedirs(opening.directory, exist_ok=True)
            ours, theirs = channel.pair()
        except OSError as error:  # a full disk costs this server, not the node
            self._on_exit(service, f"could not be started: {opening.directory}: {error.strerror}")
            return
        seed = str(zlib.crc32(f"{self._cluster}/{service}".encode()))  # all hosts of a service share it
        with theirs:
            self._guardian.spawn(
                f"host-{service}",
                [sys.executable, "-m", "primacy.host", service],
                {"PYTHONHASHSEED": seed, CLIENT_VARIABLE: self._directory},
                self._directory,
                {"PRIMACY_AGENT_FD": theirs.fileno()},
            )
        host = _Host(
            service, channel.Channel(ours, on_overflow=lambda: self.kill(service)), answered_ns=now_ns
        )
        self._hosts[service] = host
        host.channel.attach(asyncio.get_running_loop(), lambda m, fds: self._read(host, m, fds), lambda: None)
        self.tell(service, opening, None)

    def kill(self, service: str) -> None:
        """SIGKILL a host; its exit is told as any."""
        self._guardian.kill(f"host-{service}")

    def tell(self, service: str, message: host_wire.ToHost, page_term: int | None) -> None:
        """Send a message after all earlier ones; with `page_term` the lease page goes along."""
        host = self._hosts.get(service)
        if host is not None:
            host.waiting.append((message, page_term))
            self._send_waiting(host)

    def tell_all(self, message: host_wire.ToHost) -> None:
        """Send a message to every host."""
        for service in list(self._hosts):
            self.tell(service, message, None)

    def check_health(self, now_ns: int) -> None:
        """Ping every host; end those whose loop was silent for too long."""
        for host in list(self._hosts.values()):
            if host.answered == host.pinged:
                host.answered_ns = now_ns
                host.pinged += 1
                self._send(host, host_wire.Ping(host.pinged), [])
            elif now_ns - host.answered_ns > SILENCE_NS_MAX:
                self.kill(host.service)

    def silent_ns(self, service: str, now_ns: int) -> int:
        """How long the host's event loop has not answered a health check; 0 when it did."""
        host = self._hosts.get(service)
        return now_ns - host.answered_ns if host is not None and host.answered != host.pinged else 0

    def close(self) -> None:
        """Close all channels and pages (the agent ends)."""
        self.pages.close()
        for host in self._hosts.values():
            host.channel.close()
        self._hosts.clear()

    def _send_waiting(self, host: _Host) -> None:
        while host.waiting:
            message, term = host.waiting[0]
            fds: list[int] = []
            if term is not None:
                fd = self.pages.want(host.service, term)
                if fd is None:
                    return
                fds = [fd]
            host.waiting.popleft()
            self._send(host, message, fds)

    def _send(self, host: _Host, message: host_wire.ToHost, fds: list[int]) -> None:
        try:
            host.channel.send(host_wire.encode(message), fds)
        except WireError as error:  # without this message the host cannot be what it should be
            sys.stderr.write(f"agent: the host of {host.service} is ended: {error}\n")
            self.kill(host.service)

    def _page_arrived(self, service: str, _: int) -> None:
        host = self._hosts.get(service)
        if host is not None:
            self._send_waiting(host)

    def _read(self, host: _Host, message: bytes, fds: list[int]) -> None:
        channel.close_all(fds)
        try:
            word = host_wire.decode_to_agent(message)
        except WireError:
            self.kill(host.service)
            return
        if isinstance(word, host_wire.Pong):
            host.answered = word.number
        else:
            self._on_message(host.service, word)

    def _spawned(self, name: str, pid: int) -> None:
        self.pids[name.removeprefix("host-")] = pid

    def _exited(self, name: str, how: str) -> None:
        service = name.removeprefix("host-")
        host = self._hosts.pop(service, None)
        self.pids.pop(service, None)
        if host is None:
            return
        while packets := host.channel.receive():
            for message, fds in packets:
                self._read(host, message, fds)
        host.channel.close()
        self._on_exit(service, how)

    def _missed(self, children: dict[str, int]) -> None:
        for service in [s for s in self._hosts if f"host-{s}" not in children]:
            self._exited(f"host-{service}", "ended")
