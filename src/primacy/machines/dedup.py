"""Which numbers of a sender were received already: the window against duplicates and replays. Pure.

RFC 4303 3.4.3 (and IEEE 802.1CB's vector recovery): the window reaches `WIDTH` numbers back from the highest
number received; a number to its left is refused as too old, one within it is new exactly once, one to its
right moves it. The caller asks `judge` first, verifies the datagram, and only then calls `accept`: bytes that
nobody has sealed must not move the window.

Number 0 is outside of the window: it is new exactly once, whenever it comes. (An obituary is sealed with it
in advance, and released after any count of other numbers.)
"""

from __future__ import annotations

from enum import Enum, auto

WIDTH = 1024


class Verdict(Enum):
    """What a number is to a window."""

    NEW = auto()
    SEEN = auto()
    TOO_OLD = auto()


class Window:
    """The numbers received from one sender in one of its lives."""

    __slots__ = ("_bits", "_zero_seen", "highest")

    def __init__(self) -> None:
        self.highest = 0
        """The highest number accepted; 0 before the first."""
        self._bits = 0  # bit i: highest - i was accepted
        self._zero_seen = False

    def judge(self, number: int) -> Verdict:
        """Say what `number` (0 or more) is, and change nothing."""
        if number == 0:
            return Verdict.SEEN if self._zero_seen else Verdict.NEW
        behind = self.highest - number
        if behind < 0:
            return Verdict.NEW
        if behind >= WIDTH:
            return Verdict.TOO_OLD
        return Verdict.SEEN if self._bits >> behind & 1 else Verdict.NEW

    def accept(self, number: int) -> bool:
        """Mark a verified number as received; return whether it was new."""
        if self.judge(number) is not Verdict.NEW:
            return False
        if number == 0:
            self._zero_seen = True
        elif number > self.highest:
            ahead = number - self.highest
            self._bits = (self._bits << ahead) & _MASK | 1 if ahead < WIDTH else 1
            self.highest = number
        else:
            self._bits |= 1 << (self.highest - number)
        return True


_MASK = (1 << WIDTH) - 1
