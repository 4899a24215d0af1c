"""The agent's line to the ledger: reads, swaps and watches of records, always answered, never waited for.

Every question ends in exactly one callback, whatever the engine does: an engine that hangs is given up after its
deadline (a swap is then uncertain, a read has failed).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from primacy.agent.tasks import Tasks
from primacy.errors import Compacted, ConfigError, Conflict, LedgerError, Unavailable, Uncertain
from primacy.ledger.api import Ledger
from primacy.machines.membership import SwapAnswer
from primacy.machines.records import MASTERSHIP, Mastership, decode_mastership, encode

DEADLINE_S = 2.0
WATCH_AGAIN_S = 1.0
PROBE_S = 0.5


class LedgerLine:
    """Mastership record in, mastership record out. on_available(available, reason): only on changes."""

    def __init__(self, ledger: Ledger, on_available: Callable[[bool, str], None]) -> None:
        self._ledger = ledger
        self._on_available = on_available
        self._tasks = Tasks("the line to the ledger")
        self.available = True

    def read(self, answer: Callable[[int, Mastership | None], None], failed: Callable[[], None]) -> None:
        """Read the record: (revision, record), (0, None) when there is none, or `failed`."""
        self._tasks.start(self._read(answer, failed))

    def swap(self, expect: int, record: Mastership, answer: Callable[[SwapAnswer, int], None]) -> None:
        """Swap the record on its revision."""
        self._tasks.start(self._swap(MASTERSHIP, expect, encode(record), answer))

    def swap_key(
        self, key: str, expect: int, value: bytes | None, answer: Callable[[SwapAnswer, int], None]
    ) -> None:
        """Swap another record on its revision (value None deletes it)."""
        self._tasks.start(self._swap(key, expect, value, answer))

    def watch(
        self,
        changed: Callable[[int, Mastership], None],
        other: Callable[[str, int, bytes | None], None] = lambda key, revision, value: None,
    ) -> None:
        """Tell every record as it stands, and every change from now on: of the mastership, and of all others."""
        self._tasks.start(self._watch(changed, other))

    async def close(self) -> None:
        """End everything under way."""
        self._tasks.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._ledger.close()

    def _note(self, available: bool, reason: str = "") -> None:
        if available != self.available:
            self.available = available
            self._on_available(available, reason)
            if not available:
                self._tasks.start(self._probe())

    async def _probe(self) -> None:
        """Ask until the ledger answers again: perhaps nobody else needs it for a long time."""
        while not self.available:
            await asyncio.sleep(PROBE_S)
            await self._read(lambda revision, record: None, lambda: None)

    async def _read(
        self, answer: Callable[[int, Mastership | None], None], failed: Callable[[], None]
    ) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                _, entries = await self._ledger.read(MASTERSHIP)
            found = [(e.revision, decode_mastership(e.value)) for e in entries if e.key == MASTERSHIP]
        except (LedgerError, ConfigError, TimeoutError) as error:
            self._note(False, str(error) or "no answer in time")
            failed()
            return
        self._note(True)
        answer(*(found[0] if found else (0, None)))

    async def _swap(
        self, key: str, expect: int, value: bytes | None, answer: Callable[[SwapAnswer, int], None]
    ) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                revision = await self._ledger.swap(key, value, expect)
        except Conflict:
            self._note(True)
            answer(SwapAnswer.CONFLICT, 0)
        except (Unavailable, ConfigError) as error:  # ConfigError: no engine takes such a value
            self._note(False, str(error))
            answer(SwapAnswer.UNAVAILABLE, 0)
        except (Uncertain, TimeoutError) as error:
            self._note(False, str(error) or "no answer in time")
            answer(SwapAnswer.UNCERTAIN, 0)
        else:
            self._note(True)
            answer(SwapAnswer.DONE, revision)

    async def _watch(
        self,
        changed: Callable[[int, Mastership], None],
        other: Callable[[str, int, bytes | None], None],
    ) -> None:
        def tell(key: str, revision: int, value: bytes | None) -> None:
            if key != MASTERSHIP:
                other(key, revision, value)
            elif value is not None:
                changed(revision, decode_mastership(value))

        after = 0
        while True:
            try:
                if after == 0:
                    after, entries = await self._ledger.read("")
                    for entry in entries:
                        tell(entry.key, entry.revision, entry.value)
                async with contextlib.aclosing(self._ledger.watch("", after)) as changes:
                    async for change in changes:
                        after = change.revision
                        tell(change.key, change.revision, change.value)
                return
            except Compacted:
                after = 0
            except (LedgerError, ConfigError) as error:
                self._note(False, str(error))
                await asyncio.sleep(WATCH_AGAIN_S)
