"""Which processes belong to a node, and that no other is ever met."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from primacy import guardian_process
from primacy.local import processes
from primacy.local.processes import Process
from tests.unit.local_tools import running, wait_for


def test_a_node_is_its_guardian_and_all_that_descends_from_it(tmp_path: Path) -> None:
    with running(tmp_path / "n1") as guardian, running(tmp_path / "n2"):
        wait_for(lambda: len(processes.processes_of(tmp_path / "n1")) == 5)  # two shells, each with a sleep
        found = processes.processes_of(tmp_path / "n1")
        assert found[0].pid == guardian.pid
        others = {each.pid for each in processes.processes_of(tmp_path / "n2")}
        assert not others & {each.pid for each in found}
        parents = [guardian_process.parent_of(each.pid) for each in found[1:]]
        places = {each.pid: place for place, each in enumerate(found)}
        assert all(places[parent] < place for place, parent in enumerate(parents, 1) if parent in places)


def test_agent_and_hosts_are_told_apart(tmp_path: Path) -> None:
    names = ("primacy.agent", "primacy.host naming", "primacy.host inventory")
    with running(tmp_path / "n1", names):
        wait_for(lambda: processes.agent_of(tmp_path / "n1") is not None)
        wait_for(lambda: set(processes.hosts_of(tmp_path / "n1")) == {"naming", "inventory"})
        agent = processes.agent_of(tmp_path / "n1")
        assert agent is not None
        assert agent.argv[-2:] == ["-m", "primacy.agent"]


def test_an_orphan_still_belongs_to_its_node(tmp_path: Path) -> None:
    with running(tmp_path / "n1"):
        wait_for(lambda: len(processes.processes_of(tmp_path / "n1")) == 5)
        agent = processes.agent_of(tmp_path / "n1")
        assert agent is not None
        agent.send(signal.SIGKILL)
        wait_for(lambda: len(processes.processes_of(tmp_path / "n1")) == 4)  # the agent's sleep is left
        assert processes.agent_of(tmp_path / "n1") is None


def test_a_record_of_another_process_or_boot_names_nobody(tmp_path: Path) -> None:
    own = {"pid": os.getpid(), "start_time": guardian_process.start_time(os.getpid()), "boot_id": "another"}
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path = tmp_path / "guardian.json"
    assert processes.guardian_of(tmp_path) is None
    for record in (own, {**own, "boot_id": boot_id, "start_time": 1}, {"pid": 1}, [], "x"):
        path.write_text(json.dumps(record))
        assert processes.guardian_of(tmp_path) is None
        assert processes.processes_of(tmp_path) == []
    path.write_text(json.dumps({**own, "boot_id": boot_id}))
    assert processes.guardian_of(tmp_path) == (own["pid"], own["start_time"])


def test_a_signal_never_reaches_who_has_got_the_pid() -> None:
    with subprocess.Popen(["sleep", "1000"]) as other:
        started = guardian_process.start_time(other.pid)
        assert started is not None
        assert not Process(other.pid, started - 1).send(signal.SIGKILL)
        assert Process(other.pid, started - 1).state == "X"
        assert Process(other.pid, started).alive
        assert Process(other.pid, started).send(signal.SIGKILL)
        other.wait()
        assert not Process(other.pid, started).send(signal.SIGKILL)
