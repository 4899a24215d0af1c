"""The two clocks: the lease ends before the grace, whatever was lost or late, as long as the clocks' rates agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.lease import Grace, Lease
from primacy.machines.timing import DRIFT, PROFILES, Timing

LEASE_NS, GRACE_NS = 250, 300


@pytest.mark.parametrize(("now_ns", "held"), [(99, True), (349, True), (350, False), (351, False)])
def test_a_lease_ends_at_the_echoed_sending_plus_its_length(now_ns: int, held: bool) -> None:
    lease = Lease(LEASE_NS)
    lease.echoed(100)
    assert lease.held(now_ns) is held


def test_no_lease_is_held_before_an_echo_or_after_it_is_forgotten() -> None:
    lease = Lease(LEASE_NS)
    assert not lease.held(0)
    lease.echoed(1_000)
    lease.forget()
    assert not lease.held(0)


@given(st.lists(st.integers(0, 10_000)))
def test_a_late_echo_never_shortens_a_lease(sent_ns: list[int]) -> None:
    lease = Lease(LEASE_NS)
    for sent in sent_ns:
        lease.echoed(sent)
    assert lease.until_ns == max((sent + LEASE_NS for sent in sent_ns), default=0)


@pytest.mark.parametrize(
    ("now_ns", "doubtful", "over"),
    [(0, False, False), (249, False, False), (250, True, False), (299, True, False), (300, True, True)],
)
def test_a_vice_doubts_after_a_lease_and_may_claim_at_the_grace(
    now_ns: int, doubtful: bool, over: bool
) -> None:
    grace = Grace(LEASE_NS, GRACE_NS, 0)
    assert (grace.doubtful(now_ns), grace.over(now_ns)) == (doubtful, over)
    grace.restart(now_ns)
    assert not grace.doubtful(now_ns)


@given(
    times=st.sampled_from(list(PROFILES.values())),
    rate=st.floats(1.0, 1.0 + DRIFT),
    sent_ns=st.integers(1, 10**18),
    travel_ns=st.integers(0, 10**9),
)
def test_a_master_is_silent_when_its_vice_may_claim(
    times: Timing, rate: float, sent_ns: int, travel_ns: int
) -> None:
    """The master's clock is slow by as much as the drift; the two read whatever they like."""
    received_ns = 7
    grace = Grace(times.lease_ns, times.grace_ns, received_ns)
    assert grace.over(received_ns + times.grace_ns)
    lease = Lease(times.lease_ns)
    lease.echoed(sent_ns)
    passed_ns = int((travel_ns + times.grace_ns) / rate)
    assert not lease.held(sent_ns + passed_ns)
