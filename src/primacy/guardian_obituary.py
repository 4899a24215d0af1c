"""The obituaries that the guardian holds for its agent, and their release.

An obituary is a sealed datagram, one for each peer: "the processes of this incarnation are dead". The agent
seals them in advance and the guardian sends the bytes as they are, having no cryptography of its own. It must
release them only when every process of the node's last life is dead and reaped: a peer acts on one at once,
without waiting for a lease. They belong to one incarnation, so a release empties what is held; the next agent
brings its own.

A release is sent at once and ten times within a second on every link, densely at first, because a lost first
packet costs the cluster the time to the second. Nothing here waits: sockets are bound when the obituaries are
taken over and never block, and addresses are numeric, so nobody is asked for a name. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import socket
from typing import NamedTuple

REPEATS_MS = (0, 2, 5, 10, 20, 50, 100, 200, 400, 900)
ITEMS_MAX = 1024
PAYLOAD_BYTES_MAX = 1400


class _Datagram(NamedTuple):
    local_address: str
    address: str
    port: int
    payload: bytes


class _Repeat(NamedTuple):
    due_ns: int
    datagrams: tuple[_Datagram, ...]


class Obituaries:
    """Holds the obituaries of the living incarnation; sends released ones when they are due."""

    def __init__(self) -> None:
        self._held: tuple[_Datagram, ...] = ()
        self._repeats: list[_Repeat] = []
        self._sockets: dict[str, socket.socket] = {}
        self.sent_count = 0
        self.failed_count = 0

    def hold(self, items: object) -> list[str]:
        """Replace what is held by `[[local address, address, port, base64], ...]`; return the links that are
        down.

        Raises `ValueError` if the list is malformed; what was held is then still held.
        """
        if not isinstance(items, list) or len(items) > ITEMS_MAX:
            raise ValueError(f"obituaries: wanted a list of up to {ITEMS_MAX}")
        self._held = tuple(_datagram(item) for item in items)
        wanted = {each.local_address for each in self._held}
        still_used = {each.local_address for repeat in self._repeats for each in repeat.datagrams}
        for local_address in self._sockets.keys() - wanted - still_used:
            self._sockets.pop(local_address).close()
        down = []
        for local_address in sorted(wanted):
            try:
                self._socket(local_address)
            except OSError as error:
                down.append(f"{local_address}: {error.strerror}")
        return down

    def release(self, now_ns: int) -> int:
        """Send all that is held, now and repeatedly; nothing is held afterwards. Returns their number."""
        released, self._held = self._held, ()
        if released:
            self._repeats += [_Repeat(now_ns + each * 1_000_000, released) for each in REPEATS_MS]
            self.send_due(now_ns)
        return len(released)

    @property
    def due_ns(self) -> int | None:
        """When the next repetition is due; None: all were sent."""
        return min((each.due_ns for each in self._repeats), default=None)

    def send_due(self, now_ns: int) -> None:
        """Send the repetitions that are due."""
        due = [each for each in self._repeats if each.due_ns <= now_ns]
        if due:
            self._repeats = [each for each in self._repeats if each.due_ns > now_ns]
        for repeat in due:
            for datagram in repeat.datagrams:
                try:
                    link = self._socket(datagram.local_address)
                    link.sendto(datagram.payload, (datagram.address, datagram.port))
                except OSError:  # link down, buffer full: the other link or the next repetition gets through
                    self.failed_count += 1
                else:
                    self.sent_count += 1

    def close(self) -> None:
        """Close the sockets; nothing more is sent."""
        self._held, self._repeats = (), []
        for bound in self._sockets.values():
            bound.close()
        self._sockets.clear()

    def _socket(self, local_address: str) -> socket.socket:
        bound = self._sockets.get(local_address)
        if bound is None:
            bound = socket.socket(_family(local_address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                bound.bind((local_address, 0))
            except OSError:
                bound.close()
                raise
            self._sockets[local_address] = bound
        return bound


def _datagram(item: object) -> _Datagram:
    if not isinstance(item, list) or len(item) != 4:
        raise ValueError("an obituary: wanted [local address, address, port, base64]")
    local_address, address, port, text = item
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ValueError(f"an obituary: got port {port!r}, wanted 1 to 65535")
    if not isinstance(text, str):
        raise ValueError("an obituary: wanted base64 text")
    try:
        payload = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"an obituary: {error}") from None
    if not 1 <= len(payload) <= PAYLOAD_BYTES_MAX:
        raise ValueError(f"an obituary: got {len(payload)} bytes, wanted 1 to {PAYLOAD_BYTES_MAX}")
    return _Datagram(_numeric(local_address), _numeric(address), port, payload)


def _numeric(address: object) -> str:
    if not isinstance(address, str):
        raise ValueError(f"an obituary: got address {address!r}, wanted text")
    try:
        socket.inet_pton(_family(address), address)
    except OSError:
        raise ValueError(f"an obituary: got address {address!r}, wanted a numeric one") from None
    return address


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
