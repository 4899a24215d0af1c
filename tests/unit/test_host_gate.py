"""The gate: in order, when committed, and when the page says so at that moment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from primacy import lease_page
from primacy.host.gate import BURST, Gate
from primacy.lease_page import LeasePage, now_ns
from primacy.machines.ids import FOREVER_NS
from tests.unit.waiting import wait_until


class Sink:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.flushed = 0

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def flush(self) -> None:
        self.flushed += 1


@pytest.fixture
def page() -> Iterator[LeasePage]:
    fd = lease_page.create()
    page = LeasePage(fd)
    os.close(fd)
    page.valid_until_ns = FOREVER_NS
    yield page
    page.close()


def gate_of(page: LeasePage) -> tuple[Gate, Sink, list[int]]:
    released: list[int] = []
    return Gate(page, lambda: released.append(1)), Sink(), released


async def test_what_is_committed_leaves_in_order(page: LeasePage) -> None:
    gate, sink, released = gate_of(page)
    for position in (1, 2, 2, 3):
        gate.put(position, sink, b"%d" % position)
    gate.release(2)
    assert (sink.sent, sink.flushed, len(gate)) == ([b"1", b"2", b"2"], 1, 1)
    gate.release(3)
    assert sink.sent[-1] == b"3"
    assert released


async def test_a_release_may_be_taken_back(page: LeasePage) -> None:
    gate, sink, _ = gate_of(page)
    page.valid_until_ns = 0
    gate.put(1, sink, b"1")
    gate.release(1)
    gate.release(0)
    page.valid_until_ns = FOREVER_NS
    gate.open()
    assert sink.sent == []


async def test_the_page_holds_and_lets_go(page: LeasePage) -> None:
    gate, sink, _ = gate_of(page)
    page.valid_until_ns = now_ns()
    gate.put(1, sink, b"1")
    gate.release(1)
    assert sink.sent == []
    page.valid_until_ns = FOREVER_NS
    await wait_until(lambda: sink.sent, "the gate looks again")


async def test_the_page_is_looked_at_again_for_each_burst(page: LeasePage) -> None:
    gate, _, _ = gate_of(page)

    class Revoking(Sink):
        def flush(self) -> None:
            page.valid_until_ns = 0

    sink = Revoking()
    for position in range(BURST + 10):
        gate.put(position, sink, b"")
    gate.release(10_000)
    assert len(sink.sent) == BURST
    gate.close()


async def test_a_closed_gate_lets_nothing_out(page: LeasePage) -> None:
    gate, sink, _ = gate_of(page)
    gate.put(1, sink, b"1")
    gate.close()
    gate.release(1)
    assert (sink.sent, len(gate)) == ([], 0)
