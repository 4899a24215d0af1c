"""A node's certificate and place in the hands of somebody else, for tests of what that does not let him do.

    async with Impostor(live, "n3") as impostor:
        await impostor.keyed("n1")
        impostor.send("n1", Obituary(...))

It listens where the node would, greets the other agents as that node, and gets the keys of its pairs. So whatever it
then sends is authentic, and its sender is known: that node.
"""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Any

from primacy.agent.peers import PeerStreams
from primacy.cgtp.crypto import PairKey
from primacy.cgtp.listener import Listener
from primacy.cgtp.tls import TlsFiles, client_context, server_context
from primacy.machines import messages
from primacy.machines.ids import Member
from tests.cluster.cluster_tools import Live, wait_for


def files_of(live: Live, node: str) -> TlsFiles:
    """Return the certificate of a node."""
    directory = live.layout.node(node)
    return TlsFiles(
        directory / f"node-{node}.pem", directory / f"node-{node}.key", directory / "authority.pem"
    )


def udp(count: int) -> list[socket.socket]:
    """Return sockets that send datagrams, one for each link."""
    return [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]


class Impostor:
    """Somebody with the certificate of `node`, which does not run."""

    def __init__(self, live: Live, node: str) -> None:
        self._live = live
        self.me = Member(node, os.urandom(16).hex())
        self.keys: dict[str, PairKey] = {}
        self.peers: dict[str, Member] = {}
        self.counter = 0
        self._listener = Listener()
        self._sockets = udp(2)

    async def __aenter__(self) -> Impostor:
        files, table = files_of(self._live, self.me.node), self._live.table_in_force
        self.streams = PeerStreams(self.me, client_context(files), self._keyed, lambda *_: None, _answer)
        self.streams.start({node: table.agent_addresses(node) for node in table.nodes})
        await self._listener.start(
            table.agent_addresses(self.me.node), server_context(files), self.streams.accept
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.streams.close()
        self._listener.close()
        await self._listener.wait_closed()
        for sock in self._sockets:
            sock.close()

    async def keyed(self, node: str) -> None:
        """Wait until there is a key for datagrams to this node."""
        await wait_for(lambda: node in self.keys, f"keys for {node}")

    def seal(self, node: str, message: messages.Message) -> bytes:
        """Return the next datagram for a node."""
        self.counter += 1
        return self.keys[node].seal(self.counter, messages.encode(message))

    def send(self, node: str, message: messages.Message) -> None:
        """Send a message to a node, on every link."""
        self.send_bytes(node, self.seal(node, message))

    def send_bytes(self, node: str, datagram: bytes) -> None:
        """Send these bytes to a node's agent, on every link."""
        for sock, address in zip(self._sockets, self._live.table_in_force.agent_addresses(node), strict=True):
            sock.sendto(datagram, address)

    def _keyed(
        self, member: Member, addresses: list[tuple[str, int]], send_key: bytes, receive_key: bytes
    ) -> None:
        self.peers[member.node] = member
        mine, theirs = bytes.fromhex(self.me.incarnation), bytes.fromhex(member.incarnation)
        self.keys[member.node] = PairKey(send_key, mine, theirs)


async def _answer(node: str, verb: str, arguments: dict[str, Any]) -> tuple[str, Any, list[str]]:
    return "failed", None, ["nobody is here"]
