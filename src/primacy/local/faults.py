"""Faults that an operator may try on a node of this machine: crash, power, freeze, thaw.

- **crash**: the agent (or one host) is killed; the guardian sees it, kills the rest and sends the obituary.
- **power**: silent, as when the current fails. The guardian is stopped first, then all others, again and
  again until no process of the node runs; so no FIN, RST or obituary leaves it. The stopped ones are killed
  only when the rest of the cluster goes on without the node (`late_kill`), the guardian last: it could tell
  of the others' death.
- **freeze, thaw**: all processes stopped, and later continued: the rest may have moved on meanwhile.

Only processes of the node's own directory are ever touched.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

from primacy.errors import Refused
from primacy.local.processes import Process, agent_of, descendants, guardian_of, hosts_of, processes_of

FREEZE_LIMIT_S = 5.0
END_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.001


def crash(node_directory: Path) -> Process:
    """Kill the node's agent; return the process that was killed."""
    _guardian(node_directory)
    agent = agent_of(node_directory)
    if agent is None or not agent.send(signal.SIGKILL):
        raise Refused(
            [f"{node_directory.name} has no agent at the moment (its guardian may be starting one)"]
        )
    return agent


def crash_host(node_directory: Path, service: str) -> Process:
    """Kill the node's host of a service; return the process that was killed."""
    _guardian(node_directory)
    hosts = hosts_of(node_directory)
    if service not in hosts or not hosts[service].send(signal.SIGKILL):
        there = ", ".join(sorted(hosts)) or "none at the moment"
        raise Refused([f"{node_directory.name} runs no host of {service}; hosts that it runs: {there}"])
    return hosts[service]


def freeze(node_directory: Path, known: Sequence[Process] = ()) -> list[Process]:
    """Stop all processes of a node and return them, the guardian first.

    Stopping repeats until a look at the whole system finds none of them that runs: a process may have been
    started while the others were stopped. `known`: processes that a caller has found before, stopped
    without looking first. A process that was told to stop and waits in the kernel (for a disk, or for a child
    that was stopped between fork and exec) counts as stopped: it does nothing more before it is continued.
    """
    guardian = known[0] if known else _guardian(node_directory)
    guardian.send(signal.SIGSTOP)
    for process in known[1:]:
        process.send(signal.SIGSTOP)
    told = {process.pid for process in known}
    deadline_s = time.monotonic() + FREEZE_LIMIT_S
    while True:
        others = descendants(guardian)
        running = [
            each for each in others if not each.frozen and not (each.pid in told and each.state == "D")
        ]
        if not running and guardian.frozen:
            return [guardian, *others]
        if not guardian.alive:
            raise Refused([f"the guardian of {node_directory.name} has ended meanwhile"])
        if time.monotonic() >= deadline_s:
            names = ", ".join(str(each.pid) for each in running)
            raise Refused(
                [f"processes of {node_directory.name} do not stop within {FREEZE_LIMIT_S:g} s: {names}"]
            )
        for process in running:
            process.send(signal.SIGSTOP)
            told.add(process.pid)
        time.sleep(_LOOK_AGAIN_S)


def thaw(node_directory: Path) -> list[Process]:
    """Continue all processes of a node, the guardian last, and return those that were stopped."""
    processes = processes_of(node_directory)
    stopped = [each for each in processes if each.frozen]
    if not stopped:
        raise Refused([f"{node_directory.name} is not frozen"])
    for process in reversed(processes):  # those that wait in the kernel have the stop still before them
        process.send(signal.SIGCONT)
    return stopped


def end(processes: Sequence[Process]) -> None:
    """Kill processes of a node, the guardian (the first) last, and wait until all have ended."""
    for process in reversed(processes):
        process.send(signal.SIGKILL)
    deadline_s = time.monotonic() + END_LIMIT_S
    while left := [each for each in processes if each.alive]:
        if time.monotonic() >= deadline_s:
            raise Refused(
                [f"processes do not end within {END_LIMIT_S:g} s: {', '.join(str(p.pid) for p in left)}"]
            )
        time.sleep(_LOOK_AGAIN_S)


def is_frozen(node_directory: Path) -> bool:
    """Is the node's guardian there, and stopped?"""
    guardian = guardian_of(node_directory)
    return guardian is not None and guardian.frozen


def _guardian(node_directory: Path) -> Process:
    guardian = guardian_of(node_directory)
    if guardian is None:
        raise Refused([f"{node_directory.name} does not run"])
    if guardian.frozen:
        raise Refused([f"{node_directory.name} is frozen: thaw it first (`primacy kill NODE --how thaw`)"])
    return guardian
