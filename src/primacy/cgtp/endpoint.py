"""One end of a stream: frames in order, exactly once, over however many links are up.

`dialer` and `listener` bring it connections that have shaken hands (`attach`); it sends every batch on each
of them, delivers the next number from whichever brings it first, and drops the rest. A stream outlives all
its links; it ends only by `close`, `abort`, the peer's farewell, another process in the peer's place, or
(accepting side) after `linger_s` without a link.

Invariants: a frame is delivered at most once and only after all before it; `on_closed` is called once, last,
from the loop; nothing here waits except `drain` and `wait_up`. Never in here: a decision about roles.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

import msgspec

from primacy.cgtp.connection import Connection
from primacy.cgtp.framing import FRAME_BYTES_MAX, Close, Reader, encode_acknowledge, encode_control
from primacy.cgtp.link import LAG_BYTES_MAX, Link, LinkStatistics, StreamStatistics
from primacy.cgtp.outbox import OVERRUN_BYTES, RETAINED_BYTES, Outbox
from primacy.cgtp.tls import Identity
from primacy.errors import StreamClosed, WireError

ACKNOWLEDGE_BYTES = 256 << 10
ACKNOWLEDGE_DELAY_S = 0.02
"""Deliveries are acknowledged with the next batch, or alone after so many bytes or so long."""
LINKS_MAX = 8
UNKNOWN = Identity("unknown", "")


class Stream:
    """One end; made by `dial` or by a `Listener`."""

    def __init__(self, peer: Identity, linger_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.peer = peer
        """Who the other end is: proven by its certificate, once a link has been up."""
        self._statistics = StreamStatistics()
        self._closed: str | None = None
        self._linger_s = linger_s
        self._lingering: asyncio.TimerHandle | None = None
        self._linger()
        self._links: dict[int, Link] = {}
        self._links_down: set[int] = set()
        self._outbox = Outbox()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._flush_due = False
        self._delivered = 0
        self._acknowledged = 0  # the last number that we have acknowledged
        self._unacknowledged_bytes = 0
        self._acknowledge_due = False
        self._waiting: list[asyncio.Future[None]] = []
        self._early: list[bytes] = []
        self._on_frames: Callable[[list[bytes]], None] = self._early.extend
        self._on_links: Callable[[int], None] = _ignore
        self._on_closed: Callable[[str], None] = _ignore
        self.leaving: list[asyncio.Future[None]] = []
        """What must be done before nothing is left of the stream, once it has ended."""
        self.when_ended: Callable[[], None] = _nothing
        """For the dialer or the listener that made this end."""
        self.when_link_set: Callable[[int, bool], None] = _ignore_link

    # -- sending --

    def send(self, frame: bytes) -> None:
        """Send one frame (at most 1 MiB) after all earlier ones; never waits.

        The frames of one loop turn leave together. Raises `StreamClosed` once the stream has ended. Who sends
        much awaits `drain` between; a stream with 32 MiB unacknowledged ends.
        """
        if self._closed is not None:
            raise StreamClosed(f"the stream to {self.peer} has ended: {self._closed}")
        size = len(frame)
        if size > FRAME_BYTES_MAX:
            raise WireError(f"a frame of {size} bytes for {self.peer}: at most {FRAME_BYTES_MAX} are allowed")
        self._pending.append(frame)
        self._pending_bytes += size
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what was sent so far now, instead of at the end of the loop's turn."""
        self._flush_due = False
        frames = self._pending
        if not frames:
            return
        self._pending, self._pending_bytes = [], 0
        outbox, links = self._outbox, self._links
        self._acknowledged = self._delivered
        self._unacknowledged_bytes = 0
        self._statistics.frames_sent += len(frames)
        slow = False
        for record in outbox.seal(frames, self._delivered):
            for link in links.values():
                link.offer(record)
                slow = slow or link.backlog_bytes > LAG_BYTES_MAX
        if slow:
            self._close_slow_links()
        if outbox.bytes_retained > OVERRUN_BYTES:
            self._end(f"overrun: {OVERRUN_BYTES} bytes unacknowledged, and the writer does not wait")

    async def drain(self) -> None:
        """Wait while the stream is congested; `StreamClosed` if it has ended."""
        while self.congested and self._closed is None:
            await self._wait()
        if self._closed is not None:
            raise StreamClosed(f"the stream to {self.peer} has ended: {self._closed}")

    @property
    def congested(self) -> bool:
        """More than 8 MiB are unacknowledged: the writer should wait (`drain`)."""
        return self._outbox.bytes_retained + self._pending_bytes > RETAINED_BYTES

    # -- what the owner is told --

    def on_frames(self, callback: Callable[[list[bytes]], None]) -> None:
        """Call back with the frames of each arrival, in order; those that came before this call follow at once."""
        self._on_frames = callback
        if self._early:
            early, self._early = self._early, []
            callback(early)

    def on_links(self, callback: Callable[[int], None]) -> None:
        """Call back with the number of links that are up whenever it has changed (0: the peer is unreachable)."""
        self._on_links = callback

    def on_closed(self, callback: Callable[[str], None]) -> None:
        """Call back once with the reason when the stream has ended."""
        self._on_closed = callback
        if self._closed is not None:
            self._loop.call_soon(callback, self._closed)

    @property
    def links_up(self) -> int:
        """How many links are up."""
        return len(self._links)

    @property
    def closed(self) -> str | None:
        """Why the stream has ended, or None."""
        return self._closed

    async def wait_up(self, timeout_s: float) -> None:
        """Wait for the first link; `TimeoutError` tells each link's last error, `StreamClosed` if the stream ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._links and self._closed is None:
                    await self._wait()
        if self._closed is not None:
            raise StreamClosed(f"the stream to {self.peer} has ended: {self._closed}")
        if not self._links:
            errors = [f"link {index}: {link.last_error}" for index, link in self._statistics.links.items()]
            raise TimeoutError(f"no link to {self.peer} within {timeout_s} s; {'; '.join(errors)}")

    def statistics(self) -> StreamStatistics:
        """Return what this end has done so far."""
        past = self._statistics
        return msgspec.structs.replace(
            past,
            batches_sent=self._outbox.last,
            batches_delivered=self._delivered,
            batches_duplicate=past.batches_duplicate
            + sum(link.reader.duplicates for link in self._links.values()),
            bytes_retained=self._outbox.bytes_retained,
            links=dict(past.links),
        )

    # -- links --

    def set_link(self, index: int, up: bool) -> None:
        """Take a link down on an operator's word (nothing goes over it until it is set up again), or up."""
        if up:
            self._links_down.discard(index)
        else:
            self._links_down.add(index)
            if link := self._links.get(index):
                link.connection.close("the link is set down")
        self.when_link_set(index, up)

    def link_allowed(self, index: int) -> bool:
        """Not set down."""
        return index not in self._links_down

    def attach(
        self,
        index: int,
        connection: Connection,
        reader: Reader,
        received: int,
        on_gone: Callable[[str], None],
    ) -> None:
        """Make a connection that has shaken hands a link of this stream; the peer has `received` up to this number."""
        self._outbox.acknowledge(received)
        old, link = self._links.get(index), Link(index, connection, reader, self._outbox, received, on_gone)
        self._links[index] = link
        self._links = dict(sorted(self._links.items()))  # link 0 is written first
        if old:
            self._detach(old, "replaced by a newer connection")
            old.connection.close()
        connection.on_data = partial(self._arrived, link)
        connection.on_writable = link.pump
        connection.on_lost = partial(self._detach, link)
        self.link_statistics(index).joins += 1
        if self._lingering:
            self._lingering.cancel()
            self._lingering = None
        link.pump()
        self._wake()
        self._on_links(len(self._links))
        if self._closed is None:
            self._arrived(link, b"")

    def link_statistics(self, index: int) -> LinkStatistics:
        """Return the counters of one link, to be changed."""
        return self._statistics.links.setdefault(index, LinkStatistics())

    @property
    def delivered(self) -> int:
        """Number of the last batch that was delivered here."""
        return self._delivered

    def end(self, reason: str) -> None:
        """The dialer or the listener has learnt that this stream cannot go on."""
        self._end(reason)

    def count_garbage(self) -> None:
        """Count a connection that was closed because of what it sent."""
        self._statistics.garbage += 1

    def _detach(self, link: Link, reason: str) -> None:
        self.link_statistics(link.index).last_error = reason
        self._statistics.batches_duplicate += link.reader.duplicates
        link.connection.on_data, link.connection.on_lost = _ignore, _ignore
        link.connection.on_writable = _nothing
        if self._links.get(link.index) is link:
            del self._links[link.index]
            if not self._links:
                self._linger()
            if self._closed is None:
                self._on_links(len(self._links))
        link.on_gone(reason)

    def _linger(self) -> None:
        if self._linger_s is not None and self._closed is None:
            reason = f"lingered too long: no link for {self._linger_s:g} s"
            self._lingering = self._loop.call_later(self._linger_s, self._end, reason)

    def _close_slow_links(self) -> None:
        if len(self._links) < 2:
            return
        best, now_s = min(link.backlog_bytes for link in self._links.values()), self._loop.time()
        for link in self._links.values():
            if link.too_slow(best, now_s):
                self.link_statistics(link.index).closed_slow += 1
                link.connection.close(f"too slow: more than {LAG_BYTES_MAX} bytes behind the best link")

    # -- receiving --

    def _arrived(self, link: Link, data: bytes) -> None:
        reader = link.reader
        try:
            frames = reader.feed(data, self._delivered)
            if reader.acknowledged > self._outbox.acknowledged:
                self._outbox.acknowledge(reader.acknowledged)
                if self._waiting and not self.congested:
                    self._wake()
        except WireError as error:
            self.count_garbage()
            link.connection.close(str(error))
            return
        if frames:
            self._delivered = reader.delivered
            self._unacknowledged_bytes += len(data)
            self._statistics.frames_delivered += len(frames)
            self._flush_due = True  # what the callback sends leaves right after it
            try:
                self._on_frames(frames)
            finally:
                self.flush()
            if self._acknowledged < self._delivered:
                if self._unacknowledged_bytes >= ACKNOWLEDGE_BYTES:
                    self._acknowledge()
                elif not self._acknowledge_due:
                    self._acknowledge_due = True
                    self._loop.call_later(ACKNOWLEDGE_DELAY_S, self._acknowledge_late)
        if reader.close is not None and self._closed is None:
            self._end(f"closed by the peer: {reader.close.reason}")

    def _acknowledge_late(self) -> None:
        self._acknowledge_due = False
        if self._acknowledged < self._delivered and self._closed is None and self._links:
            self._acknowledge()

    def _acknowledge(self) -> None:
        record, sent = encode_acknowledge(self._delivered), False
        for link in list(self._links.values()):
            if not link.connection.blocked:
                link.connection.write(record)
                sent = True
        if sent:
            self._acknowledged, self._unacknowledged_bytes = self._delivered, 0
        elif not self._acknowledge_due:
            self._acknowledge_due = True
            self._loop.call_later(ACKNOWLEDGE_DELAY_S, self._acknowledge_late)

    # -- the end --

    def close(self, reason: str = "its owner closed it") -> None:
        """End the stream in order: what was sent still leaves on the links that are up, then the peer is told."""
        if self._closed is not None:
            return
        self.flush()
        farewell = encode_control(Close(reason))
        for link in self._links.values():
            link.finish(farewell)
        self._end("closed here", keep_connections=True)

    def abort(self, reason: str = "aborted here") -> None:
        """End the stream at once; what the kernel has not taken is lost, and the peer is not told."""
        self._end(reason)

    def _end(self, reason: str, *, keep_connections: bool = False) -> None:
        if self._closed is not None:
            return
        self._closed = reason
        self._pending, self._pending_bytes = [], 0
        if self._lingering:
            self._lingering.cancel()
        for link in list(self._links.values()):
            if not keep_connections:
                link.connection.close(reason)
            self._detach(link, reason)
            self._leave(link.connection)
        self._outbox.clear()
        self._wake()
        self.when_ended()
        self._loop.call_soon(self._on_closed, reason)

    async def wait_closed(self) -> None:
        """Wait until the stream has ended and nothing of it is left: what could be flushed is flushed."""
        while self._closed is None:
            await self._wait()
        if self.leaving:
            await asyncio.wait(self.leaving)

    def _leave(self, connection: Connection) -> None:
        gone: asyncio.Future[None] = self._loop.create_future()
        connection.on_lost = lambda reason: gone.set_result(None)
        self.leaving.append(gone)

    async def _wait(self) -> None:
        """Wait until something has changed that `drain` or `wait_up` may wait for."""
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _nothing() -> None:
    return


def _ignore(argument: object) -> None:
    return


def _ignore_link(index: int, up: bool) -> None:
    return
