"""Crash, power, freeze and thaw, on processes that are not a node's but descend as a node's do."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from primacy.errors import Refused
from primacy.local import faults
from primacy.local.processes import Process, agent_of, hosts_of, processes_of
from tests.unit.local_tools import running, wait_for


def test_a_crash_kills_the_agent_and_nothing_else(tmp_path: Path) -> None:
    with running(tmp_path) as guardian:
        wait_for(lambda: agent_of(tmp_path) and "naming" in hosts_of(tmp_path))
        killed = faults.crash(tmp_path)
        wait_for(lambda: not killed.alive)
        assert guardian.poll() is None
        assert "naming" in hosts_of(tmp_path)
        with pytest.raises(Refused, match="no agent"):
            faults.crash(tmp_path)


def test_a_crash_of_a_host_kills_that_host(tmp_path: Path) -> None:
    with running(tmp_path):
        wait_for(lambda: agent_of(tmp_path) and "naming" in hosts_of(tmp_path))
        killed = faults.crash_host(tmp_path, "naming")
        wait_for(lambda: not killed.alive)
        assert agent_of(tmp_path) is not None
        with pytest.raises(Refused, match="no host of inventory"):
            faults.crash_host(tmp_path, "inventory")


def test_freezing_stops_all_and_thawing_continues_all(tmp_path: Path) -> None:
    with running(tmp_path) as guardian:
        wait_for(lambda: len(processes_of(tmp_path)) == 5)
        frozen = faults.freeze(tmp_path)
        assert frozen[0].pid == guardian.pid
        assert {each.pid for each in frozen} == {each.pid for each in processes_of(tmp_path)}
        # one that waits in the kernel stops a moment later
        wait_for(lambda: all(each.frozen for each in frozen))
        assert faults.is_frozen(tmp_path)
        for fault in (faults.freeze, faults.crash):
            with pytest.raises(Refused, match="is frozen"):
                fault(tmp_path)
        assert set(faults.thaw(tmp_path)) == set(frozen)
        wait_for(lambda: not any(each.frozen for each in frozen))
        assert all(each.alive for each in frozen)
        with pytest.raises(Refused, match="not frozen"):
            faults.thaw(tmp_path)


def test_freezing_does_not_need_to_look_for_what_is_known(tmp_path: Path) -> None:
    with running(tmp_path):
        wait_for(lambda: len(processes_of(tmp_path)) == 5)
        known = processes_of(tmp_path)
        assert set(faults.freeze(tmp_path, known)) == set(known)
        faults.end(known)


def test_frozen_processes_are_ended_with_the_guardian_last(tmp_path: Path) -> None:
    """The guardian is killed while it is stopped: it never sees that its children are dead."""
    with running(tmp_path) as guardian:
        wait_for(lambda: len(processes_of(tmp_path)) == 5)
        frozen = faults.freeze(tmp_path)
        order: list[int] = []

        class Recorded(Process):
            def send(self, number: signal.Signals) -> bool:
                order.append(self.pid)
                return super().send(number)

        faults.end([Recorded(*each) for each in frozen])
        assert order[-1] == guardian.pid
        assert len(order) == len(frozen)
        assert guardian.wait(5) == -signal.SIGKILL
        assert processes_of(tmp_path) == []


def test_a_node_that_does_not_run_is_refused(tmp_path: Path) -> None:
    for fault in (faults.crash, faults.freeze):
        with pytest.raises(Refused, match="does not run"):
            fault(tmp_path)
    assert not faults.is_frozen(tmp_path)
