"""The examples' own tests, run as their readers run them: in a process of their own, with a fresh seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "examples").glob("test_*.py"))])
def test_an_example_passes_its_own_tests(seed: int, name: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from primacy.sim import pytest_plugin\n\n\n"
        "def pytest_addoption(parser, pluginmanager):\n"
        "    if not pluginmanager.has_plugin('primacy'):\n"
        "        pluginmanager.register(pytest_plugin, 'primacy')\n",
        encoding="utf-8",
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for path in (ROOT / "examples").glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PYTEST_ADDOPTS": "",
        "SEED": str(seed),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
