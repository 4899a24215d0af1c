"""The ledger in one SQLite file: for the nodes of one machine, for demos and tests.

The event loop never touches the file: a worker thread does, and each call ends at its deadline even when the
disk hangs. A watch looks at SQLite's data version: at once after swaps of this process, soon after the kernel
has hinted that somebody writes the log (the hint comes before the commit, hence a geometric row of looks),
and at any rate every `poll_ms`. Idle, that is two wake-ups a second.

URL: `sqlite:///absolute/path?deadline_ms=1000&busy_ms=500&poll_ms=500&keep=10000`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from primacy.errors import ConfigError, Unavailable
from primacy.ledger.api import CHANGES_KEPT, Change, Entry, check_cluster, check_swap
from primacy.ledger.notify import WriteNotice
from primacy.ledger.sqlite_format import create
from primacy.ledger.sqlite_store import CHANGES_READ_MAX, SqliteStore
from primacy.ledger.worker import Job, Worker

POLL_FIRST_S: Final = 0.001
POLL_GROWTH: Final = 1.25
POLL_UNHINTED_S: Final = 0.02
"""The longest pause between two looks where the system gives no hints (no inotify)."""
CHECKPOINT_AFTER_S: Final = 0.025
OPEN_DEADLINE_S: Final = 10.0
"""Opening checks the whole file."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the query part of the URL may set."""

    deadline_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1000
    """A call that is not done by then is `Unavailable` or `Uncertain`."""
    busy_ms: Annotated[int, msgspec.Meta(ge=0, le=50_000)] = 500
    """How long to wait for the lock of another process; below `deadline_ms`."""
    poll_ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    """A watch looks at least this often, even without any hint."""
    keep: Annotated[int, msgspec.Meta(ge=1)] = CHANGES_KEPT
    """How many of the newest changes are kept for watches."""

    def __post_init__(self) -> None:
        if self.busy_ms >= self.deadline_ms:
            raise ValueError(f"busy_ms ({self.busy_ms}) must be below deadline_ms ({self.deadline_ms})")


class SqliteLedger:
    """See `primacy.ledger.api.Ledger`; made by `open` only."""

    def __init__(self, path: str, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._store: SqliteStore | None = None  # set and used by the worker's thread only
        self._notice: WriteNotice | None = None
        self._watches: list[asyncio.Event] = []
        self._poll_s = POLL_FIRST_S
        self._poll_longest_s = POLL_UNHINTED_S
        self._hinted = False
        self._changed_s = 0.0
        self._closed = asyncio.Event()
        self._cluster = ""
        self._worker = Worker(f"ledger {path}", settings.deadline_ms / 1000, self._idle)

    @classmethod
    async def open(cls, path: str, settings: Settings, cluster: str | None) -> Self:
        """Open the existing ledger at `path`; see `primacy.ledger.open_ledger`."""
        ledger = cls(path, settings)
        try:
            store = await ledger._worker.run("open", ledger._open_store, OPEN_DEADLINE_S)
            check_cluster(path, store.cluster, cluster)
        except BaseException:
            await ledger.close()
            raise
        ledger._cluster = store.cluster
        with contextlib.suppress(OSError):  # no inotify here, or no watch left: poll
            ledger._notice = WriteNotice(store.log_path)
            ledger._loop.add_reader(ledger._notice.fileno(), ledger._hint)
        ledger._poll_longest_s = settings.poll_ms / 1000 if ledger._notice else POLL_UNHINTED_S
        return ledger

    @property
    def cluster(self) -> str:
        """The id of the cluster that the file holds."""
        return self._cluster

    async def read(self, prefix: str) -> tuple[int, list[Entry]]:
        """See `Ledger.read`."""
        return await self._worker.run("read", lambda _: self._opened().read(prefix))

    async def swap(self, key: str, value: bytes | None, expect: int) -> int:
        """See `Ledger.swap`."""
        check_swap(key, value, expect)
        return await self._worker.run(f"swap {key}", partial(self._swap, key, value, expect))

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Change, None]:
        """See `Ledger.watch`."""
        moved = asyncio.Event()
        self._watches.append(moved)
        try:
            while not self._closed.is_set():
                moved.clear()
                try:
                    upto, changes = await self._worker.run(
                        "watch", partial(self._changes_since, prefix, after)
                    )
                except Unavailable:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_longest_s):
                            await moved.wait()
                    continue
                for change in changes:
                    yield change
                    if self._closed.is_set():
                        return
                after = upto
                if len(changes) < CHANGES_READ_MAX:
                    await moved.wait()
        finally:
            self._watches.remove(moved)

    async def close(self) -> None:
        """See `Ledger.close`; returns at the deadline even if the disk hangs."""
        self._closed.set()
        if self._notice:
            self._loop.remove_reader(self._notice.fileno())
            self._notice.close()
            self._notice = None
        self._wake()
        await self._worker.stop(self._close_store)

    def _wake(self) -> None:
        for moved in self._watches:
            moved.set()

    def _hint(self) -> None:
        """The kernel says that the log was written, by whomever."""
        assert self._notice
        self._notice.drain()
        if self._watches and not self._hinted:
            self._hinted = True
            self._worker.hurry()

    # What follows runs in the worker's thread.

    def _open_store(self, _: Job[SqliteStore]) -> SqliteStore:
        self._store = SqliteStore(self._path, self._settings.busy_ms / 1000, self._settings.keep)
        return self._store

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store:
            store.close()

    def _opened(self) -> SqliteStore:
        assert self._store is not None
        return self._store

    def _swap(self, key: str, value: bytes | None, expect: int, job: Job[int]) -> int:
        try:
            return self._opened().swap(key, value, expect, job.commits)
        finally:
            self._changed_s = time.monotonic()

    def _changes_since(self, prefix: str, after: int, _: Job[Any]) -> tuple[int, list[Change]]:
        return self._opened().changes_since(prefix, after)

    def _idle(self) -> float | None:
        """Look for changes, copy the log to the file when all is quiet; return how long to wait for a job."""
        if self._store is None:
            return None
        waits_s: list[float] = []
        if self._watches:
            if self._hinted:
                self._hinted, self._poll_s = False, POLL_FIRST_S
            if self._store.moved():
                self._poll_s, self._changed_s = POLL_FIRST_S, time.monotonic()
                with contextlib.suppress(RuntimeError):  # the event loop has ended without `close`
                    self._loop.call_soon_threadsafe(self._wake)
            waits_s.append(self._poll_s)
            self._poll_s = min(self._poll_s * POLL_GROWTH, self._poll_longest_s)
        if self._store.unsaved:
            rest_s = self._changed_s + CHECKPOINT_AFTER_S - time.monotonic()
            if rest_s <= 0:
                self._store.checkpoint()
            else:
                waits_s.append(rest_s)
        return min(waits_s, default=None)


async def open_engine(url: str, cluster: str | None) -> SqliteLedger:
    """Open the ledger file that `url` names."""
    path, settings = _parse(url)
    return await SqliteLedger.open(path, settings, cluster)


async def create_engine(url: str, cluster: str) -> SqliteLedger:
    """Create the ledger file that `url` names if there is none, and open it."""
    path, settings = _parse(url)
    await asyncio.to_thread(create, path, cluster)
    return await SqliteLedger.open(path, settings, cluster)


def _parse(url: str) -> tuple[str, Settings]:
    parts = urlsplit(url)
    form = "sqlite:///absolute/path?deadline_ms=1000&busy_ms=500&poll_ms=500&keep=10000"
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigError("ledger", repr(url), form)
    try:
        settings = msgspec.convert(
            dict(parse_qsl(parts.query, keep_blank_values=True)), Settings, strict=False
        )
    except msgspec.ValidationError as error:
        raise ConfigError("ledger", repr(url), f"{form} ({error})") from None
    return "/" + unquote(parts.path).lstrip("/"), settings  # four slashes mean the same as three
