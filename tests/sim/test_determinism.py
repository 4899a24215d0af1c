"""The same seed is the same run: in one process, and in two whose hashes of strings differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from primacy.sim.command import plan_of
from primacy.sim.world import run

SOURCE = Path(__file__).parents[2] / "src"


def told(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "primacy.sim", "--seed", str(seed), "--runs", "8", "--trace"],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout.rpartition("runs from seed")[0]


def test_two_processes_tell_the_same_to_the_byte(seed: int) -> None:
    one, other = told(seed, "1"), told(seed, "4711")
    assert one == other
    assert one.count("fingerprint") == 8


def test_the_same_seed_twice(seed: int) -> None:
    one, other = run(plan_of(seed)), run(plan_of(seed))
    assert one == other
    assert run(plan_of(seed + 1)).fingerprint != one.fingerprint
