"""A node that is none: a process that records itself as a guardian does, with processes below it.

The "agent" and the "hosts" are shells that sleep in a process of their own, so there is a third generation; one
shell is started in a session of its own. The guardian says when all are there.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import primacy
from primacy.local import faults
from primacy.local.processes import processes_of

_GUARDIAN = """
import json, pathlib, subprocess, sys
from primacy import guardian_process as processes
import os
directory, *names = sys.argv[1:]
processes.become_subreaper()
record = {"pid": os.getpid(), "start_time": processes.start_time(os.getpid()),
          "boot_id": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
pathlib.Path(directory, "guardian.json").write_text(json.dumps(record))
for name in names:
    module, _, service = name.partition(" ")
    argv = ["/bin/sh", "-c", "while :; do sleep 1000; done", "-m", module, *([service] if service else [])]
    subprocess.Popen(argv, start_new_session=True)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running(
    directory: Path, names: Sequence[str] = ("primacy.agent", "primacy.host naming")
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a guardian whose node's directory this is; everything that it has started ends with the context."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "node.toml").touch()
    guardian = subprocess.Popen(
        [sys.executable, "-c", _GUARDIAN, str(directory), *names],
        env={**os.environ, "PYTHONPATH": str(Path(primacy.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert guardian.stdout is not None
    assert guardian.stdin is not None
    try:
        assert guardian.stdout.readline() == b"ready\n"
        yield guardian
    finally:
        record = json.loads((directory / "guardian.json").read_bytes())
        if guardian.poll() is None:
            assert record["pid"] == guardian.pid
            faults.end(processes_of(directory))
        guardian.kill()
        guardian.wait()
        guardian.stdin.close()
        guardian.stdout.close()


def wait_for(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition does not come true"
        time.sleep(0.005)
