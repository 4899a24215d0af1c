"""Sockets bound to a link's address, whether the address is there already or not.

A node must start while one of its links is dead, and the address of a dead link may be missing. Linux binds
it all the same (IP_FREEBIND, ip(7)): what is sent there fails until the address appears, which is what a dead
link does.
"""

from __future__ import annotations

import contextlib
import socket
import sys

Address = tuple[str, int]
"""A host and a port; of a link, the host is numeric."""

_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


def bound(address: Address, kind: socket.SocketKind) -> socket.socket:
    """Return a new non-blocking socket bound to a numeric address; `OSError` if the port is taken."""
    six = ":" in address[0]
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind))
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
            sock.setsockopt(level, _IPV6_FREEBIND if six else _IP_FREEBIND, 1)
        sock.bind(address)
        stack.pop_all()  # it is the caller's now
        return sock
