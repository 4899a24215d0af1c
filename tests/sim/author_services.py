"""Services for the tests of the authors' simulator: a sound one, and others that break a rule each."""

from __future__ import annotations

import asyncio
import datetime
import random
import time
import uuid

import msgspec

import primacy
from primacy.service import Context, OperationContext, TimerContext


class Things(msgspec.Struct):
    """The state of all of them."""

    numbers: dict[str, float] = {}
    tags: set[str] = set()
    last: str = ""


class Sound(primacy.Service[Things]):
    """Obeys all rules."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Count one more."""
        self.state.numbers[key] = self.state.numbers.get(key, 0) + 1
        self.state.tags.add(key)
        ctx.publish(f"key/{key}", self.state.numbers[key])
        return self.state.numbers[key]

    @primacy.operation
    def stamp(self, ctx: OperationContext, key: str) -> int:
        """Return what only `ctx` knows."""
        self.state.last = f"{key} {ctx.time_ns} {ctx.random.random()}"
        return ctx.sequence

    @primacy.operation
    def fail(self, ctx: OperationContext, key: str) -> None:
        """Raise."""
        raise KeyError(key)

    @primacy.query
    def read(self, key: str) -> float:
        """Return the count."""
        return self.state.numbers.get(key, 0)

    @primacy.query
    def tags(self) -> set[str]:
        """Return a set."""
        return self.state.tags


class Ticking(Sound):
    """Counts by itself."""

    @primacy.timer(0.5)
    async def tick(self, ctx: TimerContext) -> None:
        """Count."""
        await ctx.call("add", key="tick")


class Reluctant(Sound):
    """Never gives the mastership away."""

    @primacy.on("switchover", level=1)
    async def never(self, ctx: Context) -> None:
        """Refuse."""
        if ctx.old_state == "primary":
            raise primacy.Refused(["not today"])


class Waiting(Sound):
    """Waits in a callback for time to pass, which is virtual."""

    @primacy.on("promote", level=1)
    async def wait(self, ctx: Context) -> None:
        """Wait."""
        await asyncio.sleep(0.5)


class Connecting(Sound):
    """Waits in a callback for a socket, which virtual time has not."""

    @primacy.on("promote", level=1)
    async def connect(self, ctx: Context) -> None:
        """Connect."""
        await asyncio.open_connection("127.0.0.1", 9)


# ---- what breaks the rules ----


class Chance(Sound):
    """Draws from the process's own source."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Draw."""
        self.state.numbers[key] = random.random()
        return 1.0


class WallClock(Sound):
    """Reads the clock."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Read it."""
        self.state.numbers[key] = time.time()
        return 1.0


class Calendar(Sound):
    """Reads the clock in whole days: two executions nearly always come to the same."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Read it."""
        self.state.numbers[key] = float(datetime.date.today().toordinal())
        return 1.0


class Unique(Sound):
    """Makes an id of its own."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Make it."""
        self.state.last = str(uuid.uuid4())
        return 1.0


class SetOrder(Sound):
    """Takes the first of a set."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Take it."""
        self.state.tags.add(key)
        self.state.last = next(iter(self.state.tags))
        return 1.0


class SetInResult(Sound):
    """Returns a text in a set's order."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> str:
        """Join."""
        self.state.tags.add(key)
        return ",".join(self.state.tags)


class SharedDefault(Sound):
    """Changes a default that all calls share."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Append in place."""
        return self._count(key)

    def _count(self, key: str, seen: list[str] = []) -> float:  # noqa: B006 (the very mistake)
        seen.append(key)
        self.state.numbers[key] = len(seen)
        return 1.0


class BesideTheState(Sound):
    """Keeps something beside the state, and counts on it."""

    count = 0

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Count on it."""
        self.count += 1
        self.state.numbers[key] = self.count
        return 1.0


class NodeInState(Sound):
    """Knows its node by a callback, and writes it into the state."""

    @primacy.on("initialize", level=1)
    async def where(self, ctx: Context) -> None:
        """Note the node."""
        self.node = ctx.node

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Write it."""
        self.state.last = self.node
        return 1.0


class Forgetful(Sound):
    """Its snapshot leaves something out."""

    def restore(self, snapshot: bytes) -> None:
        """Restore, and forget."""
        super().restore(snapshot)
        self.state.numbers.pop("b", None)


class Undone(Sound):
    """Its own snapshot is one field short."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> str:
        """Tell whether the key is new."""
        again = key in self.state.tags
        self.state.tags.add(key)
        return "again" if again else "new"

    def snapshot(self) -> bytes:
        """Leave the tags out."""
        return msgspec.msgpack.encode(self.state.numbers)

    def restore(self, snapshot: bytes) -> None:
        """Restore what is there."""
        self.state = Things(msgspec.msgpack.decode(snapshot))


class Cached(Sound):
    """Answers from what it keeps beside the state."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, float] = {}

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> float:
        """Keep it there."""
        self.cache[key] = Sound.add(self, ctx, key)
        return self.cache[key]

    @primacy.query
    def read(self, key: str) -> float:
        """Look there."""
        return self.cache.get(key, 0)


class Timely(Sound):
    """Reads the clock in a query."""

    @primacy.query
    def read(self, key: str) -> float:
        """Read it."""
        return self.state.numbers[key] if time.time() > 0 else 0


class TagsInOrder(Sound):
    """Answers with a set's elements in its order."""

    @primacy.query
    def read(self, key: str) -> str:
        """Join."""
        return ",".join(self.state.tags)


class Half(Sound):
    """Its snapshot leaves the numbers out, and only a query looks at them."""

    @primacy.operation
    def add(self, ctx: OperationContext, key: str) -> None:
        """Count, and tell nobody."""
        self.state.numbers[key] = self.state.numbers.get(key, 0) + 1

    def snapshot(self) -> bytes:
        """Leave the numbers out."""
        return msgspec.msgpack.encode(self.state.tags)

    def restore(self, snapshot: bytes) -> None:
        """Restore what is there."""
        self.state = Things(tags=msgspec.msgpack.decode(snapshot, type=set[str]))
