"""What a user's own tests need where the package is on the path only, and not installed: its fixture."""

from __future__ import annotations

from pathlib import Path

CONFTEST = """
from primacy.sim import pytest_plugin


def pytest_addoption(parser, pluginmanager):
    if not pluginmanager.has_plugin("primacy"):
        pluginmanager.register(pytest_plugin, "primacy")
"""


def let_pytest_find_the_fixture(folder: Path) -> None:
    """Do for the tests in a folder what the entry point of an installed package does."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
