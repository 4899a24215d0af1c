"""What machines begin with makes the same machines, however often."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import membership as m
from primacy.machines import recorded
from primacy.machines.beginning import Beginning
from tests.unit.trace_tools import beginning


def test_two_lives_that_begin_alike_do_alike() -> None:
    given = beginning(nodes=("n1", "n2"), volatile=True, failures={"stock": (3, 1)})
    again = recorded.decode_beginning(recorded.encode(given))
    assert isinstance(again, Beginning)
    for one, other in ((given.monitor(), again.monitor()), (given.coordinator(), again.coordinator())):
        tick: m.Tick | c.Tick = m.Tick(now_ns=5 * 10**9)
        if one is not None and type(one).__name__ == "Coordinator":
            tick = c.Tick(now_ns=5 * 10**9)
        assert one.step(tick) == other.step(tick)  # type: ignore[arg-type]
    assert given.monitor().volatile
    assert given.coordinator().recovery.counts() == {"stock": (3, 1)}
