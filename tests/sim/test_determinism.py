"""The same seed is the same run: in one process, in two whose hashes of strings differ, and beside other runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from primacy.sim.command import plan_of
from primacy.sim.world import run

SOURCE = Path(__file__).parents[2] / "src"
RUNS = 8


def told(seed: int, hash_seed: str, jobs: int) -> str:
    """Return the timelines of some runs, without the figures of how long they took."""
    words = ["--seed", str(seed), "--seeds", str(RUNS), "--jobs", str(jobs), "--timeline", "--no-coverage"]
    done = subprocess.run(
        [sys.executable, "-m", "primacy.sim", *words],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout.rpartition(f"{RUNS} runs from seed")[0]


def test_two_processes_tell_the_same_to_the_byte(seed: int) -> None:
    one, other = told(seed, "1", 1), told(seed, "4711", 2)
    assert one == other
    assert one.count("fingerprint") == RUNS


def test_the_same_seed_twice(seed: int) -> None:
    one, other = run(plan_of(seed)), run(plan_of(seed))
    assert one == other
    assert run(plan_of(seed + 1)).fingerprint != one.fingerprint
