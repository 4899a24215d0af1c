"""One change of a record in the ledger, to its settled end: written, overtaken by another one, or surely not written.

An answer that leaves it open (the ledger did not answer in time) settles nothing: the very same swap is repeated until
it is settled. A conflict says only that the record changed; whether by this very swap tells the record itself, which
the ledger's watch brings.  Pure; one change at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from primacy.machines.coordination import KeySwapped, RecordChanged, SwapKey
from primacy.machines.ids import MS
from primacy.machines.membership import SwapAnswer
from primacy.machines.swap import Outcome

AGAIN_NS = 100 * MS

Settled = Callable[[Outcome], None]  # DONE, LOST (another change came first) or NOT_WRITTEN


class Owner(Protocol):
    """The machine whose records these are: it has the time, and obeys."""

    now_ns: int

    def emit(self, effect: SwapKey) -> None:
        """Have a record swapped."""

    def wake(self, at_ns: int) -> None:
        """Call `proceed` at this instant at the latest."""


class KeyWriter:
    """The change under way, if any; knows the revision of every record that was told."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._token = 0
        self._known: dict[str, tuple[int, bytes | None]] = {}
        self._key = ""
        self._value: bytes | None = None
        self._expect = 0
        self._uncertain = False
        self._conflict = False
        self._again_ns = 0
        self._settled: Settled | None = None

    @property
    def busy(self) -> bool:
        """Whether a change is not settled yet."""
        return self._settled is not None

    def revision(self, key: str) -> int:
        """The revision of a record as it is known; 0: there is none."""
        revision, value = self._known.get(key, (0, None))
        return revision if value is not None else 0

    def value(self, key: str) -> bytes | None:
        """A record as it is known; None: there is none."""
        return self._known.get(key, (0, None))[1]

    def write(self, key: str, value: bytes | None, settled: Settled) -> None:
        """Write this record over the one that is known; `settled` is called once, perhaps much later."""
        assert self._settled is None, "one change at a time"
        expect = self.revision(key)
        if value is None and expect == 0:
            settled(Outcome.DONE)  # there is nothing to delete
            return
        self._key, self._value, self._expect, self._settled = key, value, expect, settled
        self._uncertain = self._conflict = False
        self._send()

    def told(self, event: RecordChanged) -> bool:
        """The ledger's watch tells a record; False: it is older than what is known."""
        if event.revision <= self._known.get(event.key, (0, None))[0]:
            return False
        self._known[event.key] = (event.revision, event.value)
        if self._settled is not None and event.key == self._key and event.revision > self._expect:
            self._close(Outcome.DONE if event.value == self._value else Outcome.LOST)
        return True

    def swapped(self, event: KeySwapped) -> None:
        """The ledger answers."""
        if self._settled is None or event.token != self._token:
            return
        match event.answer:
            case SwapAnswer.DONE:
                self._known[self._key] = (event.revision, self._value)
                self._close(Outcome.DONE)
            case SwapAnswer.CONFLICT:
                self._conflict = True  # the watch tells by what
            case SwapAnswer.UNAVAILABLE if not self._uncertain:
                self._close(Outcome.NOT_WRITTEN)
            case _:
                self._uncertain = True
                self._again_ns = self._owner.now_ns + AGAIN_NS

    def proceed(self) -> None:
        """Time has passed: repeat what is not settled."""
        if self._settled is None or self._conflict or not self._again_ns:
            return
        if self._owner.now_ns >= self._again_ns:
            self._send()
        else:
            self._owner.wake(self._again_ns)

    def _send(self) -> None:
        self._again_ns = 0
        self._token += 1
        self._owner.emit(SwapKey(self._token, self._key, self._expect, self._value))

    def _close(self, outcome: Outcome) -> None:
        settled, self._settled = self._settled, None
        assert settled is not None
        settled(outcome)
