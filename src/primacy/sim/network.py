"""The network between nodes and clients: two links per pair, each direction with faults of its own.

*Datagrams* go out on every link as separate copies, each of which may be late, lost, duplicated or overtaken;
the receiver's duplicate window (`machines/dedup.py`, one for each pair of lives) lets the first copy through. They are
sealed for one incarnation and reach no other. A route that *holds* lets nothing through, and loses nothing: what was
sent meanwhile arrives when it releases, in order or not, however long that is.

A *channel* is one direction of a stream between two processes: in order, nothing lost while both live. It
uses the fastest open link; when all are cut it waits. When a process ends, the other end learns of it (if a
link is open) after everything that was written before. No rule of the cluster may rest on that: a machine that has
*fallen silent* (power) tells nobody, and its streams are half-open: what the other end sends is swallowed, until its
own kernel gives up, or the machine is back and says that it knows of no such stream.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from primacy.machines.dedup import Window
from primacy.machines.ids import MS
from primacy.sim.process import Process
from primacy.sim.scheduler import Scheduler

LINKS = 2
RETRANSMISSION_NS = 200 * MS
REPEATED_NS = 20 * MS
"""A copy that comes so soon after the first one is left out: that repetitions are known is shown by the later ones."""
SILENT_NS = (5_000 * MS, 6_500 * MS)
"""When a kernel gives up a connection that nothing comes from: the keep-alive of `cgtp/connection.py`."""
REFUSED_NS = (0, 1_000 * MS)
"""When a machine that is back is asked next about a connection that it does not know: a keep-alive each second."""
OVERTAKEN_MAX = 1_000
"""A datagram that was overtaken by no more than so many later ones is delivered by its first copy, and by no other."""


@dataclass(slots=True)
class Wire:
    """One direction of one link. Each fault holds it for itself: a wire is cut while `cuts` > 0."""

    delay_ns: tuple[int, int]
    cuts: int = 0
    loss: float = 0.0
    duplication: float = 0.0
    extra_ns: int = 0  # up to so much more delay, for each packet anew: late and overtaken packets


@dataclass(slots=True)
class Route:
    """All links from one place to another, and who waits for one of them to open."""

    wires: list[Wire]
    filters: int = 0  # datagrams are filtered while it is above 0; streams pass
    stalls: int = 0  # streams that were there when it began stand still while it is above 0; all else passes
    stalled: int = 0  # how many times that has begun
    holds: int = 0  # nothing passes while it is above 0, and nothing is lost
    held: list[tuple[int, Pair, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    waiting: list[Channel] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether something passes: at least one link is not cut."""
        return not self.holds and any(not wire.cuts for wire in self.wires)


@dataclass(slots=True)
class Pair:
    """What one life of a node sends to one life of another: their numbers, the window, and what has truly arrived."""

    sent: int = 0
    window: Window = field(default_factory=Window)
    arrived: set[int] = field(default_factory=set)


class Network:
    """All routes by (source, target); places are ids of nodes and clients.

    misjudged: told when a window takes a first copy for a repetition, or a repetition for a first copy.
    """

    def __init__(self, scheduler: Scheduler, source: random.Random, delay_ns: tuple[int, int]) -> None:
        self.scheduler = scheduler
        self._random = source
        self._delay_ns = delay_ns
        self._routes: dict[tuple[str, str], Route] = {}
        self._pairs: dict[tuple[str, str], Pair] = {}
        self.misjudged: Callable[[str], None] = lambda text: None
        self._silent: dict[str, list[Stream]] = {}  # by place: who does not know yet that it fell silent

    def route(self, source: str, target: str) -> Route:
        """The links from `source` to `target`."""
        key = (source, target)
        if key not in self._routes:
            self._routes[key] = Route([Wire(self._delay_ns) for _ in range(LINKS)])
        return self._routes[key]

    def datagram(
        self,
        source: str,
        target: str,
        lives: tuple[str, str],
        action: Callable[..., None],
        *arguments: Any,
        sealed: bool = False,
    ) -> None:
        """Send one datagram on every link; `action` is called once, when the first copy arrives (if any does).

        lives: the incarnations of sender and receiver. sealed: in advance, with the number 0 (an obituary).
        """
        pair, route = self._pairs.setdefault(lives, Pair()), self.route(source, target)
        pair.sent += not sealed
        number = 0 if sealed else pair.sent
        delays_ns: list[int] = []
        for wire in route.wires:
            if wire.cuts or route.filters:
                continue
            copies = 1 + (wire.duplication > 0 and self._random.random() < wire.duplication)
            for _ in range(copies):
                if wire.loss and self._random.random() < wire.loss:
                    continue
                delays_ns.append(self._delay(wire))
        if route.holds:
            route.held += [(delay_ns, pair, number, action, arguments) for delay_ns in delays_ns]
            return
        first_ns = min(delays_ns, default=0)
        for delay_ns in delays_ns:
            if delay_ns == first_ns or delay_ns - first_ns > REPEATED_NS:
                self.scheduler.after(delay_ns, self._arrive, pair, number, action, arguments)

    def _arrive(
        self, pair: Pair, number: int, action: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        """Let the receiver's window judge a copy; what it takes for new is delivered."""
        first = number not in pair.arrived
        new = pair.window.accept(number)
        if new != first and (not number or pair.sent - number <= OVERTAKEN_MAX):
            self.misjudged(
                f"{'a repetition' if new else 'the first copy'} of datagram {number} of {pair.sent}"
            )
        pair.arrived.add(number)
        if new:
            action(*arguments)

    def delay_ns(self, route: Route) -> int:
        """Return the time that a segment of a stream takes; lost ones are sent again."""
        best = -1
        for wire in route.wires:
            if wire.cuts:
                continue
            delay = self._delay(wire)
            while wire.loss and self._random.random() < min(wire.loss, 0.9):
                delay += RETRANSMISSION_NS
            best = delay if best < 0 else min(best, delay)
        assert best >= 0, "no link is open"
        return best

    def cut(self, source: str, target: str, link: int, by: int) -> None:
        """Cut (by=1) or mend (by=-1) one link in one direction; -1: all links."""
        route = self.route(source, target)
        for wire in route.wires if link < 0 else [route.wires[link]]:
            wire.cuts += by
        self._flow(route)

    def stall(self, source: str, target: str, by: int) -> None:
        """Let the streams that there are stand still in one direction (by=1), or go on (by=-1)."""
        route = self.route(source, target)
        route.stalls += by
        route.stalled += by > 0
        self._flow(route)

    def hold(self, source: str, target: str) -> None:
        """Hold everything in one direction from now on."""
        self.route(source, target).holds += 1

    def release(self, source: str, target: str, *, in_order: bool) -> None:
        """Let what was held arrive: in the order in which it was sent, or in any."""
        route = self.route(source, target)
        route.holds -= 1
        if route.holds:
            return
        held, route.held = route.held, []
        last_ns = 0
        for delay_ns, pair, number, action, arguments in held:
            if in_order:
                last_ns = delay_ns = max(last_ns, delay_ns)
            self.scheduler.after(delay_ns, self._arrive, pair, number, action, arguments)
        self._flow(route)

    @staticmethod
    def _flow(route: Route) -> None:
        """Streams that have waited go on, if they can."""
        if route.open:
            waiting, route.waiting = route.waiting, []
            for channel in waiting:
                channel.go_on()

    # ---- silence ----

    def fall_silent(self, place: str) -> None:
        """From now on nobody hears that the streams of this place have ended."""
        self._silent.setdefault(place, [])

    def speak(self, place: str) -> None:
        """The place is back: who still holds a stream to it will be told that there is none."""
        for stream in self._silent.pop(place, ()):
            self.scheduler.after(int(self._random.uniform(*REFUSED_NS)), stream.heard)

    def unheard(self, stream: Stream, places: tuple[str, str]) -> bool:
        """Say whether the end of this stream is not heard now; then it will be when the other kernel gives up."""
        for place in places:
            if place in self._silent:
                self._silent[place].append(stream)
                self.scheduler.after(int(self._random.uniform(*SILENT_NS)), stream.heard)
                return True
        return False

    def _delay(self, wire: Wire) -> int:
        low, high = wire.delay_ns
        delay = low + int(self._random.random() * (high - low))
        if wire.extra_ns:
            delay += int(self._random.random() ** 2 * wire.extra_ns)
        return delay


class Channel:
    """One direction of a stream: `send` here, `receive` there."""

    def __init__(self, network: Network, source: str, target: str, receiver: Process) -> None:
        self._network = network
        self._route = network.route(source, target)
        self.receiver = receiver
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._last_ns = 0
        self._waits = False
        self._stalled = self._route.stalled  # when it was made

    def send(self, action: Callable[..., None], *arguments: Any) -> None:
        """Let the receiver call `action`, after everything sent before."""
        self._queue.append((action, arguments))
        self.pump()

    def pump(self) -> None:
        """Put on the way what is queued, if that can pass; else wait."""
        route = self._route
        while self._queue:
            if not route.open or (route.stalls and self._stalled < route.stalled):
                if not self._waits:
                    self._waits = True
                    route.waiting.append(self)
                return
            action, arguments = self._queue.popleft()
            network = self._network
            self._last_ns = max(self._last_ns, network.scheduler.now_ns + network.delay_ns(route))
            network.scheduler.at(self._last_ns, self.receiver.deliver, action, *arguments)

    def go_on(self) -> None:
        """What it has waited for may be so."""
        self._waits = False
        self.pump()

    def abandon(self) -> None:
        """Forget what was not put on the way yet (the machine that held it has lost its power)."""
        self._queue.clear()


class Stream:
    """A connection between two processes (`ends`) at two places; it ends with either of them.

    closed: called with the process that hears of the end, and the stream. It is never reopened: a new one is
    made.
    """

    def __init__(
        self,
        network: Network,
        ends: tuple[Process, Process],
        places: tuple[str, str],
        closed: Callable[[Process, Stream], None],
    ) -> None:
        self.ends, self._places, self._network = ends, places, network
        self.open = True
        self._told = False
        self._closed = closed
        forth = Channel(network, places[0], places[1], ends[1])
        back = Channel(network, places[1], places[0], ends[0])
        self._channels = (forth, back)
        for end in ends:
            end.streams.append(self)

    def send(self, sender: Process, action: Callable[..., None], *arguments: Any) -> None:
        """Let the other process call `action`; nothing happens when the stream is closed."""
        if self.open:
            self._channels[0 if sender is self.ends[0] else 1].send(action, *arguments)

    def other(self, end: Process) -> Process:
        """The process at the other end."""
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def close(self, *, abruptly: bool = False) -> None:
        """End the stream: the processes that still live hear of it after what was sent. abruptly: power is gone."""
        if not self.open:
            return
        self.open = False
        for end in self.ends:
            end.streams.remove(self)
        for channel in self._channels if abruptly else ():
            channel.abandon()
        if not abruptly or not self._network.unheard(self, self._places):
            self.heard()

    def heard(self) -> None:
        """The ends that still live hear that it has ended."""
        if not self._told:
            self._told = True
            for channel in self._channels:
                channel.send(self._closed, channel.receiver, self)
