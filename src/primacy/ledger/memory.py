"""The ledger in memory: for the simulator and for tests. Nothing outlives the process.

`Store` is the whole truth, pure and synchronous: a harness with virtual time calls it without any event loop.
Same calls, same results: it knows no clock, thread, or random source. `MemoryLedger` is its thin asynchronous
face; several faces on one store are several clients. It never fails by itself: `Unavailable` and `Uncertain`
are for the harness to inject (drop the call, or make it and drop the answer).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import msgspec

from primacy.errors import Compacted, ConfigError, Conflict, Unavailable
from primacy.ledger.api import CHANGES_KEPT, Change, Entry, check_cluster, check_swap

_stores: dict[str, Store] = {}
"""What `memory://name` means in this process."""


class Store:
    """Entries and the newest `keep` changes of one cluster's ledger."""

    def __init__(self, cluster: str, keep: int = CHANGES_KEPT) -> None:
        assert keep > 0, keep
        self.cluster = cluster
        self.revision = 1
        self._keep = keep
        self._entries: dict[str, Entry] = {}
        self._changes: list[Change] = []  # revisions without gaps, the last one is self.revision
        self._listeners: list[Callable[[], None]] = []  # called in the order of their coming

    def read(self, prefix: str) -> tuple[int, list[Entry]]:
        """Return the revision and the entries below `prefix`, sorted by key."""
        return self.revision, [self._entries[key] for key in sorted(self._entries) if key.startswith(prefix)]

    def swap(self, key: str, value: bytes | None, expect: int) -> int:
        """Write or delete (None) if the key's revision is `expect` (0: absent); return the new revision.

        Raises `Conflict`.
        """
        check_swap(key, value, expect)
        held = self._entries[key].revision if key in self._entries else 0
        if held != expect:
            raise Conflict(f"{key} has revision {held}, not {expect}; nothing was written")
        self.revision += 1
        if value is None:
            del self._entries[key]
        else:
            self._entries[key] = Entry(key, value, self.revision)
        self._changes.append(Change(key, value, self.revision))
        del self._changes[: -self._keep]
        for listener in list(self._listeners):
            listener()
        return self.revision

    def changes_since(self, prefix: str, after: int) -> list[Change]:
        """Return the changes below `prefix` with a revision above `after`, in order. Raises `Compacted`."""
        oldest = self.revision - len(self._changes) + 1
        if max(after, 1) < oldest - 1:
            raise Compacted(
                f"changes are kept from revision {oldest}, asked for those after {after}; read again"
            )
        return [
            change for change in self._changes[max(after + 1 - oldest, 0) :] if change.key.startswith(prefix)
        ]

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every successful swap; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


class MemoryLedger:
    """One client of a `Store`. Each call lets the event loop turn once, as any real store would."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._closed = asyncio.Event()
        self._moved: list[asyncio.Event] = []

    @property
    def cluster(self) -> str:
        """The id of the cluster that the store holds."""
        return self.store.cluster

    async def read(self, prefix: str) -> tuple[int, list[Entry]]:
        """See `Ledger.read`."""
        await self._turn()
        return self.store.read(prefix)

    async def swap(self, key: str, value: bytes | None, expect: int) -> int:
        """See `Ledger.swap`."""
        await self._turn()
        return self.store.swap(key, value, expect)

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Change, None]:
        """See `Ledger.watch`."""
        moved = asyncio.Event()
        self._moved.append(moved)
        ignore = self.store.listen(moved.set)
        try:
            while not self._closed.is_set():
                moved.clear()
                changes, after = self.store.changes_since(prefix, after), max(after, self.store.revision)
                for change in changes:
                    yield change
                    if self._closed.is_set():
                        return
                await moved.wait()
        finally:
            ignore()
            self._moved.remove(moved)

    async def close(self) -> None:
        """See `Ledger.close`; the store itself stays."""
        self._closed.set()
        for moved in self._moved:
            moved.set()

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self._closed.is_set():
            raise Unavailable("this ledger was closed; nothing was written")


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keep: Annotated[int, msgspec.Meta(ge=1)] = CHANGES_KEPT


async def open_engine(url: str, cluster: str | None) -> MemoryLedger:
    """Open the store that this process knows under the name in `memory://name`."""
    name, _ = _parse(url)
    if name not in _stores:
        raise Unavailable(f"ledger {url}: this process has created no such store")
    check_cluster(url, _stores[name].cluster, cluster)
    return MemoryLedger(_stores[name])


async def create_engine(url: str, cluster: str) -> MemoryLedger:
    """Create the store `memory://name?keep=N` if this process has none of that name, and open it."""
    name, settings = _parse(url)
    store = _stores.setdefault(name, Store(cluster, settings.keep))
    check_cluster(url, store.cluster, cluster)
    return MemoryLedger(store)


def _parse(url: str) -> tuple[str, _Settings]:
    parts = urlsplit(url)
    try:
        return parts.netloc, msgspec.convert(dict(parse_qsl(parts.query)), _Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError("ledger", repr(url), f"memory://name?keep=N ({error})") from None
