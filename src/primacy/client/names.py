"""The naming service in its own words: `cluster.names`.

    await cluster.names.bind("shop/till/1", endpoint="10.0.0.7:8100", lifetime="session")
    entry = await cluster.names.resolve("shop/till/1")
    async for change in cluster.names.watch("shop"):
        print(change.name, change.entry)

Failures have types: `InvalidName`, `NameExists`, `NameNotFound`; besides them a call can end in what any
call can.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from primacy.client.conversation import Conversation, encode_value
from primacy.client.handles import DEADLINE_S
from primacy.errors import (
    Busy,
    Deadline,
    InvalidName,
    NameExists,
    NameNotFound,
    NamingError,
    NoPrimary,
    OperationFailed,
)
from primacy.machines import naming
from primacy.machines.naming import SESSION, Change, Entry, Listed, Page

NameEntry = Listed
"""A name and what it is bound to."""
Entries = list[Listed]

CHUNK_BYTES = 192 << 10
"""How much `bind_many` sends in one operation."""

_FAILURES: dict[str, type[NamingError]] = {
    kind.__name__: kind for kind in (InvalidName, NameExists, NameNotFound)
}
_decode_change = msgspec.msgpack.Decoder(Change).decode


class NameChange(msgspec.Struct, frozen=True):
    """A change of a name; `entry` is what it is bound to now, `before` what it was (None: nothing)."""

    name: str
    entry: Listed | None
    before: Listed | None


class Names:
    """The names of one cluster."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.holds_session_names = False
        """Was a name bound with lifetime `session` by this client?"""

    async def bind(
        self,
        name: str,
        endpoint: str,
        attributes: dict[str, str] | None = None,
        lifetime: str | None = None,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> int:
        """Bind a name that is not bound; return the binding's version.

        lifetime: None (until unbound) | `session` (10 s longer than this client gives signs of life, and
        not longer than until it closes) | `node:ID` (until that node leaves).
        """
        entry = self._checked(Entry(name, endpoint, attributes or {}, lifetime))
        return int(await self._call("bind", msgspec.structs.asdict(entry), deadline_s))

    async def rebind(
        self,
        name: str,
        endpoint: str,
        attributes: dict[str, str] | None = None,
        lifetime: str | None = None,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> int:
        """Bind a name whatever it is bound to; like `bind` otherwise."""
        entry = self._checked(Entry(name, endpoint, attributes or {}, lifetime))
        return int(await self._call("rebind", msgspec.structs.asdict(entry), deadline_s))

    async def bind_many(
        self, entries: Iterable[Entry], *, replace: bool = False, deadline_s: float = DEADLINE_S
    ) -> int:
        """Bind many names, up to 500 in one operation, which binds all or nothing; return how many it were."""
        checked = [self._checked(entry) for entry in entries]
        for chunk in _chunks(checked):
            await self._call("bind_many", {"entries": chunk, "replace": replace}, deadline_s)
        return len(checked)

    async def unbind(self, name: str, *, deadline_s: float = DEADLINE_S) -> int:
        """Unbind a name; return the version of the change."""
        return int(await self._call("unbind", {"name": name}, deadline_s))

    async def release(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Unbind every name that this client's session owns; return how many those were."""
        return int(await self._call("release", {}, deadline_s))

    async def resolve(self, name: str, *, confirm: bool = False, deadline_s: float = DEADLINE_S) -> Listed:
        """Return what a name is bound to."""
        found: Listed = await self._query("resolve", {"name": name}, Listed, deadline_s, confirm)
        return found

    async def watch(self, prefix: str = "", *, current: bool = True) -> AsyncIterator[NameChange]:
        """Yield the changes of `prefix` and of all names below it, in order, for ever.

        current: begin with what is bound now.  None is missed over a switchover or failover; where the
        service no longer keeps what has happened meanwhile, the difference is told instead of each step.
        """
        if reason := naming.check_prefix(prefix):
            raise InvalidName(reason)
        known: dict[str, Listed] = {}
        async with aclosing(self._conversation.watch(prefix, 0)) as subscription:
            await subscription.wait_begun()  # then list: nothing falls between, and nothing is told twice
            listing = await self._listing(prefix)
            for change in _differences(known, listing.entries):
                if current:
                    yield change
            async for item in subscription:
                if item is None:
                    listing = await self._listing(prefix)
                    for change in _differences(known, listing.entries):
                        yield change
                    continue
                told = _decode_change(item[2])
                if naming.under(told.name, prefix) and told.version > listing.version_of(told.name):
                    yield _apply(known, told)

    async def list(
        self,
        prefix: str = "",
        recursive: bool = False,
        *,
        confirm: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> Entries:
        """Return what lies directly below `prefix`, or with `recursive` the prefix and every name below it;
        in order."""
        if reason := naming.check_prefix(prefix):
            raise InvalidName(reason)
        found: dict[str, Listed] = {}
        async for page in self._pages(prefix, recursive, deadline_s, confirm):
            found |= {entry.name: entry for entry in page.entries}
        return [found[name] for name in sorted(found)]

    # ---- inside ----

    async def _listing(self, prefix: str) -> _Listing:
        """List until it works: a watch outlives any outage."""
        while True:
            listing = _Listing()
            try:
                async for page in self._pages(prefix, True, DEADLINE_S, False):
                    listing.add(page)
            except (NoPrimary, Deadline, Busy):
                continue
            return listing

    async def _pages(
        self, prefix: str, recursive: bool, deadline_s: float, confirm: bool
    ) -> AsyncIterator[Page]:
        after, more = "", True
        while more:
            arguments = {"prefix": prefix, "recursive": recursive, "after": after}
            page = await self._query("listing", arguments, Page, deadline_s, confirm)
            yield page
            after = page.after
            more = bool(after)

    def _checked(self, entry: Entry) -> Entry:
        if reason := naming.check_entry(entry):
            raise InvalidName(reason)
        if entry.lifetime == SESSION:
            self.holds_session_names = True
        return entry

    async def _call(self, operation: str, arguments: dict[str, Any], deadline_s: float) -> Any:
        try:
            return await self._conversation.call(operation, arguments, deadline_s)
        except OperationFailed as error:
            raise _typed(error) from None

    async def _query(
        self, operation: str, arguments: dict[str, Any], kind: type[Any], deadline_s: float, confirm: bool
    ) -> Any:
        try:
            answer = await self._conversation.query(operation, arguments, deadline_s, confirm=confirm)
        except OperationFailed as error:
            raise _typed(error) from None
        return msgspec.convert(answer, kind)


class _Listing:
    """A listing that came in pages, each of its own version."""

    def __init__(self) -> None:
        self.entries: dict[str, Listed] = {}
        self._ends: list[str] = []
        self._versions: list[int] = []

    def add(self, page: Page) -> None:
        self.entries |= {entry.name: entry for entry in page.entries}
        self._ends.append(page.after)
        self._versions.append(page.version)

    def version_of(self, name: str) -> int:
        """Return the version as of which the listing tells about this name."""
        return self._versions[bisect_left(self._ends, name, hi=len(self._ends) - 1)]


def _typed(error: OperationFailed) -> OperationFailed:
    kind = _FAILURES.get(error.kind)
    return kind(error.message) if kind else error


def _apply(known: dict[str, Listed], told: Change) -> NameChange:
    before = known.pop(told.name, None)
    binding, entry = told.binding, None
    if binding is not None:
        entry = Listed(
            told.name, binding.endpoint, binding.attributes, binding.lifetime, told.version, directory=False
        )
        known[told.name] = entry
    return NameChange(told.name, entry, before)


def _differences(known: dict[str, Listed], listed: dict[str, Listed]) -> Iterator[NameChange]:
    """Yield what has changed from `known` to `listed`, and make it so."""
    for name in sorted(known.keys() - listed.keys()):
        yield NameChange(name, None, known.pop(name))
    for name, entry in listed.items():
        before = known.get(name)
        if before != entry:
            known[name] = entry
            yield NameChange(name, entry, before)


def _chunks(entries: list[Entry]) -> Iterator[list[Any]]:
    """Yield the entries in parts that fit into one operation."""
    chunk: list[Any] = []
    size = 0
    for entry in entries:
        length = len(encode_value(entry))
        if chunk and (len(chunk) == naming.ENTRIES_MAX or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += length
    if chunk:
        yield chunk
