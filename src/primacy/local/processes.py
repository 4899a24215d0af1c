"""Which processes belong to a node: its guardian, by pid and start time, and all that descends from it.

The guardian is a subreaper, so a process of the node that loses its parent becomes the guardian's child:
descent is proof as long as the guardian lives. A pid alone is no proof of anything, since pids are used
again; each process is held by pid and start time, and is signalled through a descriptor that is checked
after it was opened.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path
from typing import NamedTuple

from primacy import guardian_process
from primacy.guardian_leftovers import RECORD_NAME

AGENT_MODULE = "primacy.agent"
HOST_MODULE = "primacy.host"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Process(NamedTuple):
    """One process for ever: its pid, and when it started in clock ticks since the machine did."""

    pid: int
    start_time: int

    @property
    def state(self) -> str:
        """The letter of its state: R, S, D, T (stopped), Z, X (no longer there)."""
        return (
            guardian_process.state(self.pid)
            if guardian_process.start_time(self.pid) == self.start_time
            else "X"
        )

    @property
    def alive(self) -> bool:
        """Has it neither ended nor become a zombie?"""
        return self.state not in "ZX"

    @property
    def frozen(self) -> bool:
        """Is it stopped?"""
        return self.state in "Tt"

    @property
    def argv(self) -> list[str]:
        """Its command line; empty when it has ended."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return []
        return [word.decode("utf-8", "replace") for word in words[:-1]]

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it has ended. Never reaches another process that has got its pid."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if guardian_process.start_time(self.pid) != self.start_time:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def guardian_of(node_directory: Path) -> Process | None:
    """Return the living guardian of a node; None when there is none."""
    try:
        record = json.loads((node_directory / RECORD_NAME).read_bytes())
        process = Process(int(record["pid"]), int(record["start_time"]))
        boot_id = str(record["boot_id"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if boot_id != _BOOT_ID.read_text(encoding="ascii").strip() or not process.alive:
        return None
    return process


def processes_of(node_directory: Path) -> list[Process]:
    """Return the living processes of a node: its guardian first, parents before children; [] without a
    guardian.
    """
    guardian = guardian_of(node_directory)
    return [] if guardian is None else [guardian, *descendants(guardian)]


def descendants(ancestor: Process) -> list[Process]:
    """Return the living processes that descend from a process, parents before children."""
    children: dict[int, list[int]] = {}
    for pid in guardian_process.processes():
        parent = guardian_process.parent_of(pid)
        if parent is not None:
            children.setdefault(parent, []).append(pid)
    found: list[Process] = []
    generation = [ancestor.pid]
    while generation:
        generation = [pid for parent in generation for pid in children.get(parent, [])]
        for pid in generation:
            started = guardian_process.start_time(pid)
            process = Process(pid, started or 0)
            if started is not None and process.alive:
                found.append(process)
    return found if ancestor.alive else []


def agent_of(node_directory: Path) -> Process | None:
    """Return the agent of a node; None when it has none at the moment."""
    return next((each for each in processes_of(node_directory)[1:] if _runs(each, AGENT_MODULE)), None)


def hosts_of(node_directory: Path) -> dict[str, Process]:
    """Return the hosts of a node by the service that each runs."""
    hosts = {}
    for process in processes_of(node_directory)[1:]:
        words = process.argv  # read once: a process that ends meanwhile has none
        if _is_run_of(HOST_MODULE, words):
            service = words[words.index(HOST_MODULE) + 1 :][:1]
            if service:
                hosts[service[0]] = process
    return hosts


def _runs(process: Process, module: str) -> bool:
    return _is_run_of(module, process.argv)


def _is_run_of(module: str, words: list[str]) -> bool:
    return any(pair == ("-m", module) for pair in itertools.pairwise(words))
