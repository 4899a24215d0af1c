"""Real host processes, with an agent that the test speaks for: channels, lease pages, a raw client.

    cluster = Hosts(tmp_path, "inventory", target)
    a, b = await cluster.start("a"), await cluster.start("b")
    await cluster.make_pair(a, b, term=1)
    client = await cluster.client(a)
    reply = await client.call("add", article="bolt", count=3)

Everything waits for a condition, with a deadline.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from primacy import channel, lease_page
from primacy.cgtp.authority import Authority
from primacy.cgtp.stream import Identity, Stream, dial
from primacy.cgtp.tls import client_context
from primacy.errors import StreamClosed
from primacy.lease_page import LeasePage
from primacy.machines import call_wire, host_wire
from primacy.machines.call_wire import (
    Answer,
    Call,
    Changed,
    HostRole,
    OpenSession,
    Query,
    Reply,
    SessionOpened,
)
from primacy.machines.host_wire import Assign, Open, Peer
from primacy.machines.ids import FOREVER_NS, Member

DEADLINE_S = 15.0
INVENTORY = "examples/inventory.py:Inventory"
ROOT = Path(__file__).resolve().parents[2]

Message = TypeVar("Message")

encode_value = msgspec.msgpack.encode
decode_value = msgspec.msgpack.decode


def free_port(addresses: tuple[str, ...] = ("127.0.0.1", "127.0.0.2")) -> int:
    """Return a port that was free on all addresses a moment ago."""
    while True:
        with socket.socket() as first:
            first.bind((addresses[0], 0))
            port: int = first.getsockname()[1]
            try:
                with socket.socket() as second:
                    second.bind((addresses[1], port))
                    return port
            except OSError:
                continue


async def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of the condition."""
    deadline = asyncio.get_running_loop().time() + deadline_s
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, f"waited {deadline_s:g} s in vain until {what}"
        await asyncio.sleep(0.002)
    return value


class Host:
    """One host process and this end of its channel."""

    def __init__(self, cluster: Hosts, node: str, incarnation: str, directory: Path) -> None:
        self.cluster, self.node, self.directory = cluster, node, directory
        self.member = Member(node, incarnation)
        self.port = free_port()
        self.addresses = [("127.0.0.1", self.port), ("127.0.0.2", self.port)][: cluster.links]
        self.peer = Peer(self.member, self.addresses)
        self.messages: list[Any] = []
        self.gone = False
        self.page: LeasePage | None = None
        self._page_fd = -1
        ours, theirs = channel.pair()
        environment = {
            **os.environ,
            "PRIMACY_AGENT_FD": str(theirs.fileno()),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONHASHSEED": "0",
            **cluster.environment,
        }
        self.errors = directory.with_suffix(".err").open("ab")
        self.process = subprocess.Popen(
            cluster.command, env=environment, pass_fds=[theirs.fileno()], cwd=ROOT, stderr=self.errors
        )
        theirs.close()
        self.channel = channel.Channel(ours)
        self.channel.attach(asyncio.get_running_loop(), self._heard, self._closed)

    def _heard(self, data: bytes, fds: list[int]) -> None:
        self.messages.append(host_wire.decode_to_agent(data))

    def _closed(self) -> None:
        self.gone = True

    def say(self, message: host_wire.ToHost, fds: tuple[int, ...] = ()) -> None:
        self.channel.send(host_wire.encode(message), fds)

    async def hear(self, kind: type[Message], deadline_s: float = DEADLINE_S) -> Message:
        """Return the next message of this kind, and take it out."""

        def found() -> Any:
            return next((each for each in self.messages if isinstance(each, kind)), None)

        what = f"{self.node} says {kind.__name__} (it said {self.messages[-5:]})"
        message = await wait_for(lambda: found() or self.gone, what, deadline_s)
        message = found()
        assert message is not None, f"{self.node} ended: {self.messages[-3:]}"
        self.messages.remove(message)
        return message  # type: ignore[no-any-return]

    def open(self, durability: str = "disk", mirror_timeout_s: float = 2.0, target: str = "") -> None:
        files = self.cluster.files[self.node]
        self.say(
            Open(
                "test", self.node, self.member.incarnation, self.cluster.service, target or self.cluster.target,
                str(ROOT), str(self.directory), durability, self.addresses,
                str(files.certificate), str(files.key), str(files.authority), mirror_timeout_s,
            )
        )  # fmt: skip

    def assign(
        self,
        term: int,
        role: str,
        *,
        appointment: int = 0,
        peer: Host | None = None,
        in_step: bool = False,
        valid: bool = True,
    ) -> LeasePage:
        """Assign a role, with a page that allows everything (`valid`) or nothing."""
        fd = lease_page.create()
        self.page = page = LeasePage(fd)
        if valid and role == "primary":
            page.valid_until_ns = FOREVER_NS
        if valid and role == "secondary":
            page.ack_term = term
        self.say(Assign(term, role, appointment, peer.peer if peer else None, in_step), (fd,))
        os.close(fd)
        return page

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    async def stop(self) -> host_wire.Stopped:
        self.say(host_wire.Stop())
        stopped = await self.hear(host_wire.Stopped)
        await wait_for(lambda: self.process.poll() is not None, "the process has ended")
        return stopped


class Client:
    """A raw client of one host at a time: frames out, replies in."""

    def __init__(self, cluster: Hosts, name: str = "") -> None:
        self.cluster = cluster
        self.session = 0
        self.number = 0
        self.roles: list[HostRole] = []
        self.replies: dict[int, Reply] = {}
        self.answers: dict[int, Answer] = {}
        self.opened: dict[int, SessionOpened] = {}
        self.changed: list[Changed] = []
        self.requests = 0
        self.stream: Stream | None = None

    async def connect(self, host: Host) -> Client:
        """Talk with this host from now on."""
        if self.stream:
            self.stream.abort()
        self.roles.clear()
        self.stream = dial(host.addresses, self.cluster.client_tls, Identity("node", host.node))
        self.stream.on_frames(self._arrived)
        await wait_for(lambda: self.roles, f"{host.node} greets")
        return self

    def _arrived(self, frames: list[bytes]) -> None:
        for frame in frames:
            message = call_wire.decode_to_client(frame)
            if isinstance(message, Reply):
                self.replies[message.number] = message
            elif isinstance(message, Answer):
                self.answers[message.request] = message
            elif isinstance(message, HostRole):
                self.roles.append(message)
            elif isinstance(message, SessionOpened):
                self.opened[message.request] = message
            else:
                self.changed.append(message)

    def send(self, message: call_wire.ToHost) -> None:
        assert self.stream is not None
        try:
            self.stream.send(call_wire.encode(message))
        except StreamClosed:
            pass  # the test connects to the next host and repeats

    async def serving(self) -> None:
        await wait_for(lambda: self.roles and self.roles[-1].serving, "the host serves")

    async def open_session(self) -> Client:
        self.requests += 1
        request = self.requests
        self.send(OpenSession(request))
        opened = await wait_for(lambda: self.opened.get(request), "the session is open")
        self.session = opened.session
        return self

    def submit(self, operation: str, acknowledged: int = 0, number: int = 0, **arguments: Any) -> int:
        """Send a call; return its number."""
        if not number:
            self.number += 1
            number = self.number
        self.send(Call(self.session, number, acknowledged, operation, encode_value(arguments)))
        return number

    async def reply(self, number: int, deadline_s: float = DEADLINE_S) -> Reply:
        reply: Reply = await wait_for(
            lambda: self.replies.get(number), f"call {number} is answered", deadline_s
        )
        return reply

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call and return the result."""
        reply = await self.reply(self.submit(operation, **arguments))
        assert reply.outcome == call_wire.DONE, (reply.outcome, decode_value(reply.payload or b"\xc0"))
        return decode_value(reply.payload)

    def ask(self, operation: str, confirm: bool = False, **arguments: Any) -> int:
        self.requests += 1
        self.send(Query(self.requests, operation, encode_value(arguments), confirm))
        return self.requests

    async def query(self, operation: str, confirm: bool = False, **arguments: Any) -> Any:
        request = self.ask(operation, confirm, **arguments)
        answer = await wait_for(lambda: self.answers.get(request), f"{operation} is answered")
        assert answer.outcome == call_wire.DONE, decode_value(answer.payload or b"\xc0")
        return decode_value(answer.payload)


class Hosts:
    """The hosts of one service, their certificates and directories."""

    def __init__(
        self, directory: Path, service: str = "inventory", target: str = INVENTORY, *, links: int = 2
    ) -> None:
        self.directory, self.service, self.target, self.links = directory, service, target, links
        self.command = [sys.executable, "-m", "primacy.host"]
        self.environment: dict[str, str] = {}
        self.authority = Authority.create(directory / "authority", "test")
        self.files = {node: self.authority.issue_node(directory / "keys", node) for node in ("a", "b", "c")}
        self.client_tls = client_context(self.authority.issue_client(directory / "keys", "tester"))
        self.hosts: list[Host] = []
        self.revision = 0

    def with_policy(self, **policy: int) -> None:
        """Let the hosts take checkpoints at other times."""
        imports = "from primacy.host.__main__ import main; from primacy.host.core import Policy"
        source = f"{imports}; main(Policy(**{policy!r}))"
        self.command = [sys.executable, "-c", source]

    def spawn(self, node: str, directory: Path | None = None) -> Host:
        host = Host(self, node, secrets.token_hex(16), directory or self.directory / node)
        self.hosts.append(host)
        return host

    async def start(self, node: str, durability: str = "disk", **options: Any) -> Host:
        """Start a host and wait until it has opened its service."""
        host = self.spawn(node)
        host.open(durability, **options)
        host.opened = await host.hear(host_wire.Opened)  # type: ignore[attr-defined]
        return host

    async def alone(self, host: Host, term: int) -> None:
        """Make the host a serving primary without a vice."""
        host.assign(term, "primary")
        host.say(host_wire.Serve(term))

    async def join(self, primary: Host, secondary: Host, term: int, *, ready: bool = True) -> int:
        """Appoint the secondary, wait until it has joined, and make it ready; return the appointment."""
        self.revision += 1
        appointment = self.revision
        primary.say(host_wire.Appoint(term, appointment, secondary.peer))
        secondary.assign(term, "secondary", appointment=appointment, peer=primary)
        joined = await primary.hear(host_wire.Joined)
        assert (joined.term, joined.appointment) == (term, appointment)
        if ready:
            primary.say(host_wire.Ready(term, appointment))
        return appointment

    async def switch(self, old: Host, new: Host, term: int) -> None:
        """Hand over from the primary `old` of `term` to its ready secondary: `new` is primary of term + 1."""
        old.say(host_wire.Quiesce(term))
        await old.hear(host_wire.Quiesced)
        assert old.page is not None
        assert new.page is not None
        old.page.revoke()
        new.page.revoke()
        self.revision += 1
        new.assign(term + 1, "primary", appointment=self.revision, peer=old, in_step=True)
        old.assign(term + 1, "secondary", appointment=self.revision, peer=new, in_step=True)
        new.say(host_wire.Serve(term + 1))

    async def client(self, host: Host, session: bool = True) -> Client:
        client = await Client(self).connect(host)
        if session:
            await client.serving()
            await client.open_session()
        return client

    def close(self) -> None:
        for host in self.hosts:
            if host.process.poll() is None:
                host.process.send_signal(signal.SIGCONT)
                host.process.kill()
            host.process.wait()
            host.channel.close()
            host.errors.close()
