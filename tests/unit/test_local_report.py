"""Why a cluster is not in service, and what is known when no agent answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from primacy.local import faults, report, table
from primacy.local.create import create
from primacy.local.layout import Layout
from primacy.local.nodes import Started
from primacy.local.status import local_status
from primacy.machines.maintenance import Notice, encode_all
from tests.unit.local_tools import running, wait_for

_LINES = [
    "primacy guardian n1: agent started (pid 7)",
    "host of inventory:",
    "Traceback (most recent call last):",
    '  File "inventory.py", line 1, in <module>',
    "    import nope",
    "ModuleNotFoundError: No module named 'nope'",
    "the rest",
    "and more",
]


def test_the_last_traceback_is_what_tells() -> None:
    assert report.telling(_LINES) == _LINES[1:7]
    assert report.telling([*_LINES, "x", *_LINES]) == _LINES[1:7]


def test_without_a_traceback_the_last_lines_tell() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert report.telling(lines) == lines[-report.TAIL_LINES :]
    assert report.telling([]) == []


def test_only_what_was_said_since_the_start_counts(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    started = []
    for node in ("n1", "n2", "n3"):
        layout.node(node).mkdir(parents=True)
        layout.log(node).write_text(f"old\nprimacy guardian {node}: the port is taken\n")
        process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(78)"])
        process.wait()
        started.append(Started(node, process, len("old\n")))
    assert report.ended(started) == {"n1": 78, "n2": 78, "n3": 78}
    heading, line = report.explain(layout, started)
    assert heading.startswith("--- n1, n2, n3 (")
    assert line == "primacy guardian: the port is taken"
    assert report.tail(layout, "n9") == []


async def test_the_local_status_has_the_form_of_every_status(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "demo")
    await create(layout, table.generate(2, "lan", {}, port=20000))
    found = local_status(layout)
    assert (found["cluster"], found["in_service"], found["master"]) == ("primacy", False, None)
    assert [(node["id"], node["role"]) for node in found["nodes"]] == [("n1", "out"), ("n2", "out")]
    assert found["waits"] == [f"no node runs: `primacy up --dir {layout.root}` starts them"]
    assert found["maintenance"] == []
    layout.maintenance("n1").write_bytes(encode_all({"n2": Notice(True, 1, "ada", "", 0)}))
    layout.maintenance("n2").write_bytes(encode_all({"n2": Notice(True, 2, "ada", "a new disk", 0)}))
    assert [row["reason"] for row in local_status(layout)["maintenance"]] == ["a new disk"]
    with running(layout.node("n1")):
        assert "n1" in local_status(layout)["waits"][0]
        wait_for(lambda: len(faults.processes_of(layout.node("n1"))) == 5)
        faults.freeze(layout.node("n1"))
        assert local_status(layout)["waits"] == ["n1 is frozen: `primacy kill n1 --how thaw`"]
