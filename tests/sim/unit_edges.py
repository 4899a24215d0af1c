"""A process of its own that runs unit tests with probes on the edges of the machines, and tells which were taken.

    python -m tests.sim.unit_edges REPORT TEST_FILE...

REPORT is written as JSON: {"failed": bool, "taken": [...], "never": [...]}. The probes must be there before a machine
is imported, so this cannot be done in the process of the test that asks. What is random in them is the same each time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from primacy.sim import loader
from primacy.sim.coverage import Probes


def main(report: str, *files: str) -> None:
    """Run the files; write the report."""
    probes = Probes()
    loader.install((), probes)

    import pytest  # after the probes: its plugins may import what they are put on

    # plain: else pytest loads the modules of the package anew for its assertions, since that brings a plugin
    failed = (
        pytest.main(["-q", "--assert=plain", "-p", "no:cacheprovider", "--hypothesis-seed=0", *files]) != 0
    )
    taken, never = probes.report()
    Path(report).write_text(json.dumps({"failed": failed, "taken": taken, "never": never}))


if __name__ == "__main__":
    main(*sys.argv[1:])
