"""One service, as one simulated client talks with it: the client's real machine, with streams to hosts in virtual time.

It keeps a stream to the host of the service on each node, and obeys the machine. What comes of a call is told to a
subclass: `finished`, `failed`, `pushed`.
"""

from __future__ import annotations

import random

from primacy.machines.call_wire import Answer, Reply, ToClient
from primacy.machines.client_calls import Pending
from primacy.machines.client_session import Effect, Failed, Finished, Pushed, Send, ServiceSession
from primacy.machines.ids import FOREVER_NS, MS
from primacy.sim.host import Host
from primacy.sim.network import Network, Stream
from primacy.sim.node import Node
from primacy.sim.process import Process
from primacy.sim.scheduler import Scheduler

CONNECT_NS = (MS, 20 * MS)
RECONNECT_NS = 50 * MS


class Conversation(Process):
    """Base of simulated clients. name: also the client's place in the network."""

    def __init__(
        self,
        name: str,
        service: str,
        scheduler: Scheduler,
        network: Network,
        nodes: dict[str, Node],
        source: random.Random,
    ) -> None:
        super().__init__(name, scheduler)
        self.network, self.nodes, self.random = network, nodes, source
        self.session = ServiceSession(service)
        self._streams: dict[str, Stream] = {}
        self._tick_ns = FOREVER_NS

    def finished(self, pending: Pending, reply: Reply | Answer) -> None:
        """A call has its answer."""

    def failed(self, pending: Pending, error: Exception) -> None:
        """A call has ended without one."""

    def pushed(self, push: Pushed) -> None:
        """Events of a watch."""

    # ---- streams ----

    def look_around(self) -> None:
        """Begin with the hosts that listen already."""
        for node in self.nodes.values():
            host = node.primary(self.session.service)
            if host is not None:
                self.host_came(host)

    def host_came(self, host: Host) -> None:
        """A host has begun to listen."""
        if host.service == self.session.service:
            self.timer(self.scheduler.now_ns + int(self.random.uniform(*CONNECT_NS)), self._connect, host)

    def _connect(self, host: Host) -> None:
        node = host.member.node
        if not host.alive:
            return
        there, back = self.network.route(self.name, node), self.network.route(node, self.name)
        if node in self._streams or not there.open or not back.open:
            self.timer(self.scheduler.now_ns + RECONNECT_NS, self._connect, host)
            return
        stream = Stream(self.network, (self, host), (self.name, node), _closed)
        self._streams[node] = stream
        stream.send(self, host.client_came, stream)

    def stream_closed(self, stream: Stream) -> None:
        """A host is gone."""
        for node, known in list(self._streams.items()):
            if known is stream:
                del self._streams[node]
                self.obey(self.session.gone(node, self.scheduler.now_ns))

    def received(self, node: str, message: ToClient) -> None:
        """A host's message is here."""
        self.obey(self.session.receive(node, [message], self.scheduler.now_ns))

    # ---- the machine ----

    def obey(self, effects: list[Effect]) -> None:
        """Obey the machine's effects in order."""
        now_ns = self.scheduler.now_ns
        for effect in effects:
            match effect:
                case Send(node=node, message=message) if node in self._streams:
                    stream = self._streams[node]
                    host = stream.ends[1]
                    assert isinstance(host, Host)
                    stream.send(self, host.client_sent, stream, message, now_ns)
                case Finished(pending=pending, reply=reply):
                    self.finished(pending, reply)
                case Failed(pending=pending, error=error):
                    self.failed(pending, error)
                case Pushed():
                    self.pushed(effect)
        if self.session.wake_ns < self._tick_ns:
            self._tick_ns = self.session.wake_ns
            self.timer(self._tick_ns, self._tick, self._tick_ns)

    def _tick(self, at_ns: int) -> None:
        if at_ns == self._tick_ns:
            self._tick_ns = FOREVER_NS
            self.obey(self.session.tick(self.scheduler.now_ns))


def _closed(end: Process, stream: Stream) -> None:
    if isinstance(end, Host):
        end.client_gone(stream)
    elif isinstance(end, Conversation):
        end.stream_closed(stream)
