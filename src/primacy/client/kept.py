"""A stream that is dialed anew whenever it has ended: to whatever process is at these addresses, for ever.

A stream of CGTP keeps its links up by itself, but belongs to one process at the other end and ends with it.
This keeps the place: when another process has taken it, the owner is told `on_gone`, then `on_dialed` of a
new stream.

Never in here: what is said on the stream, and what its end means.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence

from primacy.cgtp.stream import Address, Identity, Stream, dial
from primacy.errors import StreamClosed

REDIAL_MIN_S = 0.02
REDIAL_MAX_S = 1.0
STABLE_S = 1.0
"""After a stream that lasted so long the back-off begins anew."""


class Kept:
    """Keeps one place dialed until it is closed."""

    def __init__(self, addresses: Sequence[Address], tls: ssl.SSLContext, expect: Identity | None) -> None:
        self.addresses: list[Address] = [(host, port) for host, port in addresses]
        self._tls, self._expect = tls, expect
        self._loop = asyncio.get_running_loop()
        self._redial: asyncio.TimerHandle | None = None
        self._backoff_s = REDIAL_MIN_S
        self._stream: Stream | None = None
        self._why_ended = ""
        self._closed = False

    def begin(
        self,
        on_dialed: Callable[[], None],
        on_frames: Callable[[list[bytes]], None],
        on_gone: Callable[[str], None],
    ) -> None:
        """Dial.  `on_dialed`: there is a new stream, and what is sent now is the first that it carries."""
        self._on_dialed, self._on_frames, self._on_gone = on_dialed, on_frames, on_gone
        self._dial()

    @property
    def up(self) -> bool:
        """Is there a link to the process now?"""
        return self._stream is not None and self._stream.links_up > 0

    @property
    def stream(self) -> Stream | None:
        """The stream that is there now, up or not."""
        return self._stream

    def why_down(self) -> str:
        """Return the last errors of the links, or why the last stream has ended."""
        if self._stream is not None:
            links = self._stream.statistics().links.values()
            errors = [link.last_error for link in links if link.last_error]
            if errors:
                return "; ".join(dict.fromkeys(errors))
        return self._why_ended

    def send(self, frame: bytes) -> None:
        """Send on the stream that is there now; without one the frame is dropped (see `on_gone`)."""
        if self._stream is not None:
            try:
                self._stream.send(frame)
            except StreamClosed:
                pass  # its end is on its way to `on_gone`

    def abort(self, reason: str) -> None:
        """End the stream that is there now; another is dialed."""
        if self._stream is not None:
            self._stream.abort(reason)

    def close(self, reason: str) -> Stream | None:
        """End the stream in order, for good; return it, so that its end may be awaited."""
        self._closed = True
        if self._redial:
            self._redial.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(reason)
        return stream

    def _dial(self) -> None:
        self._dialed_s = self._loop.time()
        self._stream = stream = dial(self.addresses, self._tls, self._expect)
        stream.on_frames(self._on_frames)
        stream.on_closed(self._ended)
        self._on_dialed()

    def _ended(self, reason: str) -> None:
        if self._closed:
            return
        self._stream, self._why_ended = None, reason
        if self._loop.time() - self._dialed_s >= STABLE_S:
            self._backoff_s = REDIAL_MIN_S
        self._redial = self._loop.call_later(self._backoff_s * random.uniform(0.5, 1.0), self._dial)
        self._backoff_s = min(REDIAL_MAX_S, 2 * self._backoff_s)
        self._on_gone(reason)
