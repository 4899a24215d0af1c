"""The agent's sign of life: given as long as the loop turns, and often enough for the silence that it announces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from primacy import channel, guardian_message
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.pulse import BEATS, SILENCE_S_MIN, SILENCE_S_START, WORDS, Pulse
from primacy.machines.ids import MS
from tests.unit.cgtp_tools import until


class Ends:
    """A pulse, and what the guardian hears of it."""

    def __init__(self, silence_s: float) -> None:
        ours, theirs = channel.pair()
        self.guardian = channel.Channel(ours)
        self.link = GuardianLink(theirs.detach())
        self.pulse = Pulse(self.link, silence_s)
        self.heard: list[guardian_message.Order] = []

    def hear(self) -> list[guardian_message.Order]:
        self.heard += [guardian_message.parse(message) for message, _ in self.guardian.receive()]
        return self.heard

    def close(self) -> None:
        self.pulse.close()
        self.link.close()
        self.guardian.close()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends(0.04)
    yield made
    made.close()


async def test_words_come_as_long_as_the_loop_turns(ends: Ends) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    ends.pulse.start(loop)
    assert ends.hear() == [guardian_message.Alive(0.04)]  # the first one at once
    await until(lambda: len(ends.hear()) >= 2 * WORDS, "more words follow")
    assert loop.time() - began_s >= (2 * WORDS - 1) * 0.04 / WORDS * 0.9
    assert set(ends.heard) == {guardian_message.Alive(0.04)}
    ends.pulse.close()
    count = len(ends.hear())
    ticked = asyncio.Event()
    loop.call_later(0.04, ticked.set)
    await ticked.wait()
    assert len(ends.hear()) == count


@pytest.mark.parametrize(
    ("configured_s", "beat_ms", "silence_s"),
    [
        (0.0, 50, max(SILENCE_S_MIN, BEATS * 0.05)),
        (0.0, 10, SILENCE_S_MIN),
        (0.0, 500, BEATS * 0.5),
        (7.5, 500, 7.5),
    ],
)
async def test_silence_is_counted_in_beats_unless_it_is_configured(
    configured_s: float, beat_ms: int, silence_s: float
) -> None:
    ends = Ends(configured_s)
    assert ends.pulse.silence_s == (configured_s or SILENCE_S_START)
    ends.pulse.follow(beat_ms * MS)
    assert ends.pulse.silence_s == silence_s
    ends.close()
