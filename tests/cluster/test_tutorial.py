"""The tutorial works as it stands: its service, its program, its commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users_tests import let_pytest_find_the_fixture

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", TEXT, re.DOTALL)


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = command.split()
    argv = [sys.executable, "-m", "primacy.cli.main", *words[1:]] if words[0] == "primacy" else words
    argv = [sys.executable, *words[1:]] if words[0] == "python" else argv
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.timeout(240)
def test_the_tutorial_from_its_first_line_to_the_last(tmp_path: Path) -> None:
    sources = [text for kind, text in BLOCKS if kind == "python"]
    (tmp_path / "votes.py").write_text(sources[0], encoding="utf-8")
    (tmp_path / "program.py").write_text(sources[1], encoding="utf-8")
    (tmp_path / "test_votes.py").write_text(
        next(text for text in sources if "def test_" in text), encoding="utf-8"
    )
    let_pytest_find_the_fixture(tmp_path)
    outputs: dict[str, str] = {}
    try:
        for kind, text in BLOCKS:
            if kind == "python" and text == sources[1]:
                done = _run(f"{sys.executable} program.py", tmp_path)
                assert done.returncode == 0, done.stderr
                assert done.stdout.startswith("2\n"), done.stdout  # tea has two votes by now
            for line in text.splitlines() if kind == "console" else ():
                command = line.removeprefix("$ ").split("#")[0].strip()
                done = _run(command, tmp_path)
                assert done.returncode == 0, (command, done.stdout, done.stderr)
                outputs[command] = done.stdout
        result = _run("primacy call votes result", tmp_path)
        assert '"tea"' in result.stdout.replace("'", '"')
        assert "2" in result.stdout
        assert "coffee" in outputs["primacy call votes result"]
    finally:
        _run("primacy down", tmp_path)
        shutil.rmtree(tmp_path / ".primacy", ignore_errors=True)
