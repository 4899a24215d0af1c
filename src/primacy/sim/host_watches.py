"""The watches of a simulated primary's clients: the real host's `Watches`, with streams in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.call_wire import Unwatch, Watch, decode_to_client
from primacy.machines.watching import Watches, Watching
from primacy.sim.network import Stream

if TYPE_CHECKING:
    from primacy.sim.host import Host


class HostWatches:
    """All of it is of the term in which the host serves."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._watches: Watches | None = None
        self._watchers: dict[Stream, _Watcher] = {}

    def begin(self) -> None:
        """The host serves."""
        self._watches, self._watchers = Watches(self._host.replica), {}

    def end(self) -> None:
        """It does no longer: clients begin their watches anew where the next primary is."""
        self._watches = None

    def take(self, stream: Stream, message: Watch | Unwatch) -> None:
        """Begin or end a watch."""
        if self._watches is None:
            return
        watcher = self._watchers.setdefault(stream, _Watcher(self._host, stream))
        if isinstance(message, Watch):
            self._watches.add(watcher, message)
        else:
            self._watches.remove(watcher, message.request)

    def gone(self, stream: Stream) -> None:
        """A client is gone."""
        watcher = self._watchers.pop(stream, None)
        if watcher is not None and self._watches is not None:
            self._watches.forget(watcher)

    def collect(self) -> None:
        """Note what this turn's operations have published."""
        if self._watches is not None:
            self._watches.collect()

    @property
    def idle(self) -> bool:
        """There is nothing to push."""
        return self._watches is None or self._watches.idle

    def push(self, committed: int) -> None:
        """Send what is committed; the lease page has just been read."""
        if self._watches is not None:
            self._watches.push(committed)


class _Watcher:
    """One client's stream, as the watches see it."""

    def __init__(self, host: Host, stream: Stream) -> None:
        self._host, self._stream = host, stream
        self.watches: dict[int, Watching] = {}

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self._host.send(self._stream, decode_to_client(frame))

    def flush(self) -> None:
        """Every message leaves at once."""
