"""How long from the death of an agent to the first obituary: real processes, real datagrams.

    python bench/agent_death.py [--runs 50] [--hosts 3] [--megabytes 0] [--busy 0]

A guardian watches over an agent with hosts, each with a grandchild that has a session of its own and no
parent any more. The agent is killed with SIGKILL; the clock stops when the first obituary has arrived at the
peer, which then checks that every one of the processes is gone. `--megabytes` is the memory of each host (its
grandchild shares it), `--busy` the number of processes that compete for the processors meanwhile.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.cluster.guarded import Guarded, is_gone


def measure(guarded: Guarded, run: int, hosts: int, megabytes: int) -> float:
    """Return the milliseconds of one death; the guardian starts the next agent afterwards."""
    agent = guarded.next_agent()
    pids = [agent.pid]
    for number in range(hosts):
        pids += guarded.spawn_host(agent, f"h{number}", "orphan", megabytes=megabytes, processes=2)
    payload = b"death %d" % run  # the repetitions of an earlier one may still arrive
    guarded.hold_obituaries(agent, payload)
    began = time.perf_counter()
    os.kill(agent.pid, signal.SIGKILL)
    while guarded.wait_obituary() != payload:
        pass
    took_ms = (time.perf_counter() - began) * 1000
    left = [pid for pid in pids if not is_gone(pid)]
    assert not left, f"an obituary was released while {left} were there"
    for pid in pids[1:]:
        (guarded.signs / str(pid)).unlink()
    return took_ms


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("runs", 50), ("hosts", 3), ("megabytes", 0), ("busy", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        with tempfile.TemporaryDirectory() as path, Guarded(Path(path), {"long_life_s": 0.0}) as guarded:
            runs = range(options.runs)
            found = sorted(measure(guarded, run, options.hosts, options.megabytes) for run in runs)
            resident = Path(f"/proc/{guarded.process.pid}/status").read_text()
    finally:
        for each in busy:
            each.kill()
            each.wait()
    rss_kb = resident.split("VmRSS:")[1].split()[0]
    p50, p99 = found[len(found) // 2], found[min(len(found) - 1, len(found) * 99 // 100)]
    print(
        f"{options.hosts} hosts of {options.megabytes} MB, {options.busy} busy processes: death to obituary "
        f"p50 {p50:.2f}, p99 {p99:.2f}, max {found[-1]:.2f} ms ({len(found)} runs, guardian {rss_kb} kB)"
    )


if __name__ == "__main__":
    main()
