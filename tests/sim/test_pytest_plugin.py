"""The fixture comes with the installed package: found by its entry point, light, and told of with its seed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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

    @primacy.query
    def read(self, key: str) -> int:
        return self.state.count.get(key, 0)
"""
GOOD = """
from service import Counter

def test_it_counts_on(primacy_cluster):
    cluster = primacy_cluster([Counter])
    counter = cluster.client().service("counter")
    assert counter.add(key="a") == 1
    cluster.crash("master")
    assert counter.add(key="a") == 2
    print("seed", cluster.seed)
"""
BAD = '''
import primacy
from service import Counter

class Forgetful(Counter):
    """Its answer is not what it keeps in its state only."""

    calls = 0

    @primacy.operation
    def add(self, ctx, key: str) -> int:
        Forgetful.calls += 1
        self.state.count[key] = Forgetful.calls
        return Forgetful.calls

def test_it_counts_on(primacy_cluster):
    cluster = primacy_cluster({"counter": Forgetful})
    cluster.client().service("counter").start.add(key="a")   # found only by what is judged at the end
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the package is installed: its wheel, unpacked."""
    wheels, packages = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return packages


def run(site: Path, folder: Path, *options: str, seed: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTEST_ADDOPTS": "", "SEED": seed}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-q", *options]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's directory, apart from this project."""
    user = tmp_path / "user"
    user.mkdir()
    (user / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (user / "service.py").write_text(SERVICE, encoding="utf-8")
    return user


def test_a_users_test_runs_in_a_fresh_directory(site: Path, folder: Path) -> None:
    (folder / "test_good.py").write_text(GOOD, encoding="utf-8")
    done = run(site, folder, "-s", "--primacy-seed=7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 7" in done.stdout
    assert "1 passed" in done.stdout


def test_the_seed_comes_from_the_environment_too(site: Path, folder: Path) -> None:
    (folder / "test_good.py").write_text(GOOD, encoding="utf-8")
    assert "seed 11" in run(site, folder, "-s", seed="11").stdout
    refused = run(site, folder, seed="eleven")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "SEED='eleven' is not a whole number" in refused.stderr


def test_a_test_runs_with_many_seeds(site: Path, folder: Path) -> None:
    (folder / "test_good.py").write_text(GOOD, encoding="utf-8")
    done = run(site, folder, "-s", "--primacy-seed=7", "--primacy-runs=3")
    assert "3 passed" in done.stdout, done.stdout
    assert [f"seed {number}" in done.stdout for number in (7, 8, 9)] == [True] * 3


def test_what_is_not_true_fails_the_test_and_tells_the_seed(site: Path, folder: Path) -> None:
    (folder / "test_bad.py").write_text(BAD, encoding="utf-8")
    done = run(site, folder, "--primacy-seed=7")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "counter.add(key='a') (entry 2 of term 1) is not deterministic" in done.stdout, done.stdout
    assert "7: run it again with pytest 'test_bad.py::test_it_counts_on' --primacy-seed=7" in done.stdout
    assert "1 failed" in done.stdout


def test_a_session_that_uses_no_cluster_imports_no_simulator(site: Path, folder: Path) -> None:
    (folder / "test_other.py").write_text(
        "import sys\n\ndef test_light():\n"
        "    assert not {'msgspec', 'primacy.service', 'primacy.sim.world'} & set(sys.modules)\n",
        encoding="utf-8",
    )
    done = run(site, folder)
    assert done.returncode == 0, done.stdout
