"""The agent's sign of life to its guardian: "my loop turns". The guardian feeds the watchdog as long as it comes.

Sent from a timer of the loop that beats, so a loop that is blocked or starved sends none; one that waits for its ledger
is alive, and no reset of the machine would bring the ledger back. A word on the channel, never
waited for; none at all where the node has no watchdog.
"""

from __future__ import annotations

import asyncio

from primacy.agent.guardian_link import GuardianLink
from primacy.machines.ids import SECOND

BEATS = 20  # of silence make an agent that is stuck
SILENCE_S_MIN = 1.0
SILENCE_S_START = 10.0  # before the beat is known
WORDS = 4  # in a silence, so that one or two may be late


class Pulse:
    """`silence_s`: how long the guardian waits for the next word; 0: so many beats."""

    def __init__(self, guardian: GuardianLink, silence_s: float) -> None:
        self._guardian, self._configured_s = guardian, silence_s
        self._timer: asyncio.TimerHandle | None = None
        self.silence_s = silence_s or SILENCE_S_START

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the first word now, and the others in time."""
        self._guardian.alive(self.silence_s)
        self._timer = loop.call_later(self.silence_s / WORDS, self.start, loop)

    def follow(self, beat_ns: int) -> None:
        """The table is loaded: from now on silence is counted in beats, unless it is configured."""
        self.silence_s = self._configured_s or max(SILENCE_S_MIN, BEATS * beat_ns / SECOND)

    def close(self) -> None:
        """Fall silent."""
        if self._timer is not None:
            self._timer.cancel()
