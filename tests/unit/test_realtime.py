"""What the system grants the agent. Asked for in a process of its own, since it cannot be given back."""

from __future__ import annotations

import subprocess
import sys

from primacy.agent import realtime

ASK = """
import gc, os, resource
from primacy.agent import realtime
refused = realtime.prepare()
real_time = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
assert real_time == (not any("real-time" in line for line in refused)), refused
if real_time:
    assert os.sched_getscheduler(0) & os.SCHED_RESET_ON_FORK, "children would inherit it"
    assert resource.getrlimit(resource.RLIMIT_RTTIME)[0] == realtime.REAL_TIME_US_MAX
with open("/proc/self/status") as status:
    locked = next(int(line.split()[1]) for line in status if line.startswith("VmLck"))
assert (locked > 0) == (not any("memory" in line for line in refused)), (locked, refused)
big = bytearray(64 << 20)  # what is locked must be no obstacle to later allocations
realtime.quieten_collector()
assert gc.get_freeze_count() > 1000
print(len(refused))
"""


def test_what_is_refused_is_told_and_what_is_granted_does_no_harm() -> None:
    assert realtime.PRIORITY < 50
    ran = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) <= 2
