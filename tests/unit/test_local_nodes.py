"""Nodes started and stopped, with a guardian that is none."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from primacy.errors import Refused
from primacy.guardian_leftovers import RECORD_NAME
from primacy.local import faults, nodes
from primacy.local.layout import Layout
from primacy.local.processes import processes_of
from tests.unit.local_tools import running, wait_for

_SAYS = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]))"


def layout_of(tmp_path: Path) -> Layout:
    """Return the layout of a cluster of one node without anything in it."""
    layout = Layout(tmp_path)
    layout.node("n1").mkdir(parents=True)
    (layout.node("n1") / "node.toml").touch()
    return layout


def test_a_guardian_starts_detached_in_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(tmp_path)
    monkeypatch.setenv("PRIMACY_NODE", "n7")
    monkeypatch.setenv("PRIMACY_STOP_GRACE_S", "5")
    monkeypatch.setenv("PYTHONPATH", "src")
    layout.log("n1").write_text("before\n")
    started = nodes.start(layout, "n1", [sys.executable, "-c", _SAYS])
    assert started.process.wait(10) == 0
    assert started.log_offset == len("before\n")
    import json

    words, directory, environment = json.loads(layout.log("n1").read_text().splitlines()[1])
    assert words == ["--dir", str(layout.node("n1"))]
    assert Path(directory) == layout.node("n1")
    assert "PRIMACY_NODE" not in environment  # it would make every node the same one
    assert environment["PRIMACY_STOP_GRACE_S"] == "5"
    assert environment["PYTHONPATH"] == str(Path("src").absolute())


def test_a_node_that_runs_or_is_frozen_is_not_started(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    with running(layout.node("n1")):
        assert nodes.running(layout) == ["n1"]
        with pytest.raises(Refused, match="runs already"):
            nodes.start(layout, "n1")
        wait_for(lambda: len(processes_of(layout.node("n1"))) == 5)
        faults.freeze(layout.node("n1"))
        with pytest.raises(Refused, match="thaw"):
            nodes.start(layout, "n1")


_LATE = """
import json, os, pathlib, sys, time
from primacy import guardian_process
time.sleep(0.3)
record = {
    "pid": os.getpid(),
    "start_time": guardian_process.start_time(os.getpid()),
    "boot_id": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
}
(pathlib.Path(sys.argv[2]) / "guardian.json.new").write_text(json.dumps(record))
os.rename(sys.argv[2] + "/guardian.json.new", sys.argv[2] + "/" + NAME)
time.sleep(60)
"""


def test_a_guardian_that_starts_just_now_is_stopped_too(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    source = str(Path(nodes.__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {source!r}); NAME = {RECORD_NAME!r}\n{_LATE}"
    started = nodes.start(layout, "n1", [sys.executable, "-c", code])
    try:
        assert nodes.running(layout) == []  # nobody can find it yet
        nodes.wait_known(layout, [started])
        assert nodes.running(layout) == ["n1"]
        assert nodes.stop(layout, ["n1"], pytest.fail) == []
        assert started.process.wait(10) == -signal.SIGTERM
    finally:
        started.process.kill()


def test_a_guardian_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    started = nodes.start(layout, "n1", [sys.executable, "-c", ""])
    started.process.wait(10)
    nodes.wait_known(layout, [started], limit_s=1e9)


def test_stopping_asks_the_guardian(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    with running(layout.node("n1"), names=()):
        assert nodes.stop(layout, ["n1"], pytest.fail) == []
        assert nodes.running(layout) == []


def test_a_frozen_node_is_killed_at_once(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    with running(layout.node("n1")):
        wait_for(lambda: len(processes_of(layout.node("n1"))) == 5)
        frozen = faults.freeze(layout.node("n1"))
        assert nodes.stop(layout, ["n1"], pytest.fail) == []
        assert not any(each.alive for each in frozen)


def test_what_does_not_stop_is_killed_and_named(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    layout.node("n1").mkdir(exist_ok=True)
    said: list[str] = []
    with running(layout.node("n1")):
        wait_for(lambda: len(processes_of(layout.node("n1"))) == 5)
        known = processes_of(layout.node("n1"))
        nodes.end(layout, ["n1"])
        assert not any(each.alive for each in known)
    assert nodes.wait_stopped(layout, ["n1"], 0.0) == []
    assert said == []
