"""What every rung of the tests shares: one seed for all that is random, and marks by folder.

The seed comes from `SEED`, or is drawn once and printed at the top; the same seed and the same test give the
same run. It reaches the tests by the fixtures `seed` and `random_source`, Hypothesis by its own option, and
the workers of pytest-xdist by `SEED`.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from primacy.sim import pytest_plugin

_TESTS = Path(__file__).parent
_SEED_BITS = 32


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Have the package's own fixture also where the package is on the path only, and not installed."""
    if not pluginmanager.has_plugin("primacy"):
        pluginmanager.register(pytest_plugin, "primacy")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Settle the run's seed before any plug-in draws one of its own."""
    text = os.environ.get("SEED") or str(secrets.randbits(_SEED_BITS))
    if not text.isdecimal():
        raise pytest.UsageError(f"SEED={text!r} is not a whole number; give the one that a run has printed")
    os.environ["SEED"] = text
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # a run in the background of a script: what it starts would ignore Ctrl-C, too, and some tests press it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    slow_machines_are_fine = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("primacy", **slow_machines_are_fine)
    settings.load_profile("primacy")
    if config.getoption("hypothesis_seed", default=None) is None:
        config.option.hypothesis_seed = text


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed, and how to give it back."""
    return f"seed: {os.environ['SEED']} (replay with SEED={os.environ['SEED']})"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything under `tests/cluster`, so that `-m` sees it."""
    for item in items:
        if (_TESTS / "cluster") in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def seed() -> int:
    """The run's seed; derive from it everything that a test calls random."""
    return int(os.environ["SEED"])


@pytest.fixture
def random_source(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A source of randomness for one test, the same for the same seed whatever else runs."""
    return random.Random(f"{seed}:{request.node.nodeid}")
