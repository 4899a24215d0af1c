"""Watches: clients that are pushed the events that operations publish, in order and none missed.

The last ten thousand events are part of the replicated state, each with a position. A watch goes on behind a
position on whichever server is primary; when that position is no longer kept the client is told so (`lost`)
and lists again. Events leave like replies do: when the entry that published them is committed and the lease
page allows it.  Pure: the caller says what is committed, right after it has read the page.

What was committed once stays so, though replies wait for less while a vice joins: a watch that begins then must not
wait for what the others were told long before, for nobody would tell it again.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from primacy.machines.call_wire import Changed, Watch, encode
from primacy.machines.replica import Published, Replica

ITEMS_BYTES_MAX = 512 << 10
LIMIT_WATCHES = 64


class Sink(Protocol):
    """Where a reply or an event goes."""

    def send(self, frame: bytes) -> None:
        """Take one frame."""

    def flush(self) -> None:
        """Let what was sent leave now."""


class Watcher(Sink, Protocol):
    """A client with its watches."""

    watches: dict[int, Watching]


class Watching:
    """One watch of one client: it has been told of everything up to `position`."""

    __slots__ = ("client", "position", "request", "topic")

    def __init__(self, client: Watcher, request: int, topic: str, position: int) -> None:
        self.client, self.request, self.topic, self.position = client, request, topic, position


class Watches:
    """All watches of a serving primary."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._watches: dict[Watching, None] = {}  # as they began: the order of what is sent
        self._new: dict[Watching, None] = {}  # not yet answered
        self._seen = replica.event_position
        self._unpushed: deque[Published] = deque()
        self._committed = 0

    def add(self, client: Watcher, request: Watch) -> bool:
        """Begin a watch (replacing one of the same number); False: this client has too many."""
        self.remove(client, request.request)
        if len(client.watches) >= LIMIT_WATCHES:
            return False
        watching = Watching(client, request.request, request.topic, request.position)
        client.watches[request.request] = watching
        self._new[watching] = None
        return True

    def remove(self, client: Watcher, request: int) -> None:
        """End a watch."""
        watching = client.watches.pop(request, None)
        if watching is not None:
            self._watches.pop(watching, None)
            self._new.pop(watching, None)
            if not self._watches:
                self._unpushed.clear()

    def forget(self, client: Watcher) -> None:
        """The client is gone."""
        for request in list(client.watches):
            self.remove(client, request)

    def collect(self) -> None:
        """Note what the operations of this turn have published; called before anything of it can be
        committed.
        """
        count = self._replica.event_position - self._seen
        if count:
            self._seen = self._replica.event_position
            if self._watches:
                events = self._replica.events
                count = min(count, len(events))
                self._unpushed.extend(events[index] for index in range(-count, 0))

    @property
    def idle(self) -> bool:
        """There is nothing to push."""
        return not self._new and not self._unpushed

    def release(self, upto: int) -> None:
        """The mirror has committed up to here, or up to less than before."""
        self._committed = max(self._committed, upto)

    def push(self, committed: int) -> None:
        """Send what is committed; the lease page has just been read."""
        self.release(committed)
        committed = self._committed
        fresh: list[Published] = []
        while self._unpushed and self._unpushed[0].sequence <= committed:
            fresh.append(self._unpushed.popleft())
        if fresh:
            for watching in self._watches:
                _send(watching, fresh, fresh[-1].position, first=False)
        for watching in self._new:
            self._begin(watching, committed)
        self._new.clear()

    def _begin(self, watching: Watching, committed: int) -> None:
        """Answer a new watch with what it has missed."""
        events = self._replica.events
        upto = next((event.position for event in reversed(events) if event.sequence <= committed), 0)
        oldest = events[0].position if events else self._replica.event_position + 1
        after = watching.position or upto
        lost = after < oldest - 1
        missed = [event for event in events if after < event.position <= upto]
        if not self._watches:  # nothing was collected while nobody watched
            self._unpushed.extend(event for event in events if event.position > upto)
            self._seen = self._replica.event_position
        self._watches[watching] = None
        if lost:
            watching.position = upto
            watching.client.send(encode(Changed(watching.request, [], upto, lost=True)))
            watching.client.flush()
        else:
            _send(watching, missed, upto, first=True)


def _send(watching: Watching, events: list[Published], upto: int, *, first: bool) -> None:
    """Send the events of the watch's topic, in pieces that fit into a frame; a new watch is answered in any
    case.
    """
    items: list[tuple[int, str, bytes]] = []
    size = 0
    for event in events:
        if event.position <= watching.position or not event.topic.startswith(watching.topic):
            continue
        if items and size + len(event.payload) > ITEMS_BYTES_MAX:
            watching.client.send(encode(Changed(watching.request, items, items[-1][0])))
            items, size = [], 0
        items.append((event.position, event.topic, event.payload))
        size += len(event.payload) + len(event.topic) + 32
    watching.position = max(watching.position, upto)
    if items or first:
        watching.client.send(encode(Changed(watching.request, items, upto)))
        watching.client.flush()
