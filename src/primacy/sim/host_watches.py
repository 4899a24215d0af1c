"""The watches of a simulated primary's clients: what the service publishes is pushed as the real host pushes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.call_wire import Unwatch, Watch, decode_to_client
from primacy.machines.watching import Watches, Watching
from primacy.sim.network import Stream

if TYPE_CHECKING:
    from primacy.sim.host import Host


class Follower:
    """A client as the watches see it: where frames go, and what it watches."""

    def __init__(self, host: Host, stream: Stream) -> None:
        self._host, self._stream = host, stream
        self.watches: dict[int, Watching] = {}

    def send(self, frame: bytes) -> None:
        """Take one frame."""
        self._host.send(self._stream, decode_to_client(frame))

    def flush(self) -> None:
        """It has left already."""


class Pushing:
    """The watches of one term on one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._watches: Watches | None = None
        self._followers: dict[Stream, Follower] = {}

    def begin(self) -> None:
        """This host is primary of a new term."""
        self._watches = Watches(self._host.replica)

    def end(self) -> None:
        """The term has ended here; clients watch where the next primary is."""
        self._watches = None
        self._followers.clear()

    def take(self, stream: Stream, message: Watch | Unwatch) -> None:
        """A client begins a watch, or ends it."""
        if self._watches is None:
            return
        follower = self._followers.setdefault(stream, Follower(self._host, stream))
        if isinstance(message, Watch):
            self._watches.add(follower, message)
        else:
            self._watches.remove(follower, message.request)

    def forget(self, stream: Stream) -> None:
        """The client is gone."""
        follower = self._followers.pop(stream, None)
        if follower is not None and self._watches is not None:
            self._watches.forget(follower)

    def collect(self) -> None:
        """Note what the operations of this turn have published, before it can be committed."""
        if self._watches is not None:
            self._watches.collect()

    @property
    def idle(self) -> bool:
        """There is nothing to push."""
        return self._watches is None or self._watches.idle

    def release(self, upto: int) -> None:
        """The mirror has committed up to here."""
        if self._watches is not None:
            self._watches.release(upto)

    def push(self, committed: int) -> None:
        """Send what is committed; the lease page has just been read."""
        if self._watches is not None:
            self._watches.push(committed)
