"""Measure every figure that the project names, and write them to docs/benchmarks.md.

    python bench/run.py [--runs N] [--dir DIR] [--only WORD] [--output FILE]

Each figure is what a `primacy` command prints, run as a program of its own; the document names the command, the
machine and the commit. Takes about a quarter of an hour. Exit code 1: a figure misses its target, or a write was
lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from primacy.bench.figures import spread

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "benchmarks.md"
PRIMACY = [sys.executable, "-m", "primacy.cli.main"]
COMMAND_LIMIT_S = 1800
FUNCTION_RUNS = 10


@dataclass
class Row:
    """One figure: what it is, what it must reach, and what was measured."""

    what: str
    target: str
    command: str
    figure: str = "not measured"
    spread: str = ""
    reached: bool = False
    notes: list[str] = field(default_factory=list)


class Bench:
    """Runs the measurements one after another and keeps their rows."""

    def __init__(self, runs: int, parent: str, only: str) -> None:
        self._runs, self._parent, self._only = runs, parent, only
        self.rows: list[Row] = []

    def outage(self, what: str, words: str, limit_ms: float) -> None:
        """Measure an outage whose median must not be above a limit."""
        words = f"bench {words} --runs {self._runs}"
        row = Row(what, f"≤ {limit_ms:g} ms median", f"primacy {words}")
        found = self._measure(row, words)
        if found is not None:
            figures = found["outage_ms"]
            row.figure = f"{figures['median']:.1f} ms"
            row.spread = f"{figures['min']:.1f} / {figures['p99']:.1f} / {figures['max']:.1f} ms"
            row.reached = figures["median"] <= limit_ms
            self._check_writes(row, found)

    def throughput(self, in_flight: int, durability: str, least: float | None) -> None:
        """Measure acknowledged writes a second, of which there must be so many at least (None: no target)."""
        words = f"bench throughput --inflight {in_flight} --durability {durability}"
        target = "-" if least is None else f"≥ {least:,.0f}/s"
        row = Row(
            f"acknowledged mirrored writes/s, `{durability}`, {in_flight} in flight",
            target,
            f"primacy {words}",
        )
        found = self._measure(row, words)
        if found is not None:
            latency = found["latency_ms"]
            row.figure = f"{found['acknowledged_per_s']:,.0f}/s"
            row.spread = f"latency {latency['median']:.2f} / {latency['p99']:.2f} / {latency['max']:.2f} ms"
            row.reached = least is None or found["acknowledged_per_s"] >= least
            flushes = found["fdatasync_count"]
            counted = (
                ""
                if flushes is None
                else f"; the disk did {flushes / found['seconds']:,.0f} a second meanwhile"
            )
            row.notes.append(f"one `fdatasync` of 4 KiB took {found['fdatasync_ms']:.3f} ms{counted}")
            self._check_writes(row, found)

    def up(self, limit_ms: float) -> None:
        """Measure the time from `up --detach` to in service, as a clock beside the command sees it."""
        row = Row(
            "from `primacy up --detach` to in service, 3 nodes",
            f"≤ {limit_ms / 1000:g} s",
            "primacy up --detach",
        )
        if not self._wanted(row):
            return
        in_service_ms, whole_ms = [], []
        for number in range(1, self._runs + 1):
            where = Path(tempfile.mkdtemp(prefix="primacy-up-", dir=self._parent))
            began_s = time.monotonic()
            directory = ["--dir", str(where / "cluster")]
            found = _run(["up", "--detach", "--json", *directory])
            took_ms = (time.monotonic() - began_s) * 1000
            _run(["down", "--json", *directory])
            shutil.rmtree(where, ignore_errors=True)
            if found is None:
                row.notes.append(f"run {number} failed")
                continue
            before_ms = took_ms - (found["vice_ready_ms"] or found["in_service_ms"])
            in_service_ms.append(before_ms + found["in_service_ms"])
            whole_ms.append(took_ms)
            _say(f"up: run {number} of {self._runs}: in service after {in_service_ms[-1]:.0f} ms")
        if in_service_ms:
            figures = spread(in_service_ms)
            row.figure = f"{figures['median'] / 1000:.2f} s"
            row.spread = " / ".join(f"{figures[name] / 1000:.2f}" for name in ("min", "p99", "max")) + " s"
            row.reached = figures["median"] <= limit_ms and not row.notes
            row.notes.append(f"with a ready vice after {spread(whole_ms)['median'] / 1000:.2f} s (median)")
        self.rows.append(row)

    def functions(self, nodes: int) -> None:
        """Measure how long each function takes with empty callbacks: a row for each of them."""
        words = f"bench functions --nodes {nodes} --runs {min(self._runs, FUNCTION_RUNS)}"
        row = Row(f"functions with empty callbacks, {nodes} nodes", "-", f"primacy {words}")
        found = self._measure(row, words)
        if found is not None:
            self.rows.remove(row)
            for name, figures in found["duration_ms"].items():
                each = Row(f"`{name}` with empty callbacks, {nodes} nodes", "-", row.command, reached=True)
                each.figure, each.spread = _of_three(figures)
                self.rows.append(each)

    def reconnect(self, nodes: int) -> None:
        """Measure how far apart the nodes reconnect to a new primary."""
        words = f"bench reconnect --nodes {nodes} --runs {min(self._runs, FUNCTION_RUNS)}"
        row = Row(
            f"from the first node's reconnect to the last one's, {nodes} nodes", "-", f"primacy {words}"
        )
        found = self._measure(row, words)
        if found is not None:
            row.figure, row.spread = _of_three(found["spread_ms"])
            row.notes.append(
                f"the last is done {found['after_ms']['median']:.1f} ms after the new master serves"
            )
            row.reached = True

    def idle(self, cpu_percent: float, pss_mib: float) -> None:
        """Measure the cost of the dearest node of a cluster that has nothing to do."""
        words = "bench idle --profile lan"
        row = Row(
            "idle cost of one node, `lan`",
            f"≤ {cpu_percent:g} % of a core, ≤ {pss_mib:g} MiB",
            f"primacy {words}",
        )
        found = self._measure(row, words)
        if found is not None:
            cpu, pss = max(node["cpu_percent"] for node in found), max(node["pss_mib"] for node in found)
            row.figure = f"{cpu:.2f} %, {pss:.0f} MiB"
            row.spread = "; ".join(
                f"{n['role']} {n['cpu_percent']:.2f} %, {n['pss_mib']:.0f} MiB" for n in found
            )
            row.reached = cpu <= cpu_percent and pss <= pss_mib

    def _wanted(self, row: Row) -> bool:
        return self._only in row.command

    def _measure(self, row: Row, words: str) -> Any:
        if not self._wanted(row):
            return None
        _say(f"== {row.what}")
        self.rows.append(row)
        return _run([*words.split(), "--json", "--dir", self._parent])

    @staticmethod
    def _check_writes(row: Row, found: dict[str, Any]) -> None:
        row.notes.append(
            f"{found['acknowledged']:,} writes, {found['lost']} lost, {found['doubled']} doubled"
        )
        row.reached = row.reached and not found["lost"] and not found["doubled"]


def document(rows: list[Row], runs: int) -> str:
    """Return the document."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. *Outage*: the longest time between two acknowledged writes of a closed-loop",
        "client around the fault; client and hosts are processes of their own and talk over TCP and TLS; the data",
        "is on a disk.",
        "",
        *(f"- {name}: {value}" for name, value in machine()),
        f"- runs of each outage: {runs}",
        "",
        "| what | target | median | min / p99 / max | reached |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        verdict = "yes" if row.reached else "**no**"
        lines.append(f"| {row.what} | {row.target} | {row.figure} | {row.spread} | {verdict} |")
    lines += ["", "## Commands", ""]
    for row in rows:
        notes = f" ({'; '.join(row.notes)})" if row.notes else ""
        lines.append(f"- {row.what}: `{row.command}`{notes}")
    return "\n".join(lines) + "\n"


def machine() -> list[tuple[str, str]]:
    """Return what a reader needs to know of the machine and of the code."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_kib = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1])
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", commit),
        ("machine", f"{os.cpu_count()} cores ({model}), {memory_kib / 2**20:.0f} GiB"),
        ("system", f"Linux {platform.release()}, Python {platform.python_version()}"),
    ]


def main() -> int:
    """Measure, write the document, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="of each outage")
    parser.add_argument("--dir", default="/var/tmp", help="where to keep the data: on a disk")
    parser.add_argument("--only", default="", help="only the figures whose command holds this word")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    bench = Bench(options.runs, options.dir, options.only)
    for measure in _all(bench):
        measure()
    text = document(bench.rows, options.runs)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 0 if bench.rows and all(row.reached for row in bench.rows) else 1


def _all(bench: Bench) -> list[Callable[[], None]]:
    return [
        lambda: bench.outage("crash failover, `lan`", "failover --how crash --profile lan", 20),
        lambda: bench.outage("crash failover, `carrier`", "failover --how crash --profile carrier", 20),
        lambda: bench.outage("death of a primary's host, `lan`", "failover --how host --profile lan", 20),
        lambda: bench.outage("power failover, `carrier`", "failover --how power --profile carrier", 70),
        lambda: bench.outage("power failover, `lan`", "failover --how power --profile lan", 330),
        lambda: bench.outage("switchover", "switchover --profile lan", 10),
        lambda: bench.outage("loss of the vice: crash", "vice-loss --how crash --profile lan", 20),
        lambda: bench.outage(
            "loss of the vice: power, `carrier`", "vice-loss --how power --profile carrier", 70
        ),
        lambda: bench.throughput(1, "disk", 2_000),
        lambda: bench.throughput(64, "disk", 30_000),
        lambda: bench.throughput(1, "memory", None),
        lambda: bench.throughput(64, "memory", None),
        lambda: bench.up(3_000),
        lambda: bench.idle(2, 120),
        lambda: bench.functions(3),
        lambda: bench.functions(30),
        lambda: bench.reconnect(30),
    ]


def _of_three(figures: dict[str, float]) -> tuple[str, str]:
    """Return the median, and min / p99 / max, in ms."""
    spread_ms = " / ".join(f"{figures[name]:.1f}" for name in ("min", "p99", "max"))
    return f"{figures['median']:.1f} ms", f"{spread_ms} ms"


def _run(words: list[str]) -> Any:
    """Run a command of `primacy` and return what it prints as JSON; None when it has failed."""
    ran = subprocess.run(
        [*PRIMACY, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        return None
    return None if isinstance(found, dict) and "error" in found else found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
