"""Planted bugs: for each clause of the protocol, the code without it serves when nothing goes wrong, and is found.

Each runs in a process of its own, since the source must be rewritten before it is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.sim.loader import Edit, rewrite
from primacy.sim.mutants import MUTANTS, Mutant, named

SOURCE = Path(__file__).parents[2] / "src"
RUNS = 600
SEED = 1  # the same search every time; `python -m primacy.sim --mutant NAME --seed N` makes another


def source_of(module: str) -> str:
    return (SOURCE / (module.replace(".", "/") + ".py")).read_text()


def test_there_is_one_for_each_clause() -> None:
    assert len({mutant.clause for mutant in MUTANTS}) == len(MUTANTS) == 24
    assert len({mutant.name for mutant in MUTANTS}) == 24
    assert named("no-seal").clause == "R4, seal"
    with pytest.raises(KeyError, match="there are: claim-unsettled"):
        named("none")


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_its_code_is_still_there(mutant: Mutant) -> None:
    for module in sorted({edit.module for edit in mutant.edits}):
        edits = [edit for edit in mutant.edits if edit.module == module]
        text = rewrite(source_of(module), edits)
        assert text != source_of(module)
        compile(text, module, "exec")


def test_an_edit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 times"):
        rewrite("a = 1\n", [Edit("m", "b", "c")])
    with pytest.raises(ConfigError, match="2 times"):
        rewrite("a = a\n", [Edit("m", "a", "c")])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_it_is_found(mutant: Mutant) -> None:
    command = [sys.executable, "-m", "primacy.sim", "--mutant", mutant.name, "--runs", str(RUNS), "--keep"]
    done = subprocess.run(
        [*command, "--seed", str(SEED)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, f"{mutant.clause}: {mutant.breaks}\n{done.stdout}{done.stderr}"
    assert f"{mutant.name} found by" in done.stdout
