"""A host that does nothing but be there, with descendants that hide.

    python fake_host.py DIRECTORY MEGABYTES [orphan] [chain] [deaf]

It writes a file named by its pid into DIRECTORY for itself and each descendant, and waits for ever. `orphan`:
a grandchild in a session of its own whose parent has ended; `chain`: a child, a grandchild and a
great-grandchild, each alive; `deaf`: all ignore SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys


def sign(directory: str) -> None:
    with open(f"{directory}/{os.getpid()}", "w", encoding="ascii") as opened:
        opened.write(" ".join(sys.argv[2:]))


def main(directory: str, megabytes: int, traits: list[str]) -> None:
    if "deaf" in traits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ballast = bytearray(os.urandom(4096) * (megabytes * 256))
    if "orphan" in traits and os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.execv(sys.executable, [sys.executable, __file__, directory, "0", *(set(traits) - {"orphan"})])
    elif "chain" in traits:
        for _ in range(3):
            if os.fork() != 0:
                break
            os.setsid()
    sign(directory)
    while ballast is not None:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
