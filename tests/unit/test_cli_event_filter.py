"""Which events are shown: what the options mean, and one clear error for each that means nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from primacy.cli.event_filter import KINDS, Filter, function_named, kinds_named, moment, one_of, services_of
from primacy.errors import ConfigError
from primacy.machines import events
from primacy.machines.events import Stamped
from primacy.machines.ids import SECOND
from primacy.machines.timeline import Event

NOW_NS = 1_800_000_000 * SECOND


def at(event: events.Event, wall_ns: int = 5) -> Event:
    return Stamped(node="n1", incarnation="x", number=1, wall_ns=wall_ns, event=event).plain()


LEVEL = at(events.LevelCompleted(term=2, node="n1", function="failover", level=1, services=["a", "b"]))
DIED = at(events.ServerDied(term=3, node="n1", service="a", reason="", action=""))
STARTED = at(events.NodeStarted(node="n1", incarnation="x"))


@pytest.mark.parametrize(
    ("changes", "event", "expected"),
    [
        ({}, DIED, True),
        ({"node": "n1"}, DIED, True),
        ({"node": "n2"}, DIED, False),
        ({"service": "a"}, DIED, True),
        ({"service": "b"}, DIED, False),
        ({"service": "b"}, LEVEL, True),
        ({"service": "b"}, STARTED, False),
        ({"function": "failover"}, LEVEL, True),
        ({"function": "switchover"}, LEVEL, False),
        ({"function": "failover"}, DIED, False),
        ({"kinds": frozenset({"ServerDied"})}, DIED, True),
        ({"kinds": frozenset({"ServerDied", "LevelCompleted"})}, STARTED, False),
        ({"term": 3}, DIED, True),
        ({"term": 2}, DIED, False),
        ({"term": 0}, STARTED, True),
        ({"since_ns": 5}, DIED, True),
        ({"since_ns": 6}, DIED, False),
        ({"service": "a", "term": 2, "since_ns": 0}, LEVEL, True),
        ({"service": "a", "term": 2, "since_ns": 0}, DIED, False),
    ],
)
def test_all_that_is_set_must_hold(changes: dict[str, object], event: Event, expected: bool) -> None:
    assert replace(Filter(), **changes).takes(event, told=True) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Filter(), False),
        (Filter(node="n1", term=2), False),
        (Filter(details=True), True),
        (Filter(service="a"), True),
        (Filter(function="failover"), True),
        (Filter(kinds=frozenset({"LevelCompleted"})), True),
    ],
)
def test_details_are_shown_to_who_asks_for_them_or_for_something_narrow(
    chosen: Filter, expected: bool
) -> None:
    assert chosen.takes(LEVEL, told=False) is expected


@pytest.mark.parametrize(
    ("word", "before_s"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("0.5s", 0.5), ("250ms", 0.25), ("0s", 0)],
)
def test_a_duration_is_counted_back_from_now(word: str, before_s: float) -> None:
    assert moment(word, NOW_NS) == NOW_NS - int(before_s * SECOND)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("2026-11-22T20:15:00+00:00", datetime.fromisoformat("2026-11-22T20:15:00+00:00")),
        ("2026-11-22T20:15:00Z", datetime.fromisoformat("2026-11-22T20:15:00+00:00")),
        ("2026-11-22T20:15", datetime.fromisoformat("2026-11-22T20:15").astimezone()),
        ("2026-11-22", datetime.fromisoformat("2026-11-22").astimezone()),
    ],
)
def test_a_time_is_the_local_one_unless_it_says_otherwise(word: str, expected: datetime) -> None:
    assert moment(word, NOW_NS) == int(expected.timestamp()) * SECOND
    assert moment(None, NOW_NS) is None


@pytest.mark.parametrize(
    "word", ["", "10", "10x", "m10", "10m ago", "-5s", "1h 30m", "yesterday", "9999999-01-01"]
)
def test_what_is_no_time_is_told_with_what_is_wanted(word: str) -> None:
    with pytest.raises(ConfigError, match="--since") as caught:
        moment(word, NOW_NS)
    assert "10m" in str(caught.value)


def test_kinds_are_named_in_any_case() -> None:
    assert kinds_named(["masterelected", "ViceDropped"]) == {"MasterElected", "ViceDropped"}
    with pytest.raises(ConfigError, match=r"--kind.*'MasterErected'.*MasterElected"):
        kinds_named(["MasterErected"])
    assert "ServiceNote" in KINDS


def test_functions_and_services_are_named_as_they_are() -> None:
    assert function_named("failover") == "failover"
    assert function_named(None) is None
    with pytest.raises(ConfigError, match=r"--function.*'fallover'.*failover"):
        function_named("fallover")
    assert one_of("--service", "a", ["a", "b"]) == "a"
    assert one_of("--service", None, []) is None
    with pytest.raises(ConfigError, match=r"--service.*'c'.*a, b"):
        one_of("--service", "c", ["a", "b"])
    with pytest.raises(ConfigError, match="none yet"):
        one_of("--service", "c", [])
    assert (services_of(LEVEL), services_of(DIED), services_of(STARTED)) == (["a", "b"], ["a"], [])
