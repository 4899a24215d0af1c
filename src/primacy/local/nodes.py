"""Nodes of a local cluster started and stopped: each by a guardian in a session of its own.

A guardian is started detached: no standard input, standard error to the node's log, the node's directory as
its working directory (Python puts that first on the path for `-m`, and there is no module in it). It
outlives the command that started it. Stopping is asked of the guardian by SIGTERM, which stops the node in
order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from primacy import boot
from primacy.errors import Refused
from primacy.local import faults
from primacy.local.layout import Layout
from primacy.local.processes import guardian_of, processes_of

GUARDIAN_ARGV = (sys.executable, "-m", "primacy.guardian")
STOP_LIMIT_S = 15.0
KNOWN_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.01
_KEPT_PARAMETERS = (
    "stop_grace_s",
    "record",
    "record_mb",
)  # of the environment's boot parameters only these hold for every node


@dataclass(frozen=True)
class Started:
    """A guardian that this process has started, and where its part of the node's log begins."""

    node: str
    process: subprocess.Popen[bytes]
    log_offset: int


def start(layout: Layout, node: str, argv: Sequence[str] = GUARDIAN_ARGV) -> Started:
    """Start a node's guardian; Refused when it runs already."""
    directory = layout.node(node)
    if faults.is_frozen(directory):
        raise Refused([f"{node} is frozen: thaw it (`primacy kill {node} --how thaw`)"])
    if guardian_of(directory) is not None:
        raise Refused([f"{node} runs already"])
    with open(layout.log(node), "ab") as log:
        offset = log.tell()
        process = subprocess.Popen(
            [*argv, "--dir", str(directory)],
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Started(node, process, offset)


def wait_known(layout: Layout, started: Sequence[Started], limit_s: float = KNOWN_LIMIT_S) -> None:
    """Wait until each of these guardians is found in its directory or has ended: nobody can stop it before."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s and any(
        each.process.poll() is None and guardian_of(layout.node(each.node)) is None for each in started
    ):
        time.sleep(_LOOK_AGAIN_S)


def running(layout: Layout) -> list[str]:
    """Return the nodes whose guardian lives."""
    return [node for node in layout.nodes() if guardian_of(layout.node(node)) is not None]


def ask_to_stop(layout: Layout, nodes: Sequence[str]) -> None:
    """Ask the guardians of these nodes to stop in order; a frozen node cannot, and is killed."""
    for node in nodes:
        directory = layout.node(node)
        if faults.is_frozen(directory):
            faults.end(processes_of(directory))
        elif guardian := guardian_of(directory):
            guardian.send(signal.SIGTERM)


def wait_stopped(layout: Layout, nodes: Sequence[str], limit_s: float = STOP_LIMIT_S) -> list[str]:
    """Wait until the guardians of these nodes have ended; return the nodes whose have not within the
    limit.
    """
    deadline_s = time.monotonic() + limit_s
    while left := [node for node in nodes if guardian_of(layout.node(node)) is not None]:
        if time.monotonic() >= deadline_s:
            return left
        time.sleep(_LOOK_AGAIN_S)
    return []


def end(layout: Layout, nodes: Sequence[str]) -> None:
    """Kill all processes of these nodes: silently, so for nodes that do not stop in order only."""
    for node in nodes:
        directory = layout.node(node)
        if guardian_of(directory) is not None:
            faults.end(processes_of(directory) if faults.is_frozen(directory) else faults.freeze(directory))


def stop(
    layout: Layout, nodes: Sequence[str], say: Callable[[str], None], limit_s: float = STOP_LIMIT_S
) -> list[str]:
    """Stop nodes in order, and kill those that do not stop within the limit; return the latter."""
    ask_to_stop(layout, nodes)
    left = wait_stopped(layout, nodes, limit_s)
    if left:
        say(f"{', '.join(left)}: not stopped within {limit_s:g} s, killed")
        end(layout, left)
    return left


def _environment() -> dict[str, str]:
    """Return this process's environment with an absolute import path and without another node's boot
    parameters.
    """
    foreign = {each.variable for each in boot.PARAMETERS if each.name not in _KEPT_PARAMETERS} | {
        "PRIMACY_FILE"
    }
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    if "PYTHONPATH" in environment:
        entries = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in entries if entry)
    return environment
