"""Binding a link's address."""

from __future__ import annotations

import errno
import socket

import pytest

from primacy.cgtp.address import bound

KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_it_binds_and_does_not_wait(kind: socket.SocketKind, host: str) -> None:
    with bound((host, 0), kind) as sock:
        assert sock.getsockname()[0] == host
        assert not sock.getblocking()


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_is_not_there_yet_is_bound(kind: socket.SocketKind) -> None:
    with bound(("192.0.2.77", 0), kind) as sock:
        assert sock.getsockname()[0] == "192.0.2.77"


def test_a_port_that_is_taken_is_an_error() -> None:
    with bound(("127.0.0.1", 0), socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError, match="in use") as caught:
            bound(sock.getsockname(), socket.SOCK_DGRAM)
        assert caught.value.errno == errno.EADDRINUSE
