"""How a failing test is told: as few faults as it takes, lines to paste, a file to keep; each run with new fixtures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users_tests import let_pytest_find_the_fixture

ROOT = Path(__file__).resolve().parents[2]
SERVICE = """
import msgspec
import primacy

class Counts(msgspec.Struct):
    count: dict[str, int] = {}

class Counter(primacy.Service[Counts]):
    @primacy.operation
    def add(self, ctx, key: str) -> int:
        self.state.count[key] = self.state.count.get(key, 0) + 1
        return self.state.count[key]
"""
BY_ITSELF = """
import pytest
from service import Counter

@pytest.fixture
def cluster(primacy_cluster, tmp_path):
    assert not list(tmp_path.iterdir())
    (tmp_path / "used").touch()
    return primacy_cluster([Counter])

def demand(cluster):
    assert cluster.term < 3

@pytest.mark.parametrize("key", ["a", "b"])
def test_one_change_at_most(cluster, key):
    counter = cluster.client().service("counter")
    cluster.every(0.5, lambda: counter.start.add(key=key))
    print("a line of this run")
    cluster.chaos(8)
    cluster.run(8)
    demand(cluster)
"""
NEVER_TWICE = """
from service import Counter
runs = []

def test_only_once(primacy_cluster):
    primacy_cluster([Counter]).chaos(1)
    runs.append(1)
    assert len(runs) > 1
"""
IN_THE_CHECK = """
import primacy
from service import Counter

class Aside(Counter):
    def __init__(self):
        super().__init__()
        self.last = {}

    @primacy.operation
    def add(self, ctx, key: str) -> int:
        self.last[key] = Counter.add(self, ctx, key)
        return self.last[key]

    @primacy.query
    def read(self, key: str) -> int:
        return self.last.get(key, 0)

def test_reads(primacy_cluster):
    cluster = primacy_cluster({"counter": Aside}, snapshot_every=1)
    counter = cluster.client().service("counter")
    counter.add(key="a")
    cluster.chaos(2)
    cluster.run(2)
    for node in cluster.nodes:
        cluster.power(node, for_s=0.5)
    counter.query.read(key="a")
"""


def run(folder: Path, *options: str, seed: int = 0) -> str:
    """Run pytest in a user's folder, and return what it says."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTEST_ADDOPTS": "", "SEED": str(seed)}
    others = ("cacheprovider", "randomly", "hypothesispytest", "asyncio", "xdist")
    without = [part for name in others for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", *without, "-q", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's directory."""
    let_pytest_find_the_fixture(tmp_path)
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    return tmp_path


def failing(folder: Path, text: str, *options: str, first: int = 0) -> tuple[int, str]:
    """Write a test, and return the first seed that it fails with, and what is said then."""
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    for seed in range(first, first + 20):
        said = run(folder, *options, seed=seed)
        if "failed" in said:
            return seed, said
    raise AssertionError(said)


def test_a_failure_is_told_with_few_faults_and_lines_that_give_it_back(folder: Path, seed: int) -> None:
    seed, said = failing(folder, BY_ITSELF, "-k", "[a]", first=seed)
    assert (
        f"{seed}: run it again with pytest 'test_it.py::test_one_change_at_most[a]' --primacy-seed={seed}"
        in said
    )
    enough = re.search(r"(\d+) of the (\d+) faults that chaos drew (?:is|are) enough \(\d+ runs", said)
    assert enough is not None, said
    assert 0 < int(enough[1]) <= min(6, int(enough[2]))
    assert "primacy: timeline of cluster 1" in said
    assert said.count("a line of this run") <= 2  # the source and the output of the last run
    (lines,) = re.findall(r"^    from primacy.sim import Fault\n.*?^    \)", said, re.DOTALL | re.MULTILINE)
    pasted = BY_ITSELF.replace("    cluster.chaos(8)", lines)  # (indented as in a test's function)
    (folder / "test_it.py").write_text(pasted, encoding="utf-8")
    again = run(folder, "-k", "[a]", seed=seed)
    assert "assert cluster.term < 3" in again, again
    assert "chaos has drawn no fault: it fails by what the test itself does" in again


def test_a_kept_run_runs_with_its_test_from_then_on(folder: Path, seed: int) -> None:
    seed, said = failing(folder, BY_ITSELF, "--primacy-keep", "-k", "[a]", first=seed)
    name = f"test_it.test_one_change_at_most.{seed}.json"
    assert f"kept in primacy_runs/{name}: it runs with this test from now on" in said, said
    kept = json.loads((folder / "primacy_runs" / name).read_text(encoding="utf-8"))
    assert (kept["test"], kept["seed"]) == ("test_it.py::test_one_change_at_most", seed)
    collected = run(folder, "--collect-only", seed=seed + 1)
    assert f"test_one_change_at_most[a-kept-{seed}]" in collected or f"[kept-{seed}-a]" in collected, (
        collected
    )
    assert "4 tests collected" in collected
    again = run(folder, "-k", f"kept-{seed} and not b", seed=seed + 1)
    assert f"{seed}: the kept run {name}; run it again with pytest" in again, again
    assert " enough" not in again
    (folder / "test_it.py").write_text(BY_ITSELF.replace("< 3", "< 99"), encoding="utf-8")
    assert "4 passed" in run(folder, seed=seed)
    (folder / "test_it.py").write_text(BY_ITSELF.replace("test_one", "test_two"), encoding="utf-8")
    renamed = run(folder, "--collect-only", seed=seed)
    assert f"primacy_runs/{name} is of test_it.py::test_one_change_at_most, which is not there" in renamed
    (folder / "primacy_runs" / name).write_text("{}", encoding="utf-8")
    assert "want a file that --primacy-keep has written" in run(folder, seed=seed)


def test_only_the_first_of_many_seeds_is_made_shorter(folder: Path, seed: int) -> None:
    test = BY_ITSELF.replace("< 3", "< 0")
    (folder / "test_it.py").write_text(test, encoding="utf-8")
    said = run(folder, "--primacy-runs=3", "-k", "a]", seed=seed)
    assert "3 failed" in said, said
    assert len(re.findall("faults that chaos drew (?:is needed|is enough|are enough)", said)) == 1
    assert said.count("not shortened: another run of this test is") == 2
    assert f"pytest 'test_it.py::test_one_change_at_most[a]' --primacy-seed={seed + 2}" in said


def test_what_is_not_the_same_run_twice_is_told_as_such(folder: Path, seed: int) -> None:
    (folder / "test_it.py").write_text(NEVER_TWICE, encoding="utf-8")
    said = run(folder, seed=seed)
    assert "not shortened: run once more with the same seed" in said, said
    assert "1 failed" in said
    assert "not shortened" not in run(folder, "--primacy-shorten=0", seed=seed)
    assert "want 0 or more seconds" in run(folder, "--primacy-shorten=-1", seed=seed)


def test_a_violation_that_only_the_check_finds_is_shortened_too(folder: Path, seed: int) -> None:
    (folder / "test_it.py").write_text(IN_THE_CHECK, encoding="utf-8")
    said = run(folder, seed=seed)
    assert "none of the " in said or " enough (" in said, said
    assert "counter.read(key='a') -> 0" in said
    assert "beside the state, self.last['a'] is nothing on" in said


def test_a_limit_of_time_is_for_one_run(folder: Path, seed: int) -> None:
    text = "import pytest, time\npytestmark = pytest.mark.timeout(5)\n" + BY_ITSELF.replace("< 3", "< 0")
    spent = "    spent = time.monotonic() + 2\n    while time.monotonic() < spent:\n        pass\n"
    (folder / "test_it.py").write_text(text.replace("    demand(cluster)\n", f"{spent}    demand(cluster)\n"))
    said = run(folder, "-k", "[a]", "--primacy-shorten=5", seed=seed)
    assert "none of the " in said, said
    assert "pytest-timeout" not in said
