"""A whole cluster as real processes for a test: started, looked at, and ended to the last process.

    live = Live(tmp_path / "cluster", profile="carrier")
    await live.start()
    async with live.client() as cluster:
        await live.whole(cluster)

Everything waits for a condition with a deadline. What is ended belongs to the directory: by its guardian, by
descent from one, or because it runs in there.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from primacy.cli import agents
from primacy.client import CallRecord, Cluster, connect
from primacy.config import PORTS, Callback, Service, Table
from primacy.config_recovery import Recovery
from primacy.errors import CallError
from primacy.local import bring_up, nodes, ports, table
from primacy.local.create import create
from primacy.local.event_files import EventFiles
from primacy.local.layout import Layout
from primacy.local.nodes import Started

ROOT = Path(__file__).resolve().parents[2]
SERVICES = Path(__file__).with_name("cluster_services.py")
KILLED = Recovery(switchovers=1_000, pause_s=0.1, pause_s_max=0.1)
"""Hosts are killed again and again here: no service that fails, each death is a hand-over."""
LIMIT_S = 40.0
"""How long anything may take on a machine that is busy with other things."""
_AGAIN_S = 0.01
_TAIL_LINES = 40

Event = dict[str, Any]


def logbook(**row: Any) -> dict[str, Service]:
    """Return the services of a cluster that runs `Logbook`."""
    row = {"recovery": KILLED} | row
    return {"logbook": Service(python=f"{SERVICES.name}:Logbook", path=str(SERVICES.parent), **row)}


def stepped(callbacks: Sequence[Callback] = ()) -> dict[str, Service]:
    """Return the services of a cluster that runs `Stepped` and the local service `Attendant`."""
    path = str(SERVICES.parent)
    return {
        "stepped": Service(python=f"{SERVICES.name}:Stepped", path=path, callbacks=list(callbacks)),
        "attendant": Service(python=f"{SERVICES.name}:Attendant", path=path, local=True),
    }


async def wait_for(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """Wait until the condition holds, and return its value; AssertionError says what never came."""
    deadline_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(_AGAIN_S)
    return found


def free_base(count: int) -> int:
    """Return the first of so many free blocks of ports, somewhere: nobody else must take them while a node is down.

    Each worker of a parallel run has a range of its own.
    """
    worker, workers = (
        os.environ.get("PYTEST_XDIST_WORKER", "gw0"),
        os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"),
    )
    span = (ports.PORT_LAST - 10_000) // int(workers)
    first = 10_000 + span * int(worker.removeprefix("gw"))
    used, size = ports.taken(), count * PORTS
    while True:
        base = PORTS * random.SystemRandom().randrange(first // PORTS + 1, (first + span - size) // PORTS)
        if not used.intersection(range(base, base + size)):
            return base


class Live:
    """One cluster below a directory. `table_in_force` stands from `start` on."""

    def __init__(
        self,
        root: Path,
        *,
        count: int = 3,
        profile: str = "lan",
        services: dict[str, Service] | None = None,
        change: Callable[[Table], Table] = lambda made: made,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.layout = Layout(root)
        self.profile = profile
        self._limit_s = limit_s
        self._count, self._services, self._change = count, services or logbook(), change
        self._started: list[Started] = []
        self.table_in_force: Table

    # ---- its life ----

    async def make(self) -> None:
        """Make the directory; nothing is started."""
        made = self._change(table.generate(self._count, self.profile, self._services, free_base(self._count)))
        self.table_in_force = table.checked(made, "the test")
        await create(self.layout, self.table_in_force)

    async def start(self, prepare: Callable[[Live], None] = lambda live: None) -> None:
        """Make the cluster and start all nodes; return when it is in service. prepare: before the nodes start."""
        with ports.lock():
            await self.make()
            prepare(self)
            self._started += bring_up.start_all(self.layout, self.table_in_force)
            outcome = await bring_up.wait_in_service(
                self.layout, self.table_in_force, self._started, self._limit_s
            )
        assert outcome.in_service, "\n".join(["the cluster is not in service", *outcome.reasons])

    def start_node(self, node: str) -> Started:
        """Start a node that does not run."""
        started = nodes.start(self.layout, node)
        self._started.append(started)
        return started

    def end(self) -> None:
        """Kill every process of the cluster; nothing of it is left afterwards."""
        nodes.end(self.layout, nodes.running(self.layout))
        deadline_s = time.monotonic() + LIMIT_S
        while left := self.processes():
            for pid in left:
                _kill(pid)
            assert time.monotonic() < deadline_s, f"these processes do not end: {left}"
            time.sleep(_AGAIN_S)
        for started in self._started:
            started.process.wait(LIMIT_S)

    def processes(self, node: str | None = None) -> list[int]:
        """Return every living process that runs in the cluster's directory, or in that of one node."""
        below = self.layout.node(node) if node else self.layout.root
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    where = os.readlink(entry / "cwd")
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if f"{where}/".startswith(f"{below}/") and state != "Z":
                    found.append(int(entry.name))
        return found

    # ---- looking ----

    def client(self, on_call: Callable[[CallRecord], None] | None = None) -> Cluster:
        """Return a client of the cluster, to be entered."""
        return connect(self.layout.root, deadline_s=LIMIT_S, on_call=on_call)

    async def ask(
        self, cluster: Cluster, node: str, verb: str, *, deadline_s: float = LIMIT_S, **arguments: Any
    ) -> Any:
        """Ask the agent of one node in particular."""
        return await agents.ask(cluster, str(self.layout.root), node, verb, arguments, deadline_s)

    async def status(
        self,
        cluster: Cluster,
        condition: Callable[[dict[str, Any]], Any],
        what: str,
        limit_s: float = LIMIT_S,
    ) -> dict[str, Any]:
        """Wait until the status meets the condition, and return it."""
        deadline_s = time.monotonic() + limit_s
        status: dict[str, Any] = {}
        while time.monotonic() < deadline_s:
            try:
                status = await cluster.control("status", deadline_s=2.0)
            except CallError as error:
                status = {"error": str(error)}
            else:
                if condition(status):
                    return status
            await asyncio.sleep(2 * _AGAIN_S)
        raise AssertionError(f"not within {limit_s:g} s: {what}; last status: {json.dumps(status)}")

    async def whole(
        self, cluster: Cluster, *, members: int = 2, without: str = "", limit_s: float = LIMIT_S
    ) -> dict[str, Any]:
        """Wait until there is a serving master, a ready vice that mirrors every service, and so many members.

        without: an incarnation that must not be counted any more.
        """

        def met(status: dict[str, Any]) -> bool:
            there = [n for n in status["nodes"] if n["role"] != "out" and n["incarnation"]]
            return (
                status["in_service"]
                and status["vice_ready"]
                and len(there) >= members
                and without not in [n["incarnation"] for n in there]
                and all(
                    s["primary"] == status["master"] and s["secondary"] == status["vice"]
                    for s in status["services"]
                )
            )

        return await self.status(cluster, met, "a master, a ready vice, all services mirrored", limit_s)

    def events(self) -> list[Event]:
        """Return the events of all nodes, in causal order."""
        return EventFiles(self.layout).read()

    def of_kind(self, kind: str, /, **fields: Any) -> list[Event]:
        """Return the inner parts of all events of a kind with these fields."""
        inner = [event["event"] for event in self.events() if event["event"]["event"] == kind]
        return [event for event in inner if all(event.get(k) == v for k, v in fields.items())]

    async def some(self, count: int, kind: str, /, **fields: Any) -> list[Event]:
        """Wait until there are so many of them (a node writes its events a moment later), and return all."""
        found: list[Event] = await wait_for(
            lambda: len(them := self.of_kind(kind, **fields)) >= count and them,
            f"{count} events {kind} {fields}",
        )
        return found

    async def stamps(self, count: int, kind: str, /, **fields: Any) -> list[int]:
        """Wait until there are so many of them, and return when each happened, in ns of the wall clock."""

        def found() -> list[int]:
            happened = [(event["event"], event["wall_ns"]) for event in self.events()]
            wanted = {"event": kind, **fields}
            return [at_ns for inner, at_ns in happened if wanted.items() <= inner.items()]

        await wait_for(lambda: len(found()) >= count, f"{count} events {kind} {fields}")
        return found()

    async def led_by(self, cluster: Cluster, master: str) -> dict[str, Any]:
        """Have this node as master, whoever has formed the cluster; return the status of the whole."""
        status = await self.whole(cluster)
        if status["master"] != master:
            await cluster.control("switchover", to=master, reason="the test counts on it")
            status = await self.whole(cluster)
        assert status["master"] == master
        return status

    def callbacks(self, node: str | None = None) -> list[dict[str, Any]]:
        """Return what the callbacks of `cluster_services` wrote down, by time."""
        rows: list[dict[str, Any]] = []
        for each in [node] if node else self.layout.nodes():
            for path in self.layout.node(each).rglob("callbacks.jsonl"):
                rows += [{"on": each, **json.loads(line)} for line in path.read_text().splitlines()]
        return sorted(rows, key=lambda row: row["at_ns"])

    def report(self) -> str:
        """Return the merged events and the ends of the logs, for a test that failed."""
        lines = ["---- events"]
        for event in self.events():
            clock = time.strftime("%H:%M:%S", time.localtime(event["wall_ns"] / 1e9))
            thousandths = event["wall_ns"] // 1_000_000 % 1000
            lines.append(f"{clock}.{thousandths:03} {event['node']:4} {event['sentence']}")
        for node in self.layout.nodes():
            try:
                log = self.layout.log(node).read_text(errors="replace").splitlines()
            except OSError:
                log = []
            lines += [f"---- {self.layout.log(node)}", *log[-_TAIL_LINES:]]
        return "\n".join(lines)


def set_flag(live: Live, flag: str, on: bool, nodes: Sequence[str] = ()) -> None:
    """Ask the callbacks of `cluster_services` on these nodes (all) to be slow, to refuse, ..., or no longer."""
    for node in nodes or live.layout.nodes():
        (live.layout.node(node) / flag).unlink(missing_ok=True)
        if on:
            (live.layout.node(node) / flag).touch()


def run_cli(*words: str, limit_s: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command `primacy` as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "primacy.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=limit_s,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
