"""The runner of `make test` is honest about a rung that fails, is empty, breaks off or takes too long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import phases


def _run(folder: Path, source: str, *, allowed_s: float = 30.0) -> phases.Outcome:
    (folder / "test_one.py").write_text(source)
    phase = phases.Phase("one", "for this test", (str(folder),), ("-q", "-p", "no:cacheprovider"))
    return phases.run(phase, seed="7", deadline_s=time.monotonic() + allowed_s)


@pytest.mark.parametrize(
    ("source", "problem", "counts"),
    [
        ("def test_a(): pass\ndef test_b(): pass\n", "", (2, 0)),
        ("def test_a(): pass\ndef test_b(): assert 0\n", "tests failed", (1, 1)),
        ("", "no test was found", (0, 0)),
        ("import nothing_of_that_name\n", "interrupted, or not collected", (0, 1)),
        ("import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGKILL)\n", "SIGKILL", (0, 0)),
        ("import os\ndef test_a(): os._exit(0)\n", "record does not bear out", (0, 0)),
        ("import os\ndef test_a(): assert os.environ['SEED'] == '7'\n", "", (1, 0)),
    ],
    ids=["passes", "fails", "empty", "not collected", "killed", "leaves early", "has the seed"],
)
def test_a_phase_tells_what_became_of_it(
    tmp_path: Path, source: str, problem: str, counts: tuple[int, int]
) -> None:
    outcome = _run(tmp_path, source)
    assert problem in outcome.problem
    assert bool(problem) == bool(outcome.problem)
    assert (outcome.passed, outcome.failed) == counts


def test_a_phase_ends_at_the_deadline(tmp_path: Path) -> None:
    outcome = _run(tmp_path, "import threading\ndef test_a(): threading.Event().wait()\n", allowed_s=1.0)
    assert outcome.problem.startswith("stopped")
    assert outcome.took_s < 15


def test_the_last_line_counts_a_silent_failure(capsys: pytest.CaptureFixture[str]) -> None:
    fine = phases.Outcome(phases.PHASES[0], passed=3)
    silent = phases.Outcome(phases.PHASES[1], problem="no test was found")
    assert phases.report([fine], "7") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed"
    assert phases.report([fine, silent], "7") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed"
