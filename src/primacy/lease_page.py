"""The lease page: two words of shared memory that say what a host may do at this instant.

The guardian makes one page per (service, term) and hands it to the agent, which hands it to the service's
host. The agent writes, the host reads, and the guardian zeroes it when the agent has died: a host then
answers nothing more, whatever it is busy with, before anybody tells the world that the node is dead.

    word 0  valid_until_ns  primary: a reply may leave while `now_ns()` is before it; 0 = never
    word 1  ack_term        secondary: the term whose appends may be acknowledged; 0 = none (sealed)

Rules that keep it sound:

- Only single aligned 64-bit words are shared, each complete in itself, read and written through
  `memoryview.cast("Q")`: one machine load or store, which cannot tear. (A struct of several fields can; and
  nothing here promises in which order a reader sees two words change, so no meaning may rest on both.)
- Role and term never come from the page. They come by message; the page only ever takes rights away, or
  prolongs them for the term for which it was made. A new term has a new page, so an old host can never read
  new rights.
- A host reads the page *after* its result is ready, immediately before the reply leaves.

The page is sealed to its size, so that no holder of the descriptor can cut it short under the others.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time

PAGE_BYTES = 16

_VALID_UNTIL, _ACK_TERM = 0, 1
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Return the time on the clock of leases, which (where it can) goes on while the machine is suspended."""
    return time.clock_gettime_ns(_CLOCK)


def create(name: str = "primacy-lease") -> int:
    """Make a page of zeros and return its descriptor (not inheritable); the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PAGE_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


class LeasePage:
    """A view of one page. The descriptor stays the caller's, who may close it: the view remains valid."""

    def __init__(self, fd: int, *, writable: bool = True) -> None:
        """Map the page; a host passes `writable=False`, so that no bug of its own can prolong its rights."""
        self._map = mmap.mmap(fd, PAGE_BYTES, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    @property
    def valid_until_ns(self) -> int:
        """The instant, by `now_ns()`, before which a reply of the primary may leave; 0 = never."""
        return self._words[_VALID_UNTIL]

    @valid_until_ns.setter
    def valid_until_ns(self, instant_ns: int) -> None:
        self._words[_VALID_UNTIL] = instant_ns

    @property
    def ack_term(self) -> int:
        """The term whose appends the secondary may acknowledge; 0 = none."""
        return self._words[_ACK_TERM]

    @ack_term.setter
    def ack_term(self, term: int) -> None:
        self._words[_ACK_TERM] = term

    def revoke(self) -> None:
        """Take both rights away: from the next read on, nothing may be answered and nothing acknowledged."""
        self._words[_VALID_UNTIL] = 0
        self._words[_ACK_TERM] = 0

    def close(self) -> None:
        """Unmap the page; it must not be used afterwards. Other holders keep theirs."""
        self._words.release()
        self._bytes.release()
        self._map.close()
