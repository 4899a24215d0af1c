"""The pytest fixture `primacy_cluster`: a test of a service on a simulated cluster, judged when the test has ended.

    def test_nothing_is_lost(primacy_cluster):
        cluster = primacy_cluster([Inventory], nodes=3)
        ...

It is installed with the package (entry point `pytest11`) and imports the simulator only when a test asks for it. When
the test's function has returned, each of its clusters is healed and checked: what is not true fails the test.

A test that fails is run again and again with fewer of the faults that `chaos` has drawn, its fixtures anew each time,
and told with as few of them as it still fails with (pytest_failures.py). `--primacy-seed=N`, or SEED in the
environment, gives a run back; `--primacy-runs=N` runs each such test with N seeds; `--primacy-keep` writes a failing
run into `primacy_runs/` beside the test, and what lies there runs with its test from then on.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from primacy.sim.authors.cluster import Cluster
    from primacy.sim.authors.kept import Drawn

SHORTEN_S = 30.0
KEPT_IN = "primacy_runs"
DRAWN = "drawn"
_SEED_BITS = 32
_CLUSTERS_APART = 1_000_000_007


class Run:
    """One run of a test. given: faults in the place of those that `chaos` draws; kept: the file that they are from."""

    def __init__(self, given: tuple[Drawn, ...] | None = None) -> None:
        self.given = given
        self.kept: Path | None = None
        self.seed: int | None = None
        self.clusters: list[Cluster] = []
        self.failure: BaseException | None = None


run_key = pytest.StashKey[Run]()
"""What a test's item holds: its present run; set anew before each."""
told_key = pytest.StashKey[set[str]]()
"""What the session holds: the tests that have failed once already."""
_seed = pytest.StashKey[int]()
_seen = pytest.StashKey[tuple[set[Path], set[Path]]]()
"""The files of tests that were collected, and the kept runs that run with one of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the seed, the number of runs, and what becomes of failures."""
    group = parser.getgroup("primacy", "services on a simulated cluster")
    group.addoption(
        "--primacy-seed",
        type=int,
        default=None,
        help="seed of the simulated clusters (default: $SEED, or drawn)",
    )
    group.addoption(
        "--primacy-runs", type=int, default=1, help="run each test of a simulated cluster with so many seeds"
    )
    group.addoption(
        "--primacy-shorten",
        type=float,
        default=SHORTEN_S,
        metavar="SECONDS",
        help="look so long for fewer faults with which a failing test fails, too (default: 30; 0: do not)",
    )
    group.addoption(
        "--primacy-keep",
        action="store_true",
        help=f"write the failing run into {KEPT_IN}/ beside the test; it runs with the test from then on",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed of this run; workers of pytest-xdist get it from the first process."""
    seed: int | None = config.getoption("primacy_seed")
    if seed is None:
        text = os.environ.get("SEED") or str(secrets.randbits(_SEED_BITS))
        if not text.isdecimal():
            raise pytest.UsageError(
                f"SEED={text!r} is not a whole number; give the one that a run has printed"
            )
        seed = int(text)
    if config.getoption("primacy_runs") < 1:
        raise pytest.UsageError("--primacy-runs: want 1 or more")
    if not config.getoption("primacy_shorten") >= 0:
        raise pytest.UsageError("--primacy-shorten: want 0 or more seconds")
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    config.stash[_seed] = worker.get("primacy_seed", seed)
    config.stash[told_key] = set()
    config.stash[_seen] = (set(), set())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of pytest-xdist the run's seed."""
    node.workerinput["primacy_seed"] = node.config.stash[_seed]


# ---- which runs ----


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a simulated cluster once for each seed, and once for each run of it that was kept."""
    files, running = metafunc.config.stash[_seen]
    files.add(metafunc.definition.path)
    if "primacy_seed" not in metafunc.fixturenames:
        return
    runs: int = metafunc.config.getoption("primacy_runs")
    first = metafunc.config.stash[_seed]
    kept = [
        path for path, test in _kept_runs(metafunc.definition.path) if test == name_of(metafunc.definition)
    ]
    running.update(kept)
    if runs == 1 and not kept:
        return
    seeds = list(range(first, first + runs))
    plain = getattr(pytest, "HIDDEN_PARAM", DRAWN)  # (pytest 8.4: the test keeps its name)
    ids = [plain] if runs == 1 else [f"seed{seed}" for seed in seeds]
    ids += [f"kept-{path.stem.rpartition('.')[2]}" for path in kept]
    metafunc.parametrize("primacy_seed", [*seeds, *kept], indirect=True, ids=ids)


def name_of(item: pytest.Item) -> str:
    """Return a test's name, as kept runs know it: the file and what stands in it."""
    return f"{item.path.name}::{item.nodeid.partition('::')[2].partition('[')[0]}"


def _kept_runs(beside: Path) -> list[tuple[Path, str]]:
    """Return the kept runs beside a file of tests, each with its test's name."""
    found = []
    for path in sorted((beside.parent / KEPT_IN).glob("*.json")):
        try:
            found.append((path, str(json.loads(path.read_bytes())["test"])))
        except (ValueError, KeyError, TypeError) as error:
            want = "want a file that --primacy-keep has written"
            raise pytest.UsageError(f"{path}: {error!r}: {want}") from None
    return found


def pytest_collection_finish(session: pytest.Session) -> None:
    """Warn of kept runs whose test is no longer in its file: they would never run again, and nobody would know."""
    files, running = session.config.stash[_seen]
    for file in sorted(files):
        for path, test in _kept_runs(file):
            lies_in, _, name = test.partition("::")
            if lies_in == file.name and "::" not in name and path not in running:
                want = "rename it in the file, or delete the file (the test must use primacy_cluster)"
                warnings.warn(
                    pytest.PytestWarning(f"{KEPT_IN}/{path.name} is of {test}, which is not there: {want}"),
                    stacklevel=1,
                )


# ---- fixtures ----


@pytest.fixture
def primacy_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test's simulated clusters."""
    stash = request.node.stash
    run = stash.get(run_key, None)
    if run is None or run.seed is not None:  # (a plug-in of another kind runs the test again)
        run = stash[run_key] = Run()
    which: int | Path = getattr(request, "param", request.config.stash[_seed])
    if isinstance(which, Path):
        from primacy.sim.authors.kept import read

        kept = read(which)
        run.kept, run.given, which = which, kept.faults, kept.seed
    run.seed = which
    return which


@pytest.fixture
def primacy_cluster(request: pytest.FixtureRequest, primacy_seed: int) -> Callable[..., Cluster]:
    """Make simulated clusters: `primacy_cluster([Inventory], nodes=3, ...)`, with the arguments of
    `primacy.sim.Cluster`.

    They are checked when the test's function has returned, unless it has failed by itself.
    """
    from primacy.sim.authors.cluster import Cluster
    from primacy.sim.authors.kept import given_to

    run = request.node.stash[run_key]

    def make(*arguments: Any, **keywords: Any) -> Cluster:
        number = len(run.clusters)
        keywords.setdefault("seed", primacy_seed + _CLUSTERS_APART * number)
        cluster = Cluster(*arguments, **keywords)
        if run.given is not None:
            cluster.given = given_to(number, run.given)
        run.clusters.append(cluster)
        return cluster

    return make


# ---- the run ----


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test of a simulated cluster; when it fails, find out how few faults it takes, and tell that."""
    if "primacy_seed" not in getattr(item, "fixturenames", ()):
        return None
    from primacy.sim.pytest_failures import Failures

    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    Failures(item, nextitem).run()
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge the test's clusters as a part of the test."""
    result = yield
    run = pyfuncitem.stash.get(run_key, None)
    for cluster in run.clusters if run is not None else ():
        cluster.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how a test of a simulated cluster has failed."""
    report = yield
    run = item.stash.get(run_key, None)
    if run is not None and report.failed and call.excinfo is not None and run.failure is None:
        run.failure = call.excinfo.value
    return report
