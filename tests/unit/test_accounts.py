"""A decision's inputs in sentences: whatever was kept, something is told, and nothing is raised."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines import formation, rulings
from primacy.machines.accounts import account, ms
from primacy.machines.deciding import RULES
from primacy.machines.ids import MS, Member
from primacy.machines.records import Mastership, Vice
from tests.unit.samples import sample

CLAIM = rulings.ClaimView("n1", True, True, 45 * MS, 250 * MS, 300 * MS, on_time=True, record_read=True)


def _told(rule: str, view: msgspec.Struct) -> str:
    return "\n".join(account(rule, msgspec.to_builtins(view)))


def test_a_claim_after_an_obituary_names_the_obituary() -> None:
    text = _told("claim", CLAIM)
    assert "the guardian of n1 had said that all its processes are dead" in text
    assert "45.0 ms old" in text
    assert "ready vice" in text


def test_a_claim_by_the_clock_names_silence_and_grace() -> None:
    text = _told("claim", msgspec.structs.replace(CLAIM, master_dead=False, silence_ns=312 * MS))
    assert "312.0 ms old, and the grace is 300.0 ms" in text
    assert "the record had been read since" in text
    assert "scheduled in time" in text


@pytest.mark.parametrize("record", [None, "stopped", "vice"])
def test_a_formation_names_the_record_and_who_was_heard(record: str | None) -> None:
    n1 = Member("n1", "a" * 32)
    named = Vice("n2", "b" * 32, ready=True) if record == "vice" else None
    stopped = {"s": (1, 2)} if record == "stopped" else None
    last = Mastership(4, n1, named, 2, "x", n1, stopped) if record else None
    view = formation.View(
        n1,
        last,
        frozenset({"n1", "n2"}),
        (formation.Candidate(n1, 0, {}),),
        5,
        5,
        9,
        3,
        frozenset({"a" * 32}),
    )
    text = _told("form", view)
    assert "heard: n1; eligible: n1, n2" in text
    assert ("n2 as ready vice" in text) is (record == "vice")
    assert ("orderly stop" in text) is (record == "stopped")
    assert ("never had a master" in text) is (record is None)


def test_an_appointment_tells_of_each_candidate_what_speaks_against_it() -> None:
    fit = rulings.ViceCandidate("n2", "b", 3, True, True, "", True, False, False, 10)
    spare = msgspec.structs.replace(fit, node="n3", available=False)
    text = _told("appoint", rulings.AppointView(100, (fit, spare)))
    assert "n2 (priority 3): nothing against it" in text
    assert "n3 (priority 3): it is a spare" in text


@pytest.mark.parametrize("rule", [*RULES, "of a later version"])
def test_every_rule_has_its_account(rule: str) -> None:
    inputs = msgspec.to_builtins(sample(RULES[rule].view)) if rule in RULES else {"a": 1}
    lines = account(rule, inputs)
    assert lines
    assert all(lines)
    assert ("inputs" in lines[0]) is (rule not in RULES)


@given(
    rule=st.sampled_from(list(RULES)),
    inputs=st.dictionaries(
        st.sampled_from(sorted({f for r in RULES.values() for f in r.view.__struct_fields__})),
        st.none() | st.integers(-2, 2) | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
    ),
)
def test_inputs_of_another_version_are_shown_as_they_are(rule: str, inputs: dict[str, Any]) -> None:
    assert account(rule, inputs)


def test_a_duration_is_told_in_milliseconds() -> None:
    assert ms(1_234_567) == "1.2 ms"
