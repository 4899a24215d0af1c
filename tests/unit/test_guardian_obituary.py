"""Obituaries: held, released once, on every link, ten times within a second, and never by a name."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import pytest

from primacy.guardian_obituary import ITEMS_MAX, PAYLOAD_BYTES_MAX, REPEATS_MS, Obituaries

TEXT = base64.b64encode(b"dead").decode()
SECOND_NS = 1_000_000_000


@pytest.fixture
def peers() -> Iterator[list[socket.socket]]:
    found = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2")):
        peer = socket.socket(family, socket.SOCK_DGRAM)
        peer.bind((address, 0))
        peer.settimeout(5)
        found.append(peer)
    yield found
    for peer in found:
        peer.close()


@pytest.fixture
def obituaries() -> Iterator[Obituaries]:
    made = Obituaries()
    yield made
    made.close()


def items(peers: list[socket.socket], text: str = TEXT) -> list[list[object]]:
    return [[peer.getsockname()[0], *peer.getsockname(), text] for peer in peers]


def received(peer: socket.socket) -> list[bytes]:
    """Return what has arrived; a datagram over loopback has when it was sent."""
    found = []
    peer.setblocking(False)
    try:
        while True:
            found.append(peer.recv(2048))
    except BlockingIOError:
        return found


def test_nothing_leaves_before_the_release(obituaries: Obituaries, peers: list[socket.socket]) -> None:
    assert obituaries.hold(items(peers)) == []
    obituaries.send_due(10 * SECOND_NS)
    assert obituaries.due_ns is None
    assert [received(peer) for peer in peers] == [[], []]


def test_a_release_is_sent_at_once_and_ten_times_within_a_second(
    obituaries: Obituaries, peers: list[socket.socket]
) -> None:
    obituaries.hold(items(peers))
    began_ns = now_ns = 5 * SECOND_NS
    assert obituaries.release(now_ns) == 2
    assert [received(peer) for peer in peers] == [[b"dead"], [b"dead"]]
    count = 1
    while obituaries.due_ns is not None:
        now_ns = obituaries.due_ns
        obituaries.send_due(now_ns)
        assert [received(peer) for peer in peers] == [[b"dead"], [b"dead"]]
        count += 1
    assert count == len(REPEATS_MS) == 10
    assert now_ns - began_ns < SECOND_NS
    assert obituaries.sent_count == 20


def test_what_was_released_is_no_longer_held(obituaries: Obituaries, peers: list[socket.socket]) -> None:
    obituaries.hold(items(peers))
    obituaries.release(0)
    obituaries.send_due(SECOND_NS)
    for peer in peers:
        received(peer)
    assert obituaries.release(2 * SECOND_NS) == 0
    assert [received(peer) for peer in peers] == [[], []]


def test_repetitions_go_on_beside_those_of_the_next_life(
    obituaries: Obituaries, peers: list[socket.socket]
) -> None:
    obituaries.hold(items(peers[:1], base64.b64encode(b"first").decode()))
    obituaries.release(0)
    obituaries.hold(items(peers[1:], base64.b64encode(b"second").decode()))
    obituaries.release(1)
    obituaries.send_due(SECOND_NS)
    assert [received(peer) for peer in peers] == [[b"first"] * 10, [b"second"] * 10]


def test_a_link_that_is_down_does_not_hold_up_the_other(
    obituaries: Obituaries, peers: list[socket.socket]
) -> None:
    [down] = obituaries.hold([["192.0.2.1", "192.0.2.2", 9, TEXT], *items(peers[:1])])
    assert down.startswith("192.0.2.1: ")
    obituaries.release(0)
    assert received(peers[0]) == [b"dead"]
    assert obituaries.failed_count == 1


def test_a_new_list_replaces_the_old_one(obituaries: Obituaries, peers: list[socket.socket]) -> None:
    obituaries.hold(items(peers))
    obituaries.hold(items(peers[1:]))
    assert obituaries.release(0) == 1
    assert [received(peer) for peer in peers] == [[], [b"dead"]]


@pytest.mark.parametrize(
    "item",
    [
        "x", [], ["127.0.0.1", "127.0.0.1", 9], ["127.0.0.1", "127.0.0.1", 9, TEXT, 1],
        ["localhost", "127.0.0.1", 9, TEXT], ["127.0.0.1", "peer.example", 9, TEXT],
        [None, "127.0.0.1", 9, TEXT],
        ["127.0.0.1", "127.0.0.1", 0, TEXT], ["127.0.0.1", "127.0.0.1", 65536, TEXT],
        ["127.0.0.1", "127.0.0.1", True, TEXT], ["127.0.0.1", "127.0.0.1", "9", TEXT],
        ["127.0.0.1", "127.0.0.1", 9, "***"], ["127.0.0.1", "127.0.0.1", 9, ""],
        ["127.0.0.1", "127.0.0.1", 9, 7],
        ["127.0.0.1", "127.0.0.1", 9, "é"],
        ["127.0.0.1", "127.0.0.1", 9, base64.b64encode(b"x" * (PAYLOAD_BYTES_MAX + 1)).decode()],
    ],
)  # fmt: skip
def test_a_malformed_list_changes_nothing(
    obituaries: Obituaries, peers: list[socket.socket], item: object
) -> None:
    obituaries.hold(items(peers))
    with pytest.raises(ValueError):
        obituaries.hold([*items(peers), item])
    assert obituaries.release(0) == 2


def test_the_list_is_bounded() -> None:
    for items in ([["127.0.0.1", "127.0.0.1", 9, TEXT]] * (ITEMS_MAX + 1), "text"):
        with pytest.raises(ValueError):
            Obituaries().hold(items)
