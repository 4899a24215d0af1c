"""Obituaries sealed in advance: one for each peer and link, none for a link that is down, and the peer takes it."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator

import pytest

from primacy.agent.guardian_link import GuardianLink
from primacy.agent.last_words import LastWords
from primacy.cgtp.datagram import DatagramPort
from primacy.machines import messages
from primacy.machines.ids import Member
from tests.unit.agent_tools import KEY, PlayedGuardian
from tests.unit.cgtp_tools import until

ME, PEER = Member("n1", "1" * 32), Member("n2", "2" * 32)
LINKS = [("127.0.0.1", 0), ("127.0.0.2", 0)]
OUT, BACK = b"o" * 32, b"b" * 32


class Rig:
    """Two ports with keys, and n1's guardian."""

    def __init__(self) -> None:
        self.guardian = PlayedGuardian()
        self.link = GuardianLink(self.guardian.fd)
        self.link.attach(asyncio.get_running_loop(), lambda: None)
        self.guardian.attach()
        self.heard: list[tuple[str, str, messages.Message]] = []
        self.ours = self._port(ME, lambda *_: None)
        self.theirs = self._port(
            PEER, lambda node, life, payload, _: self.heard.append((node, life, messages.decode(payload)))
        )
        self.words = LastWords(ME, self.ours.addresses, self.link, self.ours)

    def _port(self, member: Member, hear: object) -> DatagramPort:
        return DatagramPort(
            node=member.node, incarnation=member.incarnation, links=LINKS, cluster_key=KEY,
            on_datagram=hear, on_hello=lambda *_: None,
        )  # fmt: skip

    def exchange_keys(self) -> None:
        """Both sides know each other's keys."""
        self.ours.set_peer("n2", PEER.incarnation, self.theirs.addresses, OUT, BACK)
        self.theirs.set_peer("n1", ME.incarnation, self.ours.addresses, BACK, OUT)
        self.words.seal_for("n2")

    def release(self) -> None:
        """What the guardian does when all processes are dead."""
        for local, address, port, sealed in self.guardian.obituaries:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((local, 0))
                sender.sendto(base64.b64decode(sealed), (address, port))

    def close(self) -> None:
        """End everything."""
        self.ours.close()
        self.theirs.close()
        self.link.close()
        self.guardian.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    made.close()


async def test_without_keys_there_is_nothing_to_hold(rig: Rig) -> None:
    rig.words.seal_for("n2")
    await until(lambda: rig.guardian.orders, "the order has come")
    assert rig.guardian.obituaries == []


async def test_the_peer_takes_the_guardians_word_for_this_life(rig: Rig) -> None:
    rig.exchange_keys()
    await until(lambda: rig.guardian.obituaries, "the guardian holds them")
    assert [row[0] for row in rig.guardian.obituaries] == ["127.0.0.1", "127.0.0.2"]
    for _ in range(3):
        rig.release()
    await until(lambda: rig.heard, "it is heard")
    await until(lambda: rig.theirs.counters.replayed == 4, "repetitions are told apart")
    assert rig.heard == [("n1", ME.incarnation, messages.Obituary(ME))]


@pytest.mark.parametrize("down", [{0}, {1}, {0, 1}])
async def test_a_link_that_is_down_carries_none(rig: Rig, down: set[int]) -> None:
    rig.exchange_keys()
    for index in down:
        rig.words.set_link(index, False)
    await until(lambda: len(rig.guardian.obituaries) == 2 - len(down), "that one is gone")
    assert {row[0] for row in rig.guardian.obituaries} == {f"127.0.0.{i + 1}" for i in {0, 1} - down}
    for index in down:
        rig.words.set_link(index, True)
    await until(lambda: len(rig.guardian.obituaries) == 2, "it is there again")


async def test_a_new_life_of_the_peer_replaces_the_former_ones(rig: Rig) -> None:
    rig.exchange_keys()
    await until(lambda: rig.guardian.obituaries, "the guardian holds them")
    old = list(rig.guardian.obituaries)
    rig.ours.set_peer("n2", "3" * 32, rig.theirs.addresses, b"n" * 32, BACK)
    rig.words.seal_for("n2")
    await until(lambda: rig.guardian.obituaries != old, "new ones are held")
    assert len(rig.guardian.obituaries) == 2
