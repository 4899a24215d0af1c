"""docs/traceability.md: a row for every capability, and behind each row a test that pytest collects.

A capability that no test shows yet says `planned` in place of the test; the number of these is printed, and
only goes down. A row never disappears.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from tests.rules import traceability, tree

_GROUPS = {"N": 10, "C": 6, "I": 9, "R": 11, "L": 5, "A": 2, "X": 14}
_IDS = [f"{group}{number}" for group, last in _GROUPS.items() for number in range(1, last + 1)]


def _collected(files: list[str]) -> set[str]:
    """The node ids, without parameters, that pytest collects from the files."""
    if not files:
        return set()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return {line.partition("[")[0] for line in ran.stdout.splitlines() if "::" in line}


def test_every_capability_has_its_row() -> None:
    rows = traceability.rows()
    assert [row.id for row in rows] == _IDS
    assert [row.id for row in rows if not row.capability] == []


def test_every_row_names_a_test_of_its_own_that_is_collected() -> None:
    shown = {row.id: row for row in traceability.rows() if row.file != traceability.PLANNED}
    named = {id: f"{row.file}::{row.test}" for id, row in shown.items()}
    assert [test for test, count in Counter(named.values()).items() if count > 1] == []
    assert {id: row.file for id, row in shown.items() if not (tree.ROOT / row.file).is_file()} == {}
    collected = _collected(sorted({row.file for row in shown.values()}))
    assert {id: test for id, test in named.items() if test not in collected} == {}


def test_planned_rows_name_no_test() -> None:
    planned = [row for row in traceability.rows() if row.file == traceability.PLANNED]
    assert [row.id for row in planned if row.test] == []


def test_collection_knows_what_is_there_and_what_is_not() -> None:
    collected = _collected(["tests/rules/test_traceability.py"])
    assert f"tests/rules/test_traceability.py::{test_planned_rows_name_no_test.__name__}" in collected
    assert "tests/rules/test_traceability.py::test_nothing" not in collected
