"""What the system grants the agent against being late: real-time scheduling, locked memory, a quiet collector.

Each is asked for and may be refused; one line says what was not granted. Memory is locked on fault only, and only
where the limit is no obstacle to later allocations.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
REAL_TIME_US_MAX = 500_000  # a real-time agent that spins for so long is ended by the system, not the machine
PRIORITY = 10


def prepare() -> list[str]:
    """Ask for everything; return a line for each thing that was not granted."""
    refused = []
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (REAL_TIME_US_MAX, REAL_TIME_US_MAX))
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except (OSError, ValueError) as error:
        refused.append(f"no real-time scheduling ({error}): beats may be late on a busy machine")
    if _may_lock():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
            refused.append(f"memory is not locked ({os.strerror(ctypes.get_errno())})")
    else:
        refused.append("memory is not locked (needs CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK)")
    return refused


def quieten_collector() -> None:
    """What exists after start-up stays for ever: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def _may_lock() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    cap_ipc_lock = 1 << 14
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) & cap_ipc_lock)
    return False
