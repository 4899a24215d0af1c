"""What no simulated run takes is shown by the unit tests: they are run with the same probes on the machines' edges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from primacy.sim.coverage import MACHINES, unreached, why

ROOT = Path(__file__).parents[2]
ASKED = ("explaining", "retiring", "waits")
"""Modules that ask the machines, and whose tests show what is told then."""

TOY = """
from primacy.machines.ids import Member
from primacy.machines.lease import Lease

def test_of_one_edge():
    assert not Lease(5).held(1)

def test_that_fails():
    assert Member("n1", "x") is None
"""


def taken_by(folder: Path, *files: str) -> tuple[bool, list[str], list[str]]:
    """Run test files with probes; return whether one failed, the edges that were taken, and those that were not."""
    report = folder / "edges.json"
    subprocess.run(
        [sys.executable, "-m", "tests.sim.unit_edges", str(report), *files],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    found = json.loads(report.read_text())
    return found["failed"], found["taken"], found["never"]


def test_the_edges_that_a_test_takes_are_told_and_that_it_failed(tmp_path: Path) -> None:
    (tmp_path / "test_toy.py").write_text(TOY)
    failed, taken, never = taken_by(tmp_path, str(tmp_path / "test_toy.py"))
    assert failed
    assert "lease.Lease.held: entered" in taken
    assert "lease.Lease.echoed: entered" in never


@pytest.mark.soak
def test_what_no_run_takes_the_unit_tests_take(tmp_path: Path) -> None:
    names = [*MACHINES, *ASKED]
    failed, taken, never = taken_by(tmp_path, *(f"tests/unit/test_{name}.py" for name in names))
    assert not failed, "a unit test fails"
    known = unreached()
    shown = [edge for edge in never if (each := why(edge, known)) is not None and not each.never]
    assert not shown, "no unit test takes what no run takes either:\n" + "\n".join(shown)
    possible = [edge for edge in taken if (each := why(edge, known)) is not None and each.never]
    assert not possible, f"they are taken after all, so say so in unreached.toml: {possible}"
