"""A place that is dialed anew whenever the process there has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.cgtp.stream import Stream
from primacy.cgtp.tls import client_context
from primacy.client.kept import Kept
from tests.unit.cgtp_tools import N1, until
from tests.unit.client_tools import FakeCluster, Place


class Echo(Place):
    def arrived(self, stream: Stream, frames: list[bytes]) -> None:
        for frame in frames:
            stream.send(frame)


class Owner:
    def __init__(self, fake: FakeCluster, place: Place) -> None:
        self.dialed = 0
        self.frames: list[bytes] = []
        self.gone: list[str] = []
        self.kept = Kept(place.addresses, client_context(fake.client), N1)

    def begin(self) -> None:
        self.kept.begin(self.on_dialed, self.frames.extend, self.gone.append)

    def on_dialed(self) -> None:
        self.dialed += 1
        self.kept.send(b"hello %d" % self.dialed)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path, nodes=1) as fake:
        yield fake


async def test_another_process_at_the_place_is_another_stream(fake: FakeCluster) -> None:
    place = fake.hosts["n1", "echo"] = Echo(fake, "n1")  # type: ignore[assignment]
    await place.start()
    owner = Owner(fake, place)
    owner.begin()
    await until(lambda: owner.frames == [b"hello 1"], "the first stream carries frames")
    assert owner.kept.up
    place.die()
    await until(lambda: not owner.kept.up, "the links are down")
    assert owner.gone == [], "a link that is down is no end"
    await place.start()
    await until(lambda: owner.frames == [b"hello 1", b"hello 2"], "the second stream carries frames")
    assert len(owner.gone) == 1
    stream = owner.kept.close("done")
    assert stream is not None
    await stream.wait_closed()
    assert (owner.dialed, len(owner.gone)) == (2, 1)


async def test_an_aborted_stream_is_replaced(fake: FakeCluster) -> None:
    place = fake.hosts["n1", "echo"] = Echo(fake, "n1")  # type: ignore[assignment]
    await place.start()
    owner = Owner(fake, place)
    owner.begin()
    await until(lambda: owner.frames == [b"hello 1"], "the first stream carries frames")
    owner.kept.abort("garbage")
    owner.kept.send(b"dropped")
    await until(lambda: owner.frames == [b"hello 1", b"hello 2"], "the second stream carries frames")
    assert owner.gone == ["garbage"]
    stream = owner.kept.close("done")
    assert stream is not None
    await stream.wait_closed()


async def test_why_nobody_answers_is_known(fake: FakeCluster) -> None:
    place = fake.agents["n1"]
    place.die()
    owner = Owner(fake, place)
    owner.begin()
    await until(owner.kept.why_down, "the refusal is known")
    assert f"127.0.0.1:{place.addresses[0][1]}: " in owner.kept.why_down()
    owner.kept.close("done")
    owner.kept.send(b"dropped")
    assert owner.kept.stream is None
