"""The pytest fixture `primacy_cluster`: a test of a service on a simulated cluster, judged when the test has ended.

    def test_nothing_is_lost(primacy_cluster):
        cluster = primacy_cluster([Inventory], nodes=3)
        ...

It is installed with the package (entry point `pytest11`) and imports the simulator only when a test asks for it. When
the test's function has returned, each of its clusters is healed and checked: what is not true fails the test. A failing
test tells its seed; `--primacy-seed=N`, or SEED in the environment, gives it back. `--primacy-runs=N` runs each such
test with N seeds, from that one on.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from primacy.sim.authors.cluster import Cluster

_SEED_BITS = 32
_clusters = pytest.StashKey[list[Any]]()
_seed = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the seed and the number of runs."""
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
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    config.stash[_seed] = worker.get("primacy_seed", seed)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of pytest-xdist the run's seed."""
    node.workerinput["primacy_seed"] = node.config.stash[_seed]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a simulated cluster once for each seed."""
    runs: int = metafunc.config.getoption("primacy_runs")
    if "primacy_seed" in metafunc.fixturenames and runs > 1:
        first = metafunc.config.stash[_seed]
        metafunc.parametrize("primacy_seed", range(first, first + runs), ids=lambda seed: f"seed{seed}")


@pytest.fixture
def primacy_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test's simulated clusters."""
    return request.config.stash[_seed]


@pytest.fixture
def primacy_cluster(request: pytest.FixtureRequest, primacy_seed: int) -> Callable[..., Cluster]:
    """Make simulated clusters: `primacy_cluster([Inventory], nodes=3, ...)`, with the arguments of
    `primacy.sim.Cluster`.

    They are checked when the test's function has returned, unless it has failed by itself.
    """
    from primacy.sim.authors.cluster import Cluster

    made: list[Cluster] = request.node.stash.setdefault(_clusters, [])

    def make(*arguments: Any, **keywords: Any) -> Cluster:
        keywords.setdefault("seed", primacy_seed + 1_000_000_007 * len(made))
        cluster = Cluster(*arguments, **keywords)
        made.append(cluster)
        return cluster

    return make


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge the test's clusters as a part of the test."""
    result = yield
    for cluster in pyfuncitem.stash.get(_clusters, []):
        cluster.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the seed of a failing test, and how to give it back."""
    report = yield
    if report.failed and "primacy_seed" in getattr(item, "fixturenames", ()):
        callspec = getattr(item, "callspec", None)
        seed = callspec.params.get("primacy_seed") if callspec is not None else None
        seed = item.config.stash[_seed] if seed is None else seed
        test = item.nodeid.partition("[seed")[0]
        report.sections.append(
            ("primacy seed", f"{seed}: run it again with pytest '{test}' --primacy-seed={seed}")
        )
    return report
