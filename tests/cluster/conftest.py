"""What the tests on real processes share: clusters that are ended whatever happens, and told of when a test fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster_tools import ROOT, Live

TIMEOUT_S = 150
"""For one test on a machine that is busy with other things: several conditions are waited for, each with its limit."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests on real processes more time than the others have, when nobody says how much (`--timeout`)."""
    if config.getoption("timeout") is not None:
        return
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session", autouse=True)
def _importable() -> Iterator[None]:
    """Let the processes of a test find the package that the test itself uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Add events and logs of a test's clusters to the report of its failure."""
    report = yield
    if report.when == "call" and report.failed:
        for live in item.stash.get(_LIVES, []) + list(item.session.stash.get(_SHARED, [])):
            if live.processes():
                report.sections.append((f"cluster {live.layout.root}", live.report()))
    return report


_LIVES = pytest.StashKey[list[Live]]()
_SHARED = pytest.StashKey[list[Live]]()

MakeLive = Callable[..., Live]


@pytest.fixture
def make_live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLive]:
    """Make clusters for one test (`Live`'s arguments but the directory); all their processes end with it."""
    lives = request.node.stash.setdefault(_LIVES, [])

    def make(**arguments: Any) -> Live:
        live = Live(tmp_path / f"cluster{len(lives) + 1}", **arguments)
        lives.append(live)
        return live

    yield make
    for live in lives:
        live.end()


@pytest.fixture(scope="module")
def make_shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeLive]:
    """Make clusters that all tests of a module share; all their processes end with it."""
    lives = request.session.stash.setdefault(_SHARED, [])
    made: list[Live] = []

    def make(**arguments: Any) -> Live:
        live = Live(tmp_path_factory.mktemp("shared") / "cluster", **arguments)
        made.append(live)
        lives.append(live)
        return live

    yield make
    for live in made:
        live.end()
        lives.remove(live)
