"""docs/traceability.md as rows."""

from __future__ import annotations

from typing import NamedTuple

from tests.rules import tree

PLANNED = "planned"
_TABLE = tree.ROOT / "docs/traceability.md"


class Row(NamedTuple):
    """One row of the table; `file` is `planned` when no test shows the capability yet."""

    id: str
    capability: str
    file: str
    test: str


def rows() -> list[Row]:
    """Every row, in the table's order."""
    cells = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in _TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    ]
    return [Row(*row) for row in cells if row[0] != "id"]
