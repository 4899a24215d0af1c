"""A message channel between two processes of one node: packets of bytes, with descriptors.

It is a `SOCK_SEQPACKET` socket pair. Guardian and agent talk JSON over it, agent and host MessagePack; the
channel moves bytes only. A packet arrives whole, in order, or not at all. It never blocks: what the kernel
does not take waits in a bounded queue, and when that is full the message is refused by name (`send` returns
False, `on_overflow` is called) instead of growing or waiting.

The core is synchronous and knows no loop: the owner watches `fileno()`, calls `receive()` when it is readable
and `flush()` when it is writable and `wants_write`. `attach()` does that on an asyncio (or uvloop) loop.

Invariants: descriptors that were received belong to the receiver, who closes them; descriptors given to
`send` stay the caller's (a queued message holds duplicates). A peer that breaks the rules (a packet too long,
too many descriptors) costs one counted, dropped packet and leaks nothing.
"""

from __future__ import annotations

import array
import enum
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from primacy.errors import WireError

if TYPE_CHECKING:
    import asyncio

MESSAGE_BYTES_MAX = 128 * 1024
MESSAGE_FDS_MAX = 16
QUEUE_BYTES_MAX = 1024 * 1024
BURST_MAX = 64
"""Packets taken by one `receive()`: a busy peer must not keep the owner from its other work."""

_INT_BYTES = array.array("i").itemsize
_SPACE_FOR_FDS = socket.CMSG_SPACE(MESSAGE_FDS_MAX * _INT_BYTES)
_GONE = (BrokenPipeError, ConnectionResetError)
_EXHAUSTED = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

OnMessage = Callable[[bytes, list[int]], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel, as sockets: each becomes a `Channel` in its process."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def from_fd(fd: int, max_queue: int = QUEUE_BYTES_MAX) -> Channel:
    """Take over the inherited descriptor `fd` (not inheritable any more) as a channel."""
    os.set_inheritable(fd, False)
    return Channel(socket.socket(fileno=fd), max_queue)


class _Outcome(enum.Enum):
    SENT = enum.auto()
    LATER = enum.auto()
    LOST = enum.auto()


class Channel:
    """One end of the channel. After `closed` is True nothing more will arrive and `send` returns False."""

    def __init__(
        self,
        sock: socket.socket,
        max_queue: int = QUEUE_BYTES_MAX,
        on_overflow: Callable[[], None] | None = None,
    ) -> None:
        """Take over `sock`; at most `max_queue` bytes wait here; `on_overflow` is told of a refusal."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES_MAX)
        self._sock = sock
        self._buffer = bytearray(MESSAGE_BYTES_MAX)
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._queue_bytes_max = max_queue
        self._on_overflow = on_overflow
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing = False
        self._deaf = False
        self.closed = False
        self.queue_bytes = 0
        self.refused_count = 0
        self.malformed_count = 0

    def fileno(self) -> int:
        """Return the descriptor to watch; -1 once this end is closed."""
        return self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the peer to read."""
        return bool(self._queue)

    def send(self, message: bytes, fds: Sequence[int] = ()) -> bool:
        """Send or queue one packet; False means refused: the queue is full, or the peer is gone.

        Raises `WireError` for a packet that no receiver would take (empty, longer than 128 KiB, more than 16
        descriptors); nothing was sent then.
        """
        if not 0 < len(message) <= MESSAGE_BYTES_MAX:
            raise WireError(f"a message of {len(message)} bytes: a packet takes 1 to {MESSAGE_BYTES_MAX}")
        if len(fds) > MESSAGE_FDS_MAX:
            raise WireError(f"a message with {len(fds)} descriptors: a packet takes up to {MESSAGE_FDS_MAX}")
        if self.closed or self._deaf:
            return False
        if not self._queue:
            outcome = self._transmit(message, fds)
            if outcome is not _Outcome.LATER:
                return outcome is _Outcome.SENT
        if self.queue_bytes + len(message) > self._queue_bytes_max:
            self._refuse()
            return False
        try:
            self._queue.append((message, _duplicates(fds)))
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._refuse()
            return False
        self.queue_bytes += len(message)
        self._watch_writability()
        return True

    def flush(self) -> None:
        """Hand queued packets to the kernel until it takes no more."""
        while self._queue:
            message, fds = self._queue[0]
            if self._transmit(message, fds) is _Outcome.LATER:
                break
            if self._queue:  # else the peer is gone, and with it what waited
                self._queue.popleft()
                self.queue_bytes -= len(message)
                close_all(fds)
        self._watch_writability()

    def receive(self) -> list[tuple[bytes, list[int]]]:
        """Return the packets that have arrived, at most `BURST_MAX`, each with its descriptors (now the
        caller's).

        Sets `closed` when the peer has closed its end or is gone and all it had sent was returned.
        """
        packets: list[tuple[bytes, list[int]]] = []
        while len(packets) < BURST_MAX and not self.closed:
            try:
                length, ancillary, flags, _ = self._sock.recvmsg_into(
                    [self._buffer], _SPACE_FOR_FDS, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                break
            except _GONE:
                self._peer_is_gone()
                break
            fds = _descriptors(ancillary)
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                self.malformed_count += 1
                close_all(fds)
            elif length == 0:
                close_all(fds)
                self._peer_is_gone()
            else:
                packets.append((bytes(memoryview(self._buffer)[:length]), fds))
        return packets

    def attach(
        self, loop: asyncio.AbstractEventLoop, on_message: OnMessage, on_closed: Callable[[], None]
    ) -> None:
        """Drive this end on `loop`: `on_message(message, fds)` for each packet, `on_closed()` once, as the
        last call.

        `on_closed` tells that the peer went away; it is not called for a `close()` of our own.
        """

        def readable() -> None:
            for message, fds in self.receive():
                if self._sock.fileno() < 0:  # a callback closed this end: the rest has no reader
                    close_all(fds)
                else:
                    on_message(message, fds)
            if self.closed and self._sock.fileno() >= 0:
                self.close()
                on_closed()

        self._loop = loop
        loop.add_reader(self._sock.fileno(), readable)
        self._watch_writability()

    def close(self) -> None:
        """Close this end; packets that still waited are dropped."""
        if self._sock.fileno() < 0:
            return
        if self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
        self._peer_is_gone()
        self._sock.close()

    def _transmit(self, message: bytes, fds: Sequence[int]) -> _Outcome:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([message], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return _Outcome.LATER
        except _GONE:
            self._deaf = True  # not `closed`: what the peer had sent before is still to be received
            self._drop_queue()
            return _Outcome.LOST
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._refuse()
            return _Outcome.LOST
        return _Outcome.SENT

    def _refuse(self) -> None:
        self.refused_count += 1
        if self._on_overflow is not None:
            self._on_overflow()

    def _peer_is_gone(self) -> None:
        self.closed = True
        self._drop_queue()
        self._watch_writability()

    def _drop_queue(self) -> None:
        for _, fds in self._queue:
            close_all(fds)
        self._queue.clear()
        self.queue_bytes = 0

    def _watch_writability(self) -> None:
        if self._loop is None or self._writing == bool(self._queue):
            return
        self._writing = bool(self._queue)
        if self._writing:
            self._loop.add_writer(self._sock.fileno(), self.flush)
        else:
            self._loop.remove_writer(self._sock.fileno())


def close_all(fds: Sequence[int]) -> None:
    """Close each of the descriptors."""
    for fd in fds:
        os.close(fd)


def _duplicates(fds: Sequence[int]) -> list[int]:
    """Duplicate all of the descriptors, or none: raises `OSError` with nothing left open."""
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))
    except OSError:
        close_all(copies)
        raise
    return copies


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % _INT_BYTES])
    return fds.tolist()
