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
    ("lengths", "until_ns"),
    [
        ([(200, 100)], 300),  # a shorter one: from now on, at the latest
        ([(300, 100)], 350),
        ([(300, 400)], 350),  # a longer one: not of what was promised for the former
        ([(300, 400), (310, 20)], 330),
        ([(200, 100), (210, 400)], 300),  # what was given up does not come back
    ],
)
def test_another_length_makes_no_lease_longer_that_was_given(
    lengths: list[tuple[int, int]], until_ns: int
) -> None:
    lease = Lease(LEASE_NS)
    lease.echoed(100)
    for now_ns, length_ns in lengths:
        lease.retimed(length_ns, now_ns)
    assert (lease.until_ns, lease.sent_ns) == (until_ns, 100)


@pytest.mark.parametrize(
    ("lengths", "sent_ns", "until_ns"),
    [
        ([(300, 400)], 299, 549),  # answered late: its beat told the former length
        ([(300, 400)], 300, 700),
        ([(300, 100)], 299, 399),
        ([(300, 400), (310, 500)], 299, 549),  # of the second nothing was answered: the first still counts
        ([(300, 400), (310, 500)], 310, 810),
    ],
)
def test_an_answer_counts_for_no_longer_than_its_beat_told(
    lengths: list[tuple[int, int]], sent_ns: int, until_ns: int
) -> None:
    lease = Lease(LEASE_NS)
    lease.echoed(100)
    for now_ns, length_ns in lengths:
        lease.retimed(length_ns, now_ns)
    lease.echoed(sent_ns)
    assert lease.until_ns == until_ns
    lease.forget()
    assert lease.until_ns == 0
    lease.retimed(LEASE_NS, 900)
    lease.echoed(900)
    assert lease.until_ns == 900 + LEASE_NS


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


@pytest.mark.parametrize(
    ("graces", "owed_ns", "again_ns"),
    [
        ([400], 400, 400),
        ([200], 300, 250),
        ([400, 200], 300, 250),
        ([200, 400], 400, 400),
        ([200, 100], 300, 250),
    ],
)
def test_what_a_vice_has_promised_stands_when_its_grace_is_made_shorter(
    graces: list[int], owed_ns: int, again_ns: int
) -> None:
    """Also when it has promised more since then, by shorter times: the answer to that may be lost."""
    grace = Grace(LEASE_NS, GRACE_NS, 0)
    grace.begin(0)
    for grace_ns in graces:
        grace.retimed(grace_ns - 50, grace_ns)
    assert grace.owed_ns == owed_ns
    assert not grace.over(owed_ns - 1)
    assert grace.over(owed_ns)
    assert grace.doubtful(graces[-1] - 50)
    grace.restart(50)
    assert grace.owed_ns == again_ns
    grace.restart(1_000)
    assert grace.owed_ns == graces[-1]
    grace.begin(1_001)
    assert grace.owed_ns == graces[-1]


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
