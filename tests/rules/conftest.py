"""Tell, at the end of a run of the house rules, how much of the traceability table is still planned."""

from __future__ import annotations

import pytest

from tests.rules import traceability


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the count that may only go down."""
    rows = traceability.rows()
    planned = [row for row in rows if row.file == traceability.PLANNED]
    terminalreporter.write_line(
        f"traceability: {len(rows) - len(planned)} capabilities shown by a test, {len(planned)} planned"
    )
