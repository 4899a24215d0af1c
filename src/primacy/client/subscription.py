"""A watch from its reader's side: an asynchronous iterator, fed by a conversation, with a limit.

Items come in order, each once, whatever happens to the servers.  `None` stands where events are gone for
good (the service does not keep that many, or the reader was too slow): then the reader lists again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from primacy.errors import StreamClosed

ITEMS_MAX = 10_000
"""A reader that is so far behind loses them."""

Item = tuple[int, str, bytes]
"""(position, topic, payload)"""


class Subscription:
    """One watch."""

    def __init__(self, on_end: Callable[[Subscription], None]) -> None:
        self._on_end = on_end
        self._items: deque[Item | None] = deque()
        self._more = asyncio.Event()
        self._ended: str | None = None
        self._broken = False
        self._begun = asyncio.Event()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Item | None:
        while not self._items:
            if self._broken:
                raise StreamClosed(f"the watch has ended: {self._ended}")
            if self._ended is not None:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._items.popleft()

    async def wait_begun(self) -> None:
        """Wait until the service has taken the watch: what happens from there on is not missed."""
        await self._begun.wait()
        if self._broken:
            raise StreamClosed(f"the watch has ended: {self._ended}")

    async def aclose(self) -> None:
        """End the watch."""
        self._on_end(self)
        self.end("its reader closed it")

    def pushed(self, items: list[Item], lost: bool) -> None:
        """Take what has arrived, after a loss if `lost`."""
        self._begun.set()
        if len(self._items) + len(items) > ITEMS_MAX:
            items, lost = [], True
        if lost:
            self._items.clear()
            self._items.append(None)
        self._items.extend(items)
        self._more.set()

    def end(self, reason: str, *, broken: bool = False) -> None:
        """Nothing comes any more; `broken`: not by the reader's will."""
        if self._ended is None:
            self._ended, self._broken = reason, broken
        self._begun.set()
        self._more.set()
