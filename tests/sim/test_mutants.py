"""Planted bugs: for each clause of the protocol, the code without it serves when nothing goes wrong, and is found.

Each runs in a process of its own, since the source must be rewritten before it is imported. Here those that are named
in the first place are hunted from a known seed, and some of the others from a fresh one; `make soak` hunts all of
them, for as long as `primacy sim --mutants` does.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.sim.loader import Edit, rewrite
from primacy.sim.mutants import MUTANTS, Mutant, named
from primacy.sim.scenarios import SCENARIOS

SOURCE = Path(__file__).parents[2] / "src"
RUNS, RUNS_MAX = 1_000, 2_000
SEED = 1
SAMPLE = 4
MANDATORY = (
    "lease-counted-from-arrival",
    "grace-equals-lease",
    "no-seal-before-a-claim",
    "claim-by-a-vice-that-is-not-ready",
    "ready-swapped-before-writes-wait-for-the-vice",
    "reply-before-ack",
    "read-without-lease-check",
    "incarnation-ignored",
    "obituary-of-an-older-incarnation-believed",
    "uncertain-taken-for-failed",
    "uncertain-taken-for-done",
    "stale-watch-event-acted-on",
    "append-of-an-old-term-accepted",
    "log-not-cut-on-rejoin",
    "snapshot-without-session-table",
    "reply-cache-lost-on-failover",
    "duplicate-window-too-small",
    "drop-of-the-vice-not-confirmed-before-answering",
    "solo-answers-while-a-swap-to-ready-is-unsettled",
    "sealed-mirror-appends-still-acknowledged",
    "level-started-before-its-barrier",
    "undo-in-the-wrong-order",
    "intent-not-cleared",
    "two-operators-interleaved",
)
OTHERS = tuple(mutant.name for mutant in MUTANTS if mutant.name not in MANDATORY)


def source_of(module: str) -> str:
    return (SOURCE / (module.replace(".", "/") + ".py")).read_text()


def test_there_are_at_least_forty() -> None:
    assert len(MUTANTS) >= 40
    assert (
        len({mutant.name for mutant in MUTANTS}) == len({mutant.clause for mutant in MUTANTS}) == len(MUTANTS)
    )
    assert set(MANDATORY) <= {mutant.name for mutant in MUTANTS}
    assert {mutant.scenario for mutant in MUTANTS} - {""} <= set(SCENARIOS)
    assert named("no-seal-before-a-claim").clause == "R4, seal"
    with pytest.raises(KeyError, match="there are: lease-counted-from-arrival"):
        named("none")


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_its_code_is_still_there(mutant: Mutant) -> None:
    for module in sorted({edit.module for edit in mutant.edits}):
        edits = [edit for edit in mutant.edits if edit.module == module]
        text = rewrite(source_of(module), edits)
        assert text != source_of(module)
        compile(text, module, "exec")


def test_an_edit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 times"):
        rewrite("a = 1\n", [Edit("m", "b", "c")])
    with pytest.raises(ConfigError, match="2 times"):
        rewrite("a = a\n", [Edit("m", "a", "c")])


def hunt(name: str, seed: int, runs: int, timeout_s: int) -> None:
    """Hunt one planted bug as a user does."""
    words = ["--mutants", name, "--seed", str(seed), "--seeds", str(runs), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "primacy.sim", *words],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    clause, breaks = named(name).clause, named(name).breaks
    assert done.returncode == 0, f"{clause}: {breaks}\nseed {seed}\n{done.stdout}{done.stderr}"
    [found] = json.loads(done.stdout)["mutants"]
    assert found["name"] == name
    assert found["serves"]
    assert found["found"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", MANDATORY)
def test_it_is_found(name: str) -> None:
    hunt(name, SEED, RUNS, 170)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", range(SAMPLE))
def test_others_are_found_from_a_fresh_seed(seed: int, number: int) -> None:
    names = random.Random(seed).sample(OTHERS, SAMPLE)
    hunt(names[number], seed, RUNS_MAX, 170)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_it_is_found_from_a_fresh_seed(seed: int, mutant: Mutant) -> None:
    hunt(mutant.name, seed, RUNS_MAX, 880)
