"""The rules of force: what proves a death, what speaks against it, what it may cost."""

from __future__ import annotations

from typing import Any

import pytest

from primacy.machines.formation import Candidate, Positions
from primacy.machines.ids import MS, Member
from primacy.machines.last_resort import (
    Force,
    Refuse,
    View,
    Witness,
    best,
    decide,
    may_lose,
    proof,
    reasons_against,
)
from primacy.machines.records import Mastership, Vice

N1, N2, N3 = (Member(f"n{i}", f"{i:032x}") for i in (1, 2, 3))
AGAIN = {m.node: Member(m.node, "f" * 31 + m.node[1]) for m in (N1, N2, N3)}  # a later life of each
SILENCE_NS = 1_800 * MS
AT: Positions = {"s": (1, 7)}


def record(vice: Vice | None = None, stopped: Positions | None = None) -> Mastership:
    return Mastership(1, N1, vice, 1, "for a test", N1, stopped)


def witness(member: Member, *, positions: Positions | None = AT, silent_ms: float | None = None) -> Witness:
    return Witness(member, True, 0, positions, N1, silent_ms)


def view(**fields: Any) -> View:
    """n3 is asked; n1, the recorded master, and n2 are silent for long; nothing speaks against it but the proof."""
    usual: dict[str, Any] = {
        "me": N3,
        "role": "member",
        "record": record(),
        "eligible": frozenset({"n1", "n2", "n3"}),
        "positions": AT,
        "master_silent_ns": 10 * SILENCE_NS,
        "vice_silent_ns": None,
        "since_start_ns": 100 * SILENCE_NS,
        "silence_ns": SILENCE_NS,
        "on_time": True,
        "dead": frozenset(),
        "volatile": False,
        "assume_dead": "",
        "witnesses": (),
    }
    return View(**usual | fields)


READY = record(Vice("n2", N2.incarnation, ready=True))

PROOFS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("", {"assume_dead": "n2"}),
    ("", {"witnesses": (witness(N1),)}),
    ("", {"dead": frozenset({N2.incarnation})}),
    ("word", {"assume_dead": "n1"}),
    ("obituary", {"assume_dead": "n1", "dead": frozenset({N1.incarnation})}),
    ("present life", {"assume_dead": "n1", "witnesses": (witness(AGAIN["n1"]),)}),
    ("present life", {"me": AGAIN["n1"]}),
    ("stopped", {"record": record(stopped=AT)}),
    ("", {"record": None}),
]


@pytest.mark.parametrize(("expected", "fields"), PROOFS)
def test_what_proves_that_the_recorded_master_answers_nobody(expected: str, fields: dict[str, Any]) -> None:
    assert proof(view(**fields)) == expected


AGAINST: list[tuple[str, dict[str, Any]]] = [
    ("n3 is master already", {"role": "master"}),
    ("there is no mastership record", {"record": None}),
    ("nothing proves that n1", {"assume_dead": ""}),
    ("n2 is not the recorded master", {"assume_dead": "n2"}),
    ("n3 is not eligible, or a spare", {"eligible": frozenset({"n1", "n2"})}),
    ("a journal of n3 is not open yet", {"positions": None}),
    ("n3 is in maintenance", {"maintained": frozenset({"n3"})}),
    ("was not scheduled a moment ago", {"on_time": False}),
    ("n3 heard the master n1 100 ms ago", {"master_silent_ns": 100 * MS}),
    ("n2 heard the master n1 200 ms ago", {"witnesses": (witness(N2, silent_ms=200),)}),
    ("the master n1 lives", {"witnesses": (witness(N1),)}),
    ("the ready vice n2 lives", {"record": READY, "vice_silent_ns": 0}),
    ("the ready vice n2 lives", {"record": READY, "witnesses": (witness(N2),)}),
    ("the ready vice n2 lives", {"record": READY, "me": N2}),
    ("`primacy maintenance off`", {"record": READY, "me": N2, "held": True}),
    ("n1 is back with everything", {"witnesses": (witness(AGAIN["n1"]),)}),
    ("n2 is back with everything", {"record": READY, "witnesses": (witness(AGAIN["n2"]),)}),
    ("n3 is back with everything", {"record": record(stopped=AT), "assume_dead": ""}),
    ("n3 listens only since 100 ms", {"since_start_ns": 100 * MS}),
]  # fmt: skip


@pytest.mark.parametrize(("part", "fields"), AGAINST)
def test_each_reason_against(part: str, fields: dict[str, Any]) -> None:
    reasons = reasons_against(view(**{"assume_dead": "n1"} | fields))
    assert any(part in reason for reason in reasons), reasons


FOR: list[dict[str, Any]] = [
    {"assume_dead": "n1"},
    {"assume_dead": "n1", "master_silent_ns": None, "record": READY},
    {"dead": frozenset({N1.incarnation}), "since_start_ns": 0, "master_silent_ns": 0},
    {"volatile": True, "record": READY, "witnesses": (witness(AGAIN["n1"]), witness(AGAIN["n2"])), "vice_silent_ns": 0},
    {"record": record(stopped={"s": (1, 9)}), "witnesses": (witness(AGAIN["n2"]),)},
    {"assume_dead": "n1", "record": record(Vice("n2", N2.incarnation, ready=False)), "witnesses": (witness(N2),)},
    {"witnesses": (witness(AGAIN["n1"], positions=None),)},
]  # fmt: skip


@pytest.mark.parametrize("fields", FOR)
def test_nothing_speaks_against_force_when_all_who_have_everything_are_gone(fields: dict[str, Any]) -> None:
    assert reasons_against(view(**fields)) == ()


def test_all_reasons_are_told_at_once() -> None:
    against = view(positions=None, master_silent_ns=0, record=READY, vice_silent_ns=0, assume_dead="n2")
    assert len(reasons_against(against)) == 5


def test_what_may_be_lost_names_who_had_it_and_what_is_here() -> None:
    told = may_lose(view(record=READY, assume_dead="n1"))
    assert "n1 or n2" in told
    assert "s at 7 of term 1" in told
    assert "if n1 still runs" in told
    assert "in memory only" not in told
    proven = may_lose(view(dead=frozenset({N1.incarnation}), volatile=True))
    assert "in memory only" in proven
    assert "still runs" not in proven


def test_the_freshest_journals_go_first_then_the_priority() -> None:
    older = Candidate(N1, 9, {"s": (1, 7)})
    newer = Candidate(N2, 0, {"s": (2, 1)})
    assert best([older, newer]) == "n2"
    assert best([older, Candidate(N3, 10, {"s": (1, 7)})]) == "n3"
    assert best([]) == ""


def test_the_verdict_tells_the_proof_or_all_reasons() -> None:
    forced = decide(view(assume_dead="n1"))
    assert isinstance(forced, Force)
    assert forced.cause.startswith("proof: word; this may be lost: every write acknowledged by n1")
    given = view(on_time=False)
    reasons = reasons_against(given)
    assert len(reasons) > 1
    assert decide(given) == Refuse("; ".join(reasons), reasons)
