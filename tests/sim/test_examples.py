"""The tests that readers see, of examples and tutorial, run as they run them: in a process of their own, any seed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users_tests import let_pytest_find_the_fixture

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
TAKEOVERS = 'self.state.votes["takeovers"] = ctx.term'
LUCKY = 'self.state.votes["lucky"] = random.randint(1, 100)'


def run(folder: Path, name: str, seed: int, *options: str) -> subprocess.CompletedProcess[str]:
    let_pytest_find_the_fixture(folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTEST_ADDOPTS": "", "SEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name, *options]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "examples").glob("test_*.py"))])
def test_an_example_passes_its_own_tests(seed: int, name: str, tmp_path: Path) -> None:
    for path in (ROOT / "examples").glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    done = run(tmp_path, name, seed)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorials_chapter_from_an_empty_directory(seed: int, tmp_path: Path) -> None:
    sources = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
    votes = sources[0]
    (tmp_path / "votes.py").write_text(votes, encoding="utf-8")
    (tmp_path / "test_votes.py").write_text(
        next(text for text in sources if "def test_" in text), encoding="utf-8"
    )
    done = run(tmp_path, "test_votes.py", seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert f"`{LUCKY}`" in TUTORIAL
    where = "        self.state.voters.add(voter)\n"
    assert where in votes
    (tmp_path / "votes.py").write_text(
        "import random\n" + votes.replace(where, f"{where}        {LUCKY}\n"), encoding="utf-8"
    )
    done = run(tmp_path, "test_votes.py", seed)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    for part in (
        "votes.vote(voter='ann', choice='tea') (entry 2 of term 1) is not deterministic",
        "asks random.",
    ):
        assert part in done.stdout, done.stdout
    assert f"`{TAKEOVERS}`" in TUTORIAL
    where = '        print(f"primary of term'
    assert where in votes
    (tmp_path / "votes.py").write_text(
        votes.replace(where, f"        {TAKEOVERS}\n{where}"), encoding="utf-8"
    )
    done = run(tmp_path, "test_votes.py", seed, "-k", "whatever", "--primacy-runs=8", "--primacy-shorten=5")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    for part in (
        "takeovers",
        "faults that chaos drew",
        "in the place of cluster.chaos(...)",
    ):
        assert part in done.stdout, done.stdout
