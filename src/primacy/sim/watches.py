"""W1: what one watch was told, and whether that is what the service has published, in order and without a gap.

A watch may be ended and begun again where it was; what it was told is one list all the same. Positions that a primary
no longer keeps are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from primacy.machines.client_session import Pushed, Watching
from primacy.machines.ids import MS
from primacy.machines.replica import Published

LATE_NS = 500 * MS
"""So long a watch may take to be told of something, and to be begun."""

Item = tuple[int, str, bytes]


class Told:
    """Of one client. began: all after this position is told (-1: nothing is known yet); wrong: the first error."""

    def __init__(self, client: str, topic: str) -> None:
        self.client, self.topic = client, topic
        self.began = -1
        self.items: list[Item] = []
        self.wrong = ""
        self.watching: Watching | None = None
        self._since_ns = 0

    @property
    def position(self) -> int:
        """Where to begin again; 0: from now on."""
        return self.items[-1][0] if self.items else max(self.began, 0)

    def begin(self, now_ns: int) -> Watching:
        """Return a watch that goes on where the last one was."""
        self._since_ns = now_ns
        if not self.position:
            self.began = -1
        self.watching = Watching(self, self.topic, self.position)
        return self.watching

    def end(self) -> Watching:
        """Return the watch that is to be ended; nothing more of it may be told."""
        assert self.watching is not None
        watching, self.watching = self.watching, None
        return watching

    def take(self, push: Pushed) -> None:
        """Each position is higher than the one before; the first one may be any."""
        if push.watching is not self.watching:
            self._fail(f"was told of events of a watch that it had ended: {push.items}")
        if push.lost and self.position:
            self._fail(f"was told that events after {self.position} are lost")
        if push.lost:
            self.began, self.items = -1, []
        for item in push.items:
            if item[0] <= self.position and self.items:
                self._fail(f"was told of event {item[0]} after event {self.position}")
            self.items.append(item)
        if self.began < 0:
            self.began = push.items[0][0] - 1 if push.items else push.watching.position

    def behind(self, events: Sequence[Published], upto: int, now_ns: int) -> str:
        """Return what a watch that goes on was not told, of what was published long ago: up to this position."""
        if self.watching is None or now_ns - self._since_ns < LATE_NS:
            return ""
        if not self.watching.begun:
            return f"{self.client} watches {self.topic!r}, and no primary has answered"
        for event in reversed(events):
            if event.position <= upto and event.topic.startswith(self.topic):
                late = event.position > self.position
                return f"{self.client} was not told of event {event.position}" if late else ""
        return ""

    def judge(self, events: Sequence[Published], keeper: str) -> str:
        """Compare with what the last primary keeps; return what is not so."""
        if self.wrong or self.began < 0:
            return self.wrong
        oldest = events[0].position if events else 1
        after, upto = max(self.began, oldest - 1), self.position
        told = [item for item in self.items if item[0] > after]
        kept = [
            (event.position, event.topic, event.payload)
            for event in events
            if after < event.position <= upto and event.topic.startswith(self.topic)
        ]
        if told == kept:
            return ""
        other = min(item[0] for item in set(told) ^ set(kept))
        if other not in {item[0] for item in kept}:
            return f"{self.client} was told of event {other}, which {keeper} does not keep"
        if other not in {item[0] for item in told}:
            return f"{self.client} was not told of event {other}, which {keeper} keeps"
        return f"{self.client} was told another event {other} than {keeper} keeps"

    def _fail(self, text: str) -> None:
        if not self.wrong:
            self.wrong = f"{self.client} {text}"
