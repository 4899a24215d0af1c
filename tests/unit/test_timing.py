"""Timing profiles, and the relations without which a table is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.errors import ConfigError
from primacy.machines.ids import MS
from primacy.machines.timing import DRIFT, PROFILES, Timing, between, covers

GOOD = {"beat_ms": 50.0, "lease_ms": 250.0, "grace_ms": 300.0, "member_ms": 500.0, "formation_ms": 2000.0}
ANY_NUMBER = st.floats() | st.integers(-(10**9), 10**9)


@pytest.mark.parametrize("timing", PROFILES.values(), ids=PROFILES.keys())
def test_every_profile_keeps_the_relations(timing: Timing) -> None:
    assert 2 * timing.beat_ns <= timing.lease_ns
    assert timing.lease_ns * (1 + DRIFT) <= timing.grace_ns
    assert timing.beat_ns <= timing.member_ns < timing.silence_ns
    assert timing.grace_ns <= timing.formation_ns
    assert timing.beat_ns == int(timing.beat_ms * MS)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"beat_ms": 0.5}, "timing.beat_ms"),
        ({"beat_ms": 20_000}, "timing.beat_ms"),
        ({"beat_ms": float("nan")}, "timing.beat_ms"),
        ({"lease_ms": 99}, "timing.lease_ms"),
        ({"lease_ms": float("nan")}, "timing.lease_ms"),
        ({"grace_ms": 262}, "timing.grace_ms"),
        ({"grace_ms": float("inf")}, "timing.grace_ms"),
        ({"member_ms": 49}, "timing.member_ms"),
        ({"member_ms": float("nan")}, "timing.member_ms"),
        ({"formation_ms": 299}, "timing.formation_ms"),
        ({"formation_ms": float("inf")}, "timing.formation_ms"),
    ],
)
def test_a_broken_relation_is_named(changed: dict[str, float], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Timing(**(GOOD | changed))
    assert caught.value.path == path
    assert caught.value.want.startswith("want")


@given(st.fixed_dictionaries(dict.fromkeys(GOOD, ANY_NUMBER)))
def test_whatever_is_taken_can_be_computed_with_and_is_safe(times: dict[str, float]) -> None:
    try:
        timing = msgspec.convert(times, Timing)
    except (ConfigError, msgspec.ValidationError):
        return
    assert 0 < timing.beat_ns < timing.lease_ns < timing.grace_ns <= timing.formation_ns
    assert timing.silence_ns > timing.grace_ns


def test_an_unknown_time_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="beat_s"):
        msgspec.convert(GOOD | {"beat_s": 1}, Timing)


@pytest.mark.parametrize("old", PROFILES.values())
@pytest.mark.parametrize("new", PROFILES.values())
def test_what_lies_between_two_timings_agrees_with_both(old: Timing, new: Timing) -> None:
    middle = between(old, new)
    for step in ((old, middle), (middle, middle), (middle, new)):
        for master in step:
            for vice in step:
                assert covers(vice.grace_ns, master.lease_ns)


def test_a_short_grace_does_not_cover_a_long_lease() -> None:
    assert not covers(PROFILES["carrier"].grace_ns, PROFILES["lan"].lease_ns)
