"""What a ledger is: the small, linearizable store of the configuration table and the mastership record.

An engine must offer exactly this and may promise no more; what is written here is what the rules of
mastership rest on. One contract suite runs against every engine.

It knows keys, values and revisions; it must never know what a node, a term or a lease is, and nothing on the
path of beats or of data may wait for it.

Invariants of every engine:

- **Revisions** are store-wide, start above 0 and grow by every swap that succeeds. An entry's revision is
  that of the swap that wrote it, so a key that was deleted and written again never has an old revision again.
- **`read` is linearizable**: it shows every swap that had succeeded anywhere before the read began.
- **`swap` is atomic** and ends in one of four ways, of which only the last leaves a question open:
  the new revision (written, and durable); `Conflict` (not written: the key's revision is another one);
  `Unavailable` (not written, and it never will be); `Uncertain` (it was written, or it may still be).
- **The very same swap may be repeated** until it is settled: when the first try was written, `expect` is no
  longer the key's revision and the repeat gets `Conflict`. (With `expect = 0` that holds unless somebody
  deleted the key in between.) Cancelling a task that awaits a swap leaves the swap uncertain.
- **History never goes backwards**: a ledger that finds less or other than it has already seen (an older copy
  was put back, the store was replaced) is `Unavailable`, with a message that says so, until the right one is
  back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final, Protocol

import msgspec

from primacy.errors import ConfigError

VALUE_BYTES_MAX: Final = 1 << 20
KEY_LENGTH_MAX: Final = 512
CHANGES_KEPT: Final = 10_000
"""How many of the newest changes an engine keeps for watches, where the engine decides that itself."""


class Entry(msgspec.Struct, frozen=True):
    """One key as it stands: `revision` is that of the swap that wrote `value` (JSON as UTF-8 bytes)."""

    key: str
    value: bytes
    revision: int


class Change(msgspec.Struct, frozen=True):
    """One successful swap: `value` is None where it deleted the key; `revision` is the swap's own."""

    key: str
    value: bytes | None
    revision: int


class Ledger(Protocol):
    """One client's connection to the store; `cluster` is the id of the cluster that the store belongs to."""

    @property
    def cluster(self) -> str:
        """The id of the cluster that the store holds."""

    async def read(self, prefix: str) -> tuple[int, list[Entry]]:
        """Return the store's revision and the entries whose key starts with `prefix`, sorted by key.

        Raises `Unavailable`.
        """

    async def swap(self, key: str, value: bytes | None, expect: int) -> int:
        """Write `value` (None deletes) if the key's revision is `expect` (0: the key does not exist).

        Returns the new revision of the store, which is the entry's. Raises `Conflict`, `Unavailable`,
        `Uncertain`; `ConfigError` for a value above `VALUE_BYTES_MAX`.
        """

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Change, None]:
        """Iterate over every change below `prefix` above revision `after`: in order, each once, none missed.

        While the store is unavailable the iterator waits and then goes on where it was. It ends when the
        ledger is closed; who wants no more of it calls `aclose` (see `contextlib.aclosing`). Raises
        `Compacted` when changes after `after` are no longer kept: read again, watch from there.
        """

    async def close(self) -> None:
        """End every watch and release the store. Later calls are `Unavailable`; closing twice is allowed."""


def check_swap(key: str, value: bytes | None, expect: int) -> None:
    """Refuse what no engine takes, alike in all of them; everything but the size is our own bug."""
    assert 0 < len(key) <= KEY_LENGTH_MAX, key
    assert key.isascii(), key
    assert key.isprintable(), key
    assert expect > 0 or (expect == 0 and value is not None), (key, expect)
    if value is not None:
        value.decode()  # UnicodeDecodeError: the caller sent something that is not JSON
        if len(value) > VALUE_BYTES_MAX:
            raise ConfigError(f"ledger key {key}", f"{len(value)} bytes", f"at most {VALUE_BYTES_MAX} bytes")


def check_cluster(where: str, held: str, wanted: str | None) -> None:
    """Raise `ConfigError` unless the store at `where` belongs to the cluster that is wanted (None: any)."""
    if wanted is not None and held != wanted:
        raise ConfigError(
            f"ledger {where}", f"the ledger of cluster {held!r}", f"that of cluster {wanted!r} is wanted"
        )
